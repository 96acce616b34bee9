"""Pictures of the same objects again and again: from about one side, and once from another.

A series has the same objects in the same places of a table, but every picture its own room, light, camera and
hands. Objects are turned as the series wants to see them, not as they would rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import VerifyGroupConfig
from storm_edge.generator.contract import RenderedScenes
from storm_edge.generator.layout import Stage, set_stage
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.motions import exp_so3, inverse, log_so3, rigid
from storm_edge.generator.scene_renderer import SceneInput
from storm_edge.generator.scenes import SceneGenerator
from storm_edge.generator.symmetry import nearest_symmetric


@dataclass(frozen=True, kw_only=True)
class GroupScenes:
    """``G`` series of ``M`` pictures each; the last of a series shows its objects from another side."""

    rendered: RenderedScenes
    """The pictures, ``G * M`` of them, series by series."""
    slot: Tensor
    """Mesh of each place ``(G, N)`` int64, -1 = no object."""
    share: Tensor
    """Visible share of each object in each picture, 0 where it is too small, ``(G, M, N)``."""
    other_side: Tensor
    """Whether the last picture shows it well, and from another side, symmetries considered, ``(G, N)`` bool."""
    pictures: int
    """``M``."""


def make_group_scenes(scenes: SceneGenerator, series: int, near_count: int, config: VerifyGroupConfig) -> GroupScenes:
    """Draw series of ``near_count`` pictures from about one side and one from another.

    Args:
        scenes: What draws them.
        series: How many.
        near_count: Pictures from about one side.
        config: How far objects are turned.
    """
    chance, pool, m = Chance(scenes.generator), scenes.pool, near_count + 1
    stage = set_stage(chance, pool, series, scenes.config.layout)
    size_px = scenes.next_size_px()
    often = Stage(**{f.name: getattr(stage, f.name).repeat_interleave(m, dim=0) for f in fields(Stage)})
    layout = scenes.lay_out(series * m, size_px, stage=often)
    n = stage.slot.shape[1]
    R = _sides(chance, series, n, m, config)
    layout = _turned(pool, layout, R.flatten(0, 1))
    rendered = scenes.draw(layout, size_px)
    truth = rendered.truth
    share = torch.where(truth.silhouette_px >= config.least_px, truth.visible_share, 0.0).reshape(series, m, n)
    T = rigid(R[:, [0, -1]], torch.zeros_like(R[:, [0, -1], :, :, 0]))
    away = turned_by(pool, stage.slot.flatten(), T[:, 0].flatten(0, 1), T[:, 1].flatten(0, 1)).reshape(series, n)
    return GroupScenes(
        rendered=rendered,
        slot=stage.slot,
        share=share,
        other_side=(away >= math.radians(config.least_turn_deg)) & (share[:, -1] >= config.least_visible),
        pictures=m,
    )


def turned_by(pool: MeshPool, slot: Tensor, T_from: Tensor, T_to: Tensor) -> Tensor:
    """Least angle between poses ``(n, 4, 4)`` that look the same as these [rad], ``(n,)``."""
    T_to = nearest_symmetric(pool, slot.clamp_min(0), T_to, T_from)
    turn = log_so3(T_to[:, :3, :3] @ T_from[:, :3, :3].transpose(1, 2))
    angle: Tensor = torch.linalg.vector_norm(turn, dim=1)
    return angle


def _sides(chance: Chance, series: int, n: int, m: int, config: VerifyGroupConfig) -> Tensor:
    """Rotations to the camera ``(series, m, n, 3, 3)``: about one for each object, in the last picture another."""
    anchor = chance.rotations((series, 1, n))
    reach = math.radians(1.0) * chance.uniform((series, 1, n, 1), *config.spread_deg)
    about = exp_so3(chance.directions((series, m, n)) * reach * chance.unit((series, m, n, 1))) @ anchor
    angle = math.radians(1.0) * chance.uniform((series, n, 1), *config.turn_deg)
    # About an axis of the object, as it is mistaken mostly, or about any.
    own = anchor[:, 0].gather(3, chance.integers((series, n, 1, 1), 3).expand(-1, -1, 3, 1))[..., 0]
    axis = torch.where(chance.happens((series, n, 1), config.own_axis_share), own, chance.directions((series, n)))
    about[:, -1] = exp_so3(axis * angle) @ about[:, -1]
    return about


def _turned(pool: MeshPool, layout: SceneInput, R_cam_obj: Tensor) -> SceneInput:
    """The layout with its objects turned to ``R_cam_obj (B, N, 3, 3)``, and lifted where they would sink in."""
    n = layout.silhouettes
    slot = layout.slot[:, :n].long().clamp_min(0)
    T_world_cam = inverse(layout.T_cam_world)[:, None]
    t_world = (T_world_cam @ layout.T_cam_obj[:, :n])[..., :3, 3]
    R_world = T_world_cam[..., :3, :3] @ R_cam_obj
    lowest = (pool.support[slot] @ R_world.transpose(-1, -2))[..., 2].amin(dim=2)
    t_world = torch.cat([t_world[..., :2], torch.maximum(t_world[..., 2:], -lowest[..., None])], dim=2)
    T = layout.T_cam_world[:, None] @ rigid(R_world, t_world)
    return replace(layout, T_cam_obj=torch.cat([T, layout.T_cam_obj[:, n:]], dim=1))
