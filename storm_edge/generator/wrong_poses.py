"""Poses beside the true one, as registration and tracking leave them: what RefineNet mends and ScoreNet ranks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.motions import exp_so3, rigid

_NEAREST_M = 0.1


def shifted(T_cam_obj: Tensor, turn: Tensor, shift_m: Tensor) -> Tensor:
    """Poses ``(n, 4, 4)`` turned about the objects' centres in camera axes and shifted, kept before the camera."""
    t = T_cam_obj[:, :3, 3] + shift_m
    t = torch.cat([t[:, :2], t[:, 2:].clamp_min(_NEAREST_M)], dim=1)
    return rigid(turn @ T_cam_obj[:, :3, :3], t)


def own_axis_turn(chance: Chance, T_cam_obj: Tensor, angle_rad: Tensor) -> Tensor:
    """Turns ``(n, 3, 3)`` in camera axes about one of each object's own axes, mostly z, by ``angle_rad (n,)``."""
    which = torch.multinomial(
        torch.tensor([0.15, 0.15, 0.7], device=angle_rad.device), len(angle_rad), True, generator=chance.generator
    )
    rows = torch.arange(len(angle_rad), device=angle_rad.device)
    axis = T_cam_obj[rows, :3, which]
    return exp_so3(axis * angle_rad[:, None])


def perturbed(chance: Chance, T_cam_obj: Tensor, diameter_m: Tensor) -> Tensor:
    """Wrong poses ``(n, 4, 4)``: of registration, of tracking, of fast turns about an axis, and nearly right ones."""
    n, d = len(T_cam_obj), diameter_m[:, None]
    kind = chance.unit((n, 1))
    grid, track, spun = kind < 0.4, (kind >= 0.4) & (kind < 0.65), (kind >= 0.65) & (kind < 0.88)
    wide = math.radians(35.0) * chance.unit((n, 1))
    narrow = math.radians(1.0) * chance.normal((n, 1))
    angle = torch.where(grid | spun, wide, torch.where(track, 7.0 * narrow, 1.5 * narrow))
    turn = exp_so3(chance.directions((n,)) * angle)
    signed = torch.where(chance.happens((n, 1), 0.5), angle, -angle)
    turn = torch.where(spun[..., None], own_axis_turn(chance, T_cam_obj, signed[:, 0]), turn)
    shift = chance.normal((n, 3)) * torch.where(grid, 0.07, torch.where(track, 0.04, torch.where(spun, 0.025, 0.008)))
    # The depth of a hypothesis of the grid comes from the visible front, so z errs most.
    deep = chance.uniform((n, 1), -0.4, 0.3)
    shift = torch.cat([shift[:, :2], torch.where(grid, deep, shift[:, 2:])], dim=1)
    return shifted(T_cam_obj, turn, shift * d)
