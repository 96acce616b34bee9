"""Scenes by the batch: a pool of meshes, a layout, a room and lights, drawn into pictures with the exact truth.

`SceneGenerator` is what the four sources of training batches share. What cameras make of its pictures is
`colour_camera` and `depth_camera`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.contract import RenderedScenes, SceneTruth
from storm_edge.generator.grasps import place_furniture, place_props
from storm_edge.generator.layout import Stage, place_cameras, set_stage
from storm_edge.generator.light import make_lights
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.room import make_room, make_textures
from storm_edge.generator.scene_renderer import SceneInput, SceneRenderer

_NEAREST_M = 0.08


class SceneGenerator:
    """An endless, seeded stream of scenes. One seed gives one stream on one device.

    Args:
        seed: Seed of the stream; from `EVALUATION_FROM` on the objects are those of evaluation.
        device: ``cpu``, ``cuda`` or ``cuda:i``.
        config: What scenes are like.

    Attributes:
        pool: The meshes that `SceneTruth.slot` names; `MeshPool.renew` between batches.
        textures: Pictures of planes ``(T, S, S, 3)`` uint8.
        generator: All chance on the device comes from it.
    """

    def __init__(self, seed: int, device: str = "cpu", config: GeneratorConfig | None = None) -> None:
        self.config = config or GeneratorConfig()
        self.device = torch.device(device)
        self.pool = MeshPool(seed, device=device, config=self.config.pool)
        self.generator = torch.Generator(device=self.device).manual_seed(seed)
        self._host_rng = np.random.default_rng([seed, 8])
        self.textures = make_textures(self._host_rng, self.config.room, self.device)
        self._renderer = SceneRenderer(self.pool, self.textures, shadow_px=self.config.light.shadow_px)

    def scenes(self, count: int) -> RenderedScenes:
        """The next ``count`` scenes, all of one size."""
        return self.scenes_of_size(count, self.next_size_px())

    def next_size_px(self) -> tuple[int, int]:
        """Height and width [px] for the next batch."""
        sizes = self.config.layout.sizes_px
        return sizes[int(self._host_rng.integers(len(sizes)))]

    @torch.no_grad()
    def scenes_of_size(self, count: int, size_px: tuple[int, int]) -> RenderedScenes:
        """The next ``count`` scenes of a height and width [px]."""
        return self.draw(self.lay_out(count, size_px), size_px)

    @torch.no_grad()
    def lay_out(self, count: int, size_px: tuple[int, int], stage: Stage | None = None) -> SceneInput:
        """What the next ``count`` scenes are made of: a stage of their own if none is given."""
        c, chance = self.config, Chance(self.generator)
        stage = stage or set_stage(chance, self.pool, count, c.layout)
        cameras = place_cameras(chance, self.pool, stage, size_px, c.layout)
        prop_slot, T_cam_prop = place_props(chance, self.pool, stage, cameras.T_cam_world, c.layout)
        far_slot, T_cam_far = place_furniture(chance, self.pool, stage, cameras, c.layout)
        T_cam_obj = cameras.T_cam_world[:, None] @ stage.T_world_obj
        # What would stand in or behind the camera is left out.
        radius_m = 0.5 * self.pool.diameter_m[stage.slot.clamp_min(0)]
        slot = torch.where(T_cam_obj[..., 2, 3] > radius_m + _NEAREST_M, stage.slot, -1)
        middle = stage.T_world_obj[:, 0, :3, 3].clone()
        return SceneInput(
            K=cameras.K,
            T_cam_world=cameras.T_cam_world,
            slot=torch.cat([slot, prop_slot, far_slot], dim=1).to(torch.int32),
            T_cam_obj=torch.cat([T_cam_obj, T_cam_prop, T_cam_far], dim=1),
            silhouettes=c.layout.places,
            room=make_room(chance, stage.reach_m, cameras.azimuth_rad, c.room),
            lights=make_lights(chance, middle, stage.reach_m + 0.02, c.light),
        )

    def draw(self, layout: SceneInput, size_px: tuple[int, int]) -> RenderedScenes:
        """Pictures and truth of what `lay_out` gave."""
        pictures, n = self._renderer.render(layout, size_px), layout.silhouettes
        truth = SceneTruth(
            K=layout.K,
            T_cam_obj=layout.T_cam_obj[:, :n].contiguous(),
            slot=layout.slot[:, :n].long(),
            instance=pictures.instance,
            visible_share=_share(pictures.visible_px, pictures.silhouette_px),
            silhouette_px=pictures.silhouette_px,
        )
        return RenderedScenes(
            truth=truth,
            colour=pictures.colour,
            depth_m=pictures.depth_m,
            normal=pictures.normal,
            measurable=pictures.measurable,
        )


def _share(visible_px: Tensor, silhouette_px: Tensor) -> Tensor:
    """Visible part, 0 where there is nothing; silhouettes of huge objects are sampled, so it is cut at 1."""
    return (visible_px / silhouette_px.clamp_min(1.0)).clamp(max=1.0)
