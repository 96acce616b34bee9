"""Hands, grippers and poles: what holds the first object, and what is in the way."""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import LayoutConfig
from storm_edge.generator.layout import Stage
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.motions import frame_of, rigid

GRASP_PLACES = 2
"""Places for props: what holds the first object, and what hides something."""


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
    spin = chance.uniform(tuple(d.shape), 0.0, 2.0 * torch.pi)
    reach = chance.uniform(tuple(d.shape), 0.3, 0.6) * d
    return rigid(frame_of(outward, spin), target_m + outward * reach[..., None])
