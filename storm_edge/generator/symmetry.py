"""The choice among poses that cannot be told apart, for many objects of a pool at once."""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.motions import exp_so3, rigid, skew


def nearest_symmetric(pool: MeshPool, slot: Tensor, T_cam_obj: Tensor, T_reference: Tensor) -> Tensor:
    """Among the equal-looking poses of each object the one turned least from a reference.

    Turns about a free axis are exact, not sampled: of ``trace(M Exp(angle axis)) = c + b cos + s sin`` the largest
    value is where the angle is ``atan2(s, b)``.

    Args:
        pool: What knows the symmetries.
        slot: Objects ``(n,)`` int64.
        T_cam_obj: Their poses [m], ``(n, 4, 4)``.
        T_reference: Poses to come near to, ``(n, 4, 4)``.

    Returns:
        ``(n, 4, 4)``.
    """
    turns, axis, centre_m = pool.turns[slot], pool.axis[slot], pool.centre_m[slot]
    R = T_cam_obj[:, None, :3, :3] @ turns
    M = T_reference[:, None, :3, :3].transpose(-1, -2) @ R
    trace = M.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    along = torch.einsum("ni,nkij,nj->nk", axis, M, axis)
    cosine = trace - along
    sine = (M * skew(axis)[:, None].transpose(-1, -2)).sum(dim=(-2, -1))
    free = (axis != 0.0).any(dim=-1)[:, None]
    best = torch.where(free, along + torch.sqrt(cosine**2 + sine**2), trace).argmax(dim=1)
    rows = torch.arange(len(slot), device=slot.device)
    angle = torch.where(free[:, 0], torch.atan2(sine[rows, best], cosine[rows, best]), 0.0)
    turn = turns[rows, best] @ exp_so3(axis * angle[:, None])
    offset_m = centre_m - (turn @ centre_m[..., None])[..., 0]
    return T_cam_obj @ rigid(turn, offset_m)
