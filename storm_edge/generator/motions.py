"""Rigid motions in torch, any number at once; as `storm_edge.geometry.se3`."""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL = 1e-6


def rigid(R: Tensor, t: Tensor) -> Tensor:
    """Motions ``(..., 4, 4)`` of rotations ``(..., 3, 3)`` and translations ``(..., 3)``."""
    T = torch.zeros((*R.shape[:-2], 4, 4), dtype=R.dtype, device=R.device)
    T[..., :3, :3] = R
    T[..., :3, 3] = t
    T[..., 3, 3] = 1.0
    return T


def inverse(T: Tensor) -> Tensor:
    """Inverse of rigid motions ``(..., 4, 4)``."""
    R = T[..., :3, :3].transpose(-1, -2)
    return rigid(R, -(R @ T[..., :3, 3:])[..., 0])


def exp_so3(w: Tensor) -> Tensor:
    """Rotations ``(..., 3, 3)`` of rotation vectors ``(..., 3)`` [rad] (Rodrigues)."""
    angle = w.norm(dim=-1)[..., None, None]
    safe = angle.clamp_min(_SMALL)
    a = torch.where(angle < _SMALL, torch.ones_like(angle), torch.sin(safe) / safe)
    b = torch.where(angle < _SMALL, torch.full_like(angle, 0.5), (1.0 - torch.cos(safe)) / (safe * safe))
    W = skew(w)
    return torch.eye(3, dtype=w.dtype, device=w.device) + a * W + b * (W @ W)


def skew(w: Tensor) -> Tensor:
    """Cross-product matrices ``(..., 3, 3)`` of vectors ``(..., 3)``."""
    x, y, z = w.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, dim=-1) for row in ([zero, -z, y], [z, zero, -x], [-y, x, zero])]
    return torch.stack(rows, dim=-2)


def log_so3(R: Tensor) -> Tensor:
    """Rotation vectors ``(..., 3)`` [rad] of rotations ``(..., 3, 3)``, also near half a turn.

    Of the unit quaternion with the largest component computed first (Shepperd 1978).
    """
    m00, m11, m22 = R[..., 0, 0], R[..., 1, 1], R[..., 2, 2]
    squares = torch.stack([1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22], -1)
    a, b, c = R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]
    d, e, f = R[..., 1, 0] + R[..., 0, 1], R[..., 2, 0] + R[..., 0, 2], R[..., 2, 1] + R[..., 1, 2]
    s0, s1, s2, s3 = squares.unbind(-1)
    rows = [
        torch.stack([s0, a, b, c], -1),
        torch.stack([a, s1, d, e], -1),
        torch.stack([b, d, s2, f], -1),
        torch.stack([c, e, f, s3], -1),
    ]
    candidates = torch.stack(rows, dim=-2)
    largest = squares.argmax(dim=-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    q = candidates.gather(-2, largest)[..., 0, :]
    q = q / q.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    q = torch.where(q[..., :1] < 0, -q, q)
    sine = q[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2.0 * torch.atan2(sine, q[..., :1])
    factor = torch.where(sine < _SMALL, torch.full_like(sine, 2.0), angle / sine.clamp_min(_SMALL))
    return q[..., 1:] * factor


def frame_of(z: Tensor, spin_rad: Tensor) -> Tensor:
    """Rotations ``(..., 3, 3)`` whose third column is the unit vector ``z (..., 3)``, spun about it [rad]."""
    helper = torch.zeros_like(z)
    slanted = z[..., 0].abs() < 0.8
    helper[..., 0] = slanted.to(z.dtype)
    helper[..., 1] = (~slanted).to(z.dtype)
    x = torch.linalg.cross(helper, z)
    x = x / x.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    y = torch.linalg.cross(z, x)
    c, s = torch.cos(spin_rad)[..., None], torch.sin(spin_rad)[..., None]
    return torch.stack([c * x + s * y, c * y - s * x, z], dim=-1)


def about_z(angle_rad: Tensor) -> Tensor:
    """Rotations ``(..., 3, 3)`` about z [rad]."""
    zero = torch.zeros_like(angle_rad)
    return exp_so3(torch.stack([zero, zero, angle_rad], dim=-1))
