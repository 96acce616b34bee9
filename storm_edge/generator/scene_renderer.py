"""Draws batches of scenes: projection, coverage, a shadow map from the main light, and shading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor

from storm_edge.generator.coverage import cover
from storm_edge.generator.device_stream import on_torch_stream
from storm_edge.generator.light import Lights
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.motions import inverse
from storm_edge.generator.room import RoomPlanes
from storm_edge.generator.shading import Light, Pictures, shade_scenes
from storm_edge.generator.surface_points import Room
from storm_edge.kernels.device import thread_span


@dataclass(frozen=True, kw_only=True)
class SceneInput:
    """What is to be drawn; ``D`` draws per scene."""

    K: Tensor
    """Intrinsics [px], ``(B, 3, 3)``."""
    T_cam_world: Tensor
    """World to camera [m], ``(B, 4, 4)``."""
    slot: Tensor
    """Mesh slot of each draw, -1 = nothing, ``(B, D)`` int32."""
    T_cam_obj: Tensor
    """Their poses [m], ``(B, D, 4, 4)``."""
    silhouettes: int
    """The first so many draws are objects with a silhouette; the others are props."""
    room: RoomPlanes
    """What is around them."""
    lights: Lights
    """What lights them."""


@dataclass(frozen=True, kw_only=True)
class ScenePictures:
    """What was drawn; as `RenderedScenes` and `SceneTruth` have it."""

    colour: Tensor
    """``(B, 3, H, W)`` float32."""
    depth_m: Tensor
    """``(B, H, W)`` float32."""
    normal: Tensor
    """``(B, 3, H, W)`` float32."""
    measurable: Tensor
    """``(B, H, W)`` bool."""
    instance: Tensor
    """``(B, H, W)`` int64."""
    visible_px: Tensor
    """Visible pixels of each object, ``(B, N)`` int32."""
    silhouette_px: Tensor
    """Pixels of each whole silhouette, ``(B, N)`` float32."""


class SceneRenderer:
    """Draws scenes of one pool.

    Args:
        pool: Meshes.
        textures: Pictures of the planes, ``(T, S, S, 3)`` uint8.
        shadow_px: Side of a shadow map [px].
    """

    def __init__(self, pool: MeshPool, textures: Tensor, *, shadow_px: int) -> None:
        self._pool, self._shadow_px = pool, shadow_px
        self._textures = wp.from_torch(textures)
        self._keep = textures

    def render(self, scenes: SceneInput, size_px: tuple[int, int]) -> ScenePictures:
        """Draw all scenes. Enqueues only."""
        with on_torch_stream(self._pool.warp_device):
            return self._render(scenes, size_px)

    def _render(self, scenes: SceneInput, size_px: tuple[int, int]) -> ScenePictures:
        device = self._pool.device
        count, (height, width) = len(scenes.K), size_px
        n = scenes.silhouettes
        drawn = cover(self._pool, scenes.slot, scenes.T_cam_obj, scenes.K, size_px, silhouettes=n)
        out = ScenePictures(
            colour=torch.empty((count, 3, height, width), device=device),
            depth_m=torch.empty((count, height, width), device=device),
            normal=torch.empty((count, 3, height, width), device=device),
            measurable=torch.empty((count, height, width), dtype=torch.bool, device=device),
            instance=torch.empty((count, height, width), dtype=torch.int64, device=device),
            visible_px=torch.zeros((count, n), dtype=torch.int32, device=device),
            silhouette_px=drawn.silhouette_px,
        )
        span = thread_span(self._pool.warp_device, width)
        light, kept = self._light(scenes)
        room, kept_too = self._room(scenes)
        wp.launch(
            shade_scenes,
            dim=(count, height, -(-width // span)),
            inputs=[drawn.keys, drawn.screen, self._pool.arrays, drawn.draws, room, light, _pictures(out, span)],
            device=self._pool.warp_device,
        )
        del kept, kept_too
        return out

    def _light(self, scenes: SceneInput) -> tuple[Any, list[Tensor]]:
        """The lights in camera axes, with the shadow map drawn; and the memory behind them."""
        lights, T_cam_world = scenes.lights, scenes.T_cam_world
        R = T_cam_world[:, :3, :3]
        T_light_cam = lights.T_light_world @ inverse(T_cam_world)
        side = self._shadow_px
        K = torch.zeros((len(R), 3, 3), device=R.device)
        K[:, 0, 0] = K[:, 1, 1] = lights.shadow_f
        K[:, 0, 2] = K[:, 1, 2] = (side - 1) / 2.0
        K[:, 2, 2] = 1.0
        slot = torch.where(lights.shadow_f[:, None] > 0.0, scenes.slot, -1)
        T_light_obj = T_light_cam[:, None] @ scenes.T_cam_obj
        light: Any = Light()
        light.shadow = cover(self._pool, slot, T_light_obj, K, (side, side)).keys
        vectors = {
            "ambient": lights.ambient,
            "up": R[:, :, 2],
            "key": lights.key,
            "key_at_m": (R @ lights.key_at_m[..., None])[..., 0] + T_cam_world[:, :3, 3],
            "fill": lights.fill,
            "to_fill": (R @ lights.to_fill[..., None])[..., 0],
        }
        kept = [T_light_cam, lights.shadow_f, lights.key_distance_m]
        for name, value in vectors.items():
            kept.append(value.contiguous())
            setattr(light, name, wp.from_torch(kept[-1], dtype=wp.vec3f))
        light.T_light_cam = wp.from_torch(T_light_cam, dtype=wp.mat44f)
        light.shadow_f = wp.from_torch(lights.shadow_f)
        light.key_distance_m = wp.from_torch(lights.key_distance_m)
        return light, kept

    def _room(self, scenes: SceneInput) -> tuple[Any, list[Tensor]]:
        """The planes in camera axes, and the memory behind them."""
        planes = scenes.room
        T_plane_cam = inverse(scenes.T_cam_world[:, None] @ planes.T_world_plane)
        room: Any = Room()
        room.T_plane_cam = wp.from_torch(T_plane_cam, dtype=wp.mat44f)
        room.half_m = wp.from_torch(planes.half_m, dtype=wp.vec2f)
        room.tile_m = wp.from_torch(planes.tile_m)
        room.texture = wp.from_torch(planes.texture)
        room.measurable = wp.from_torch(planes.measurable)
        room.textures = self._textures
        return room, [T_plane_cam]


def _pictures(out: ScenePictures, span: int) -> Any:
    pictures: Any = Pictures()
    pictures.span = span
    pictures.colour, pictures.depth_m = wp.from_torch(out.colour), wp.from_torch(out.depth_m)
    pictures.normal, pictures.instance = wp.from_torch(out.normal), wp.from_torch(out.instance)
    pictures.measurable, pictures.visible_px = wp.from_torch(out.measurable), wp.from_torch(out.visible_px)
    return pictures
