"""Hands, grippers and poles: what holds the first object, and what is in the way. And furniture behind them all."""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import LayoutConfig
from storm_edge.generator.layout import Cameras, Stage
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.motions import about_z, frame_of, rigid

GRASP_PLACES = 2
"""Places for props: what holds the first object, and what hides something."""
FURNITURE_PLACES = 2
"""Places for furniture."""
_SPINS = 6
_LEAST_ARM_Z = -0.15  # cosine between arm and view: an arm may come towards the camera by 9 degrees


def place_props(
    chance: Chance, pool: MeshPool, stage: Stage, T_cam_world: Tensor, config: LayoutConfig
) -> tuple[Tensor, Tensor]:
    """Props of every scene.

    Returns:
        Slots ``(B, GRASP_PLACES)``, -1 = nothing, and poses ``T_cam_prop (B, GRASP_PLACES, 4, 4)`` [m].
    """
    count = len(stage.slot)
    if pool.prop_count == 0:
        nothing = torch.full((count, GRASP_PLACES), -1, dtype=torch.int64, device=stage.slot.device)
        return nothing, torch.eye(4, device=nothing.device).repeat(count, GRASP_PLACES, 1, 1)
    slot = pool.object_count + chance.integers((count, GRASP_PLACES), pool.prop_count)
    grasped = stage.held[:, 0] & chance.happens((count,), config.grasp_share)
    hidden = chance.happens((count,), config.occluder_share)
    slot = torch.where(torch.stack([grasped, hidden], dim=1), slot, -1)

    shown = (stage.slot >= 0).to(torch.float32)
    other = torch.multinomial(shown, 1, generator=chance.generator)[:, 0]
    rows = torch.arange(count, device=slot.device)
    T_cam_obj = T_cam_world[:, None] @ stage.T_world_obj
    targets = torch.stack([T_cam_obj[:, 0], T_cam_obj[rows, other]], dim=1)
    d = pool.diameter_m[torch.stack([stage.slot[:, 0], stage.slot[rows, other]], dim=1)]
    return slot, _reaching(chance, targets[..., :3, 3], d)


def _reaching(chance: Chance, target_m: Tensor, d: Tensor) -> Tensor:
    """Poses of props whose palm faces a target ``(B, 2, 3)`` in the camera frame, rather from the front."""
    outward = chance.normal(tuple(target_m.shape))
    outward[..., 2] -= 0.3
    outward = outward / outward.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    spin = chance.uniform((*d.shape, _SPINS), 0.0, 2.0 * torch.pi)
    frames = frame_of(outward[..., None, :].expand(*spin.shape, 3), spin)
    # The arm leaves along y: of a few ways to turn it the first that keeps it from covering the camera.
    fits = (frames[..., 2, 1] > _LEAST_ARM_Z).float()
    R = frames.gather(-3, fits.argmax(dim=-1)[..., None, None, None].expand(*d.shape, 1, 3, 3))[..., 0, :, :]
    reach = chance.uniform(tuple(d.shape), 0.3, 0.6) * d
    return rigid(R, target_m + outward * reach[..., None])


def place_furniture(
    chance: Chance, pool: MeshPool, stage: Stage, cameras: Cameras, config: LayoutConfig
) -> tuple[Tensor, Tensor]:
    """What stands behind the objects, on the table, on the floor below it or in between.

    Returns:
        Slots ``(B, FURNITURE_PLACES)``, -1 = nothing, and poses ``T_cam_obj`` [m] ``(B, FURNITURE_PLACES, 4, 4)``.
    """
    shape = (len(stage.slot), FURNITURE_PLACES)
    first = pool.object_count + pool.prop_count
    slot = first + chance.integers(shape, max(pool.furniture_count, 1))
    there = chance.happens(shape, config.furniture_share if pool.furniture_count else 0.0)
    side = cameras.azimuth_rad[:, None] + torch.pi + 0.6 * chance.normal(shape)
    # Its nearest corner stays behind the objects.
    away_m = stage.reach_m[:, None] + 0.45 * pool.diameter_m[slot] + chance.log_uniform(shape, 0.05, 1.5)
    height_m = -torch.where(chance.happens(shape, 0.4), 0.0, chance.uniform(shape, 0.0, 0.8))
    at_m = torch.stack([away_m * torch.cos(side), away_m * torch.sin(side), height_m], dim=-1)
    T_world = rigid(about_z(chance.uniform(shape, 0.0, 2.0 * torch.pi)), at_m)
    return torch.where(there, slot, -1), cameras.T_cam_world[:, None] @ T_world
