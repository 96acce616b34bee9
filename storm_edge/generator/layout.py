"""Which objects stand where, and from where the camera looks: all scenes of a batch at once.

The world is z-up with the table at z = 0 and the first object over the origin. The others are put around it one
after the other, each against the ones that stand there already: in the direction in which it comes nearest, beyond
all of them, so that no two overlap, though they may touch. `storm_edge.generator.grasps` adds hands, grippers
and poles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import LayoutConfig
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.motions import about_z, exp_so3, rigid
from storm_edge.generator.resting import REST_COUNT

_DIRECTIONS = 8  # tried for every object; the nearest place is taken
_SIZE_PULL = 2.0  # how strongly objects of like size come together, per unit of log diameter
_EXTRA_DISTANCE_M = 0.05


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Objects in the world; ``N`` places, the first ones used."""

    slot: Tensor
    """Slot of each, -1 = nothing, ``(B, N)`` int64."""
    T_world_obj: Tensor
    """Poses [m], ``(B, N, 4, 4)``."""
    close_up: Tensor
    """Scenes of one or two near objects, ``(B,)`` bool."""
    held: Tensor
    """Objects in the air, ``(B, N)`` bool."""
    reach_m: Tensor
    """Radius around the origin that holds the objects [m], ``(B,)``."""


@dataclass(frozen=True, kw_only=True)
class Cameras:
    """From where the scenes are seen."""

    K: Tensor
    """Intrinsics [px], ``(B, 3, 3)``."""
    T_cam_world: Tensor
    """World to camera [m], ``(B, 4, 4)``."""
    azimuth_rad: Tensor
    """Side from which they look [rad], ``(B,)``."""


def set_stage(chance: Chance, pool: MeshPool, count: int, config: LayoutConfig) -> Stage:
    """Objects of ``count`` scenes."""
    n = config.places
    close_up = chance.happens((count,), config.close_up_share)
    low, high = config.object_count
    wanted = torch.where(
        close_up, 1 + chance.integers((count,), 2), low + chance.integers((count,), high - low + 1)
    ).clamp(max=n)
    slot = _choose(chance, pool, count, n)
    used = torch.arange(n, device=slot.device) < wanted[:, None]
    rest = chance.integers((count, n), REST_COUNT)
    R = about_z(chance.uniform((count, n), 0.0, 2.0 * math.pi)) @ pool.rest[slot, rest]
    height_m = pool.rest_height_m[slot, rest]
    share = torch.where(close_up, config.close_held_share, config.held_share)[:, None]
    held = chance.unit((count, n)) < share
    d = pool.diameter_m[slot]
    tilt = exp_so3(chance.normal((count, n, 3)) * 0.5)
    R = torch.where(held[..., None, None], tilt @ R, R)
    lift_m = chance.uniform((count, n), 0.3, 1.5) * d
    height_m = torch.where(held, lift_m + 0.5 * d, height_m)
    place_m = _side_by_side(chance, (pool.support[slot] @ R.transpose(-1, -2))[..., :2], used, d, config)
    T = rigid(R, torch.cat([place_m, height_m[..., None]], dim=-1))
    reach = torch.where(used, place_m.norm(dim=-1) + 0.5 * d, 0.0).amax(dim=1)
    return Stage(slot=torch.where(used, slot, -1), T_world_obj=T, close_up=close_up, held=held & used, reach_m=reach)


def place_cameras(
    chance: Chance, pool: MeshPool, stage: Stage, size_px: tuple[int, int], config: LayoutConfig
) -> Cameras:
    """A camera for every scene, so that the first object has the wanted size and lies in the picture."""
    count, (height, width) = len(stage.slot), size_px
    d = pool.diameter_m[stage.slot[:, 0]]
    apparent = torch.where(
        stage.close_up,
        chance.log_uniform((count,), *config.close_apparent_share),
        chance.log_uniform((count,), *config.apparent_share),
    )
    fx = width * chance.uniform((count,), *config.focal_share)
    distance_m = (fx * d / (apparent * width)).clamp(*config.distance_m)
    odd = chance.happens((count,), config.odd_pixels_share)
    fy = fx * torch.where(odd, chance.log_uniform((count,), *config.odd_pixels), 1.0)
    K = torch.zeros((count, 3, 3), device=d.device)
    K[:, 0, 0], K[:, 1, 1], K[:, 2, 2] = fx, fy, 1.0
    K[:, 0, 2] = (width - 1) / 2.0 + 0.015 * width * chance.normal((count,))
    K[:, 1, 2] = (height - 1) / 2.0 + 0.015 * width * chance.normal((count,))

    azimuth = chance.uniform((count,), 0.0, 2.0 * math.pi)
    elevation = chance.uniform((count,), *config.elevation_rad)
    roll = torch.where(chance.happens((count,), 0.5), config.roll_rad * chance.normal((count,)), 0.0)
    aim = stage.T_world_obj[:, 0, :3, 3] + _aside(chance, stage, d)
    return Cameras(K=K, T_cam_world=_looking(aim, azimuth, elevation, distance_m, roll), azimuth_rad=azimuth)


def _choose(chance: Chance, pool: MeshPool, count: int, n: int) -> Tensor:
    """Different slots ``(count, n)``; those beside the first are of like size, mostly."""
    first = chance.integers((count, 1), pool.object_count)
    size = torch.log(pool.diameter_m[: pool.object_count])
    # Gumbel noise turns the largest n into draws without repetition.
    score = -torch.log(-torch.log(chance.unit((count, pool.object_count)).clamp(1e-6, 1.0 - 1e-6)))
    score = score - _SIZE_PULL * (size - size[first]).abs()
    score.scatter_(1, first, float("-inf"))
    return torch.cat([first, score.topk(n - 1, dim=1).indices], dim=1)


def _side_by_side(chance: Chance, outline_m: Tensor, used: Tensor, d: Tensor, config: LayoutConfig) -> Tensor:
    """Places on the table ``(B, N, 2)`` [m] of objects with extreme points ``outline_m (B, N, P, 2)`` around them."""
    count, n = used.shape
    place = torch.zeros((count, n, 2), device=d.device)
    angle = chance.uniform((count, n, _DIRECTIONS), 0.0, 2.0 * math.pi)
    way = torch.stack([torch.cos(angle), torch.sin(angle)], dim=-1)
    gap_m = config.gap_diameters * chance.unit((count, n)) ** 3 * d[:, :1]
    aside_m = 0.25 * d[:, :1, None] * chance.normal((count, n, _DIRECTIONS))
    rows = torch.arange(count, device=d.device)
    for i in range(1, n):
        u = way[:, i]  # (B, M, 2)
        ahead = torch.einsum("bjpc,bmc->bmjp", outline_m[:, :i], u).amax(dim=-1)
        ahead = ahead + torch.einsum("bjc,bmc->bmj", place[:, :i], u)
        ahead = torch.where(used[:, None, :i], ahead, float("-inf")).amax(dim=-1)
        behind = torch.einsum("bpc,bmc->bmp", outline_m[:, i], -u).amax(dim=-1)
        along_m = ahead + behind + gap_m[:, i, None]
        nearest = along_m.argmin(dim=1)
        u = u[rows, nearest]
        across = torch.stack([-u[:, 1], u[:, 0]], dim=-1)
        place[:, i] = u * along_m[rows, nearest, None] + across * aside_m[rows, i, nearest, None]
    return place


def _aside(chance: Chance, stage: Stage, d: Tensor) -> Tensor:
    """What the camera aims beside the first object [m] ``(B, 3)``: towards the others, and anyhow."""
    there = (stage.slot >= 0)[..., None]
    middle = (stage.T_world_obj[..., :3, 3] * there).sum(dim=1) / there.sum(dim=1).clamp_min(1)
    toward = (middle - stage.T_world_obj[:, 0, :3, 3]) * chance.unit((len(d), 1))
    spread = torch.where(stage.close_up, 0.12, 0.3)[:, None]
    return toward + spread * d[:, None] * chance.normal((len(d), 3))


def _looking(aim: Tensor, azimuth: Tensor, elevation: Tensor, distance_m: Tensor, roll: Tensor) -> Tensor:
    """``T_cam_world (B, 4, 4)`` of cameras that look at points of a z-up world; as `synthetic.motion.camera_at`."""
    ce, se, ca, sa = torch.cos(elevation), torch.sin(elevation), torch.cos(azimuth), torch.sin(azimuth)
    outward = torch.stack([ce * ca, ce * sa, se], dim=-1)
    x = torch.stack([-sa, ca, torch.zeros_like(sa)], dim=-1)
    y = torch.linalg.cross(-outward, x)
    R = about_z(roll) @ torch.stack([x, y, -outward], dim=-2)
    return rigid(R, -(R @ (aim + distance_m[:, None] * outward)[..., None])[..., 0])
