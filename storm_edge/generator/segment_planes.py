"""Distances from the large planes in view for whole batches; `kernels.segment_inputs.planes` in torch.

The run time draws its points from a seeded NumPy generator. Those draws are ``(word * count) >> 32`` of a fixed
stream of 32-bit words (Lemire 2019, which NumPy uses), so the same words give the same planes here.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from storm_edge.kernels.segment_inputs import planes as reference

_CORNERS = 3 * reference.PLANE_TRIALS
_DRAWS = reference.FIT_POINTS + _CORNERS


def plane_distances(z: Tensor, K: Tensor) -> Tensor:
    """Distance of each pixel from the nearest of up to two large planes [m] ``(B, H, W)``.

    Args:
        z: z-depth [m] ``(B, H, W)``, 0 = no reading.
        K: Intrinsics [px] ``(B, 3, 3)``.

    Returns:
        Distances, -1 where there is no reading, and everywhere if no plane is large enough.
    """
    height, width = z.shape[-2:]
    u = torch.arange(width, device=z.device, dtype=torch.float32)
    v = torch.arange(height, device=z.device, dtype=torch.float32)[:, None]
    x = (u - K[:, 0, 2, None, None]) / K[:, 0, 0, None, None] * z
    y = (v - K[:, 1, 2, None, None]) / K[:, 1, 1, None, None] * z
    points = torch.stack([x, y, z], dim=1).flatten(2)
    seen = points[:, 2] > 0.0
    count = seen.sum(1)
    tolerance = reference.TOLERANCE_M + reference.TOLERANCE_PER_M * points[:, 2].square()
    left, nearest = seen, torch.full_like(points[:, 2], torch.inf)
    large = count >= reference.MIN_POINTS
    for number, share in enumerate(reference.PLANE_SHARES):
        large = large & (left.sum(1) >= share * count)
        normal, offset = _largest_plane(points, left, tolerance, number)
        distance = _distance(points, normal, offset)
        on_plane = left & (distance < tolerance)
        large = large & (on_plane.sum(1) >= share * count)
        nearest = torch.where(large[:, None], torch.minimum(nearest, distance), nearest)
        left = left & ~on_plane
    return torch.where(seen & nearest.isfinite(), nearest, -1.0).reshape(z.shape)


def _distance(points: Tensor, normal: Tensor, offset: Tensor) -> Tensor:
    """Of points ``(B, 3, P)`` from planes ``(B, 3)``, ``(B,)`` [m] ``(B, P)``."""
    x, y, z = points.unbind(1)
    out = x * normal[:, :1] + offset[:, None]
    return out.addcmul_(y, normal[:, 1:2]).addcmul_(z, normal[:, 2:]).abs_()


def _largest_plane(points: Tensor, left: Tensor, tolerance: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Unit normal ``(B, 3)`` and offset [m] ``(B,)`` of the plane that holds most: random triples, then fits.

    Args:
        points: ``(B, 3, P)`` [m].
        left: Which of them count ``(B, P)``.
        tolerance: How far off each may lie [m] ``(B, P)``.
        number: Which plane of the picture it is; each has its own draws.
    """
    words = torch.from_numpy(_words(len(reference.PLANE_SHARES) * _DRAWS)).to(points.device)
    words = words[number * _DRAWS : (number + 1) * _DRAWS]
    rank = left.to(torch.int32).cumsum(1, dtype=torch.int32)
    drawn = ((words * rank[:, -1:].long()) >> 32).to(torch.int32)
    index = torch.searchsorted(rank, drawn + 1).clamp_(max=points.shape[2] - 1)
    chosen = points.gather(2, index[:, None].expand(-1, 3, -1))
    few, corner = chosen[..., : reference.FIT_POINTS], chosen[..., reference.FIT_POINTS :]
    a, b, c = corner.reshape(-1, 3, reference.PLANE_TRIALS, 3).unbind(3)
    normals = torch.linalg.cross(b - a, c - a, dim=1)
    normals = normals / normals.norm(dim=1, keepdim=True).clamp_min(1e-12)
    offsets = -(normals * a).sum(1)
    distance = (normals.transpose(1, 2) @ few).add_(offsets[:, :, None]).abs_()
    allowed = tolerance.gather(1, index[:, : reference.FIT_POINTS])
    best = (distance < allowed[:, None]).sum(2).argmax(1)
    rows = torch.arange(len(points), device=points.device)
    normal, offset = normals[rows, :, best], offsets[rows, best]
    for _ in range(reference.FIT_ITERATIONS):
        normal, offset = _refitted(points, left & (_distance(points, normal, offset) < tolerance), normal, offset)
    return normal, offset


def _refitted(points: Tensor, on_plane: Tensor, normal: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """The least-squares plane of the points on one; the same plane where they are fewer than three."""
    weight = on_plane.to(torch.float32)
    count = weight.sum(1)
    centre = (points * weight[:, None]).sum(2) / count.clamp_min(1.0)[:, None]
    apart = (points - centre[:, :, None]).mul_(weight[:, None])
    spread = apart @ apart.transpose(1, 2)
    fitted = torch.linalg.eigh(spread.double())[1][:, :, 0].to(torch.float32)
    enough = count >= 3.0
    normal = torch.where(enough[:, None], fitted, normal)
    return normal, torch.where(enough, -(normal * centre).sum(1), offset)


@cache
def _words(count: int) -> np.ndarray:
    """The first 32-bit words of the run time's generator, ``(count,)`` int64: both halves of its 64-bit ones."""
    raw = np.random.default_rng(0).bit_generator.random_raw((count + 1) // 2)
    halves = np.stack([raw & np.uint64(0xFFFFFFFF), raw >> np.uint64(32)], axis=1)
    return halves.reshape(-1)[:count].astype(np.int64)
