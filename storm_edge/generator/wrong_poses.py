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


def half_and_quarter_turns(chance: Chance, T_cam_obj: Tensor) -> Tensor:
    """Turns ``(n, 3, 3)`` in camera axes by 180 or 90 degrees about one of each object's axes."""
    n = len(T_cam_obj)
    angle = math.pi / 2.0 * (1 + chance.integers((n,), 3)).clamp(max=3)
    angle = torch.where(chance.happens((n,), 0.5), math.pi, angle)
    rows, which = torch.arange(n, device=angle.device), chance.integers((n,), 3)
    return exp_so3(T_cam_obj[rows, :3, which] * angle[:, None])


def hypotheses(chance: Chance, T_cam_obj: Tensor, diameter_m: Tensor, count: int) -> Tensor:
    """Poses ``(n, count, 4, 4)`` as a registration has to choose from, in random order; one at least is near truth.

    A third shows the wrong side of an object in its right place: turned by a half or a quarter about its axes, or
    by any angle about one axis. Only its picture tells them from the right one, where the shape does not.
    """
    n = len(T_cam_obj)
    T = T_cam_obj.repeat_interleave(count, dim=0)
    d = diameter_m.repeat_interleave(count)[:, None]
    m = n * count
    kind = chance.unit((m, 1))
    kind.view(n, count)[:, 0] = 0.0
    limits = (0.12, 0.34, 0.46, 0.66, 0.8, 0.9)
    near, wide, grid, flipped, spun, in_image = (
        (kind >= low) & (kind < high) for low, high in zip((-1.0, *limits[:-1]), limits, strict=True)
    )
    small = chance.normal((m, 1))
    even = chance.unit((m, 1))
    degrees = torch.where(
        near, 3.0 * small, torch.where(wide, 4.0 + 36.0 * even, torch.where(flipped, 6.0 * small, 10.0 * even))
    )
    degrees = torch.where(spun, 2.0 * small, degrees)
    turn = exp_so3(chance.directions((m,)) * torch.deg2rad(degrees))
    flip = half_and_quarter_turns(chance, T)
    about_axis = own_axis_turn(chance, T, chance.uniform((m,), math.radians(15.0), math.radians(345.0)))
    roll = torch.zeros((m, 3), device=d.device)
    roll[:, 2] = torch.deg2rad(chance.uniform((m,), 20.0, 340.0))
    first = torch.where(flipped[..., None], flip, torch.where(spun[..., None], about_axis, exp_so3(roll)))
    turn = torch.where((flipped | spun)[..., None], turn @ first, torch.where(in_image[..., None], first, turn))
    turn = torch.where(grid[..., None], chance.rotations((m,)), turn)
    misplaced = kind >= limits[-1]
    spread = torch.where(near | flipped | spun, 0.008, torch.where(misplaced, 0.12, 0.02))
    poses = shifted(T, turn, chance.normal((m, 3)) * spread * d).view(n, count, 4, 4)
    order = chance.unit((n, count)).argsort(dim=1)
    return poses.gather(1, order[..., None, None].expand_as(poses))
