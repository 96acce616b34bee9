"""What is around the objects: a table or floor, a cloth or sheet on it, the floor below, and walls, all textured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import RoomConfig
from storm_edge.generator.motions import frame_of, rigid
from storm_edge.generator.textures import scenery_texture, surface_texture

PLANES = 5
"""Planes of a scene: table, cloth, floor and two walls."""
_TABLE, _CLOTH, _FLOOR, _WALL, _SIDE_WALL = range(PLANES)
_ENDLESS_M = 1e6


@dataclass(frozen=True, kw_only=True)
class RoomPlanes:
    """Planes of ``B`` scenes, ``P`` each, in a z-up world with the objects around the origin on z = 0."""

    T_world_plane: Tensor
    """Plane to world [m], ``(B, P, 4, 4)``: x and y lie in the plane, z is its normal."""
    half_m: Tensor
    """Half extents along x and y [m], ``(B, P, 2)``."""
    tile_m: Tensor
    """Side of one repetition of the texture [m], ``(B, P)``."""
    texture: Tensor
    """Texture of each, -1 = no plane, ``(B, P)`` int32."""
    measurable: Tensor
    """Whether depth cameras see it, ``(B, P)`` int32."""


def make_textures(rng: np.random.Generator, config: RoomConfig, device: torch.device) -> Tensor:
    """Pictures ``(T, S, S, 3)`` uint8: of surfaces first, then of what stands in rooms."""
    pictures = [surface_texture(rng) for _ in range(config.surfaces)]
    pictures += [scenery_texture(rng) for _ in range(config.scenery)]
    return torch.from_numpy(np.round(np.stack(pictures) * 255.0).astype(np.uint8)).to(device)


def make_room(chance: Chance, reach_m: Tensor, azimuth_rad: Tensor, config: RoomConfig) -> RoomPlanes:
    """Rooms around scenes.

    Args:
        chance: Source of randomness.
        reach_m: Distance of the farthest object from the origin [m], ``(B,)``.
        azimuth_rad: Side from which the camera looks [rad], ``(B,)``; the walls are opposite.
        config: What they are like.
    """
    count = len(reach_m)
    T = torch.eye(4, device=reach_m.device).repeat(count, PLANES, 1, 1)
    spin = chance.uniform((count, PLANES), 0.0, 2.0 * torch.pi)
    zero, one = torch.zeros_like(spin), torch.ones_like(spin)
    flat = frame_of(torch.stack([zero, zero, one], dim=-1), spin)
    T[..., :3, :3] = flat
    half = torch.full((count, PLANES, 2), _ENDLESS_M, device=reach_m.device)
    texture = chance.integers((count, PLANES), config.surfaces)
    furnished = chance.happens((count, PLANES), config.furnished_share)
    furnished[:, : _FLOOR + 1] = False
    texture = torch.where(furnished, config.surfaces + chance.integers((count, PLANES), config.scenery), texture)

    finite = chance.happens((count,), 0.5)
    wide = reach_m[:, None] + chance.uniform((count, 2), 0.1, 0.7)
    half[:, _TABLE] = torch.where(finite[:, None], wide, half[:, _TABLE])
    T[:, _CLOTH, :2, 3] = chance.normal((count, 2)) * reach_m[:, None]
    T[:, _CLOTH, 2, 3] = 0.001
    half[:, _CLOTH] = chance.uniform((count, 2), 0.3, 1.5) * (reach_m[:, None] + 0.05)
    T[:, _FLOOR, 2, 3] = -chance.uniform((count,), 0.2, 1.0)
    for number, turn in ((_WALL, 0.0), (_SIDE_WALL, 1.0)):
        side = azimuth_rad + turn * torch.pi / 2.0 + chance.uniform((count,), -0.5, 0.5)
        toward = torch.stack([torch.cos(side), torch.sin(side), 0.1 * chance.normal((count,))], dim=-1)
        toward = toward / toward.norm(dim=-1, keepdim=True)
        away_m = reach_m + chance.log_uniform((count,), 0.15, 3.0)
        upright = frame_of(toward, chance.uniform((count,), 0.0, 2.0 * torch.pi))
        T[:, number] = rigid(upright, -toward * away_m[:, None])

    tile_m = chance.log_uniform((count, PLANES), *config.tile_m)
    tile_m = torch.where(furnished, chance.log_uniform((count, PLANES), *config.scenery_m), tile_m)
    there = torch.stack(
        [
            chance.happens((count,), config.table_share),
            chance.happens((count,), config.cloth_share),
            chance.happens((count,), 0.9),
            chance.happens((count,), 0.8),
            chance.happens((count,), 0.5),
        ],
        dim=1,
    )
    there[:, _CLOTH] &= there[:, _TABLE]
    return RoomPlanes(
        T_world_plane=T,
        half_m=half,
        tile_m=tile_m,
        texture=torch.where(there, texture, -1).to(torch.int32),
        measurable=chance.happens((count, PLANES), config.measurable_share).to(torch.int32),
    )
