"""A depth camera: what stereo, time of flight, a phone's LiDAR or a perfect sensor reports of the true depth.

`measure` draws a camera for every scene. What all kinds share is here: where the depth image lies on the colour
image, blind borders, range, dropouts, scale and steps of the reported depth. `depth_kinds` has what sets them apart.
"""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.camera_config import DepthCameraConfig
from storm_edge.generator.contract import RenderedScenes
from storm_edge.generator.depth_kinds import Surface, by_lidar, by_stereo, by_time_of_flight
from storm_edge.generator.image_fields import REFERENCE_WIDTH_PX, PerScene, looked_up, per_pixel


def measure(scenes: RenderedScenes, generator: torch.Generator, config: DepthCameraConfig) -> Tensor:
    """Measured z-depth [m] of the scenes, 0 = no reading, ``(B, H, W)`` float32.

    Args:
        scenes: The scenes, on the generator's device.
        generator: Source of chance; one state gives one batch.
        config: What the cameras are like.
    """
    chance = PerScene(len(scenes.depth_m), generator)
    surface = Surface.of(scenes)
    kind = torch.bucketize(chance.uniform((0.0, 1.0)), _borders(config, scenes.depth_m.device))
    z = torch.where(scenes.measurable, scenes.depth_m, 0.0)
    for number, report in enumerate((by_stereo, by_time_of_flight, by_lidar)):
        rows = torch.nonzero(kind == number)[:, 0]
        if len(rows):
            z[rows] = report(surface.rows(rows), z[rows], PerScene(len(rows), generator), config.kinds)
    z = _registered(z, scenes.truth.K, chance, config)
    return _reported(z, chance, generator, config)


def _borders(config: DepthCameraConfig, device: torch.device) -> Tensor:
    return torch.tensor(config.kind_shares, device=device).cumsum(0)


def _registered(z: Tensor, K: Tensor, chance: PerScene, config: DepthCameraConfig) -> Tensor:
    """The depth image as it lies on the colour image: shifted, partly by a parallax, and with blind borders."""
    height, width = z.shape[-2:]
    scale = width / REFERENCE_WIDTH_PX
    length = chance.log_uniform(config.shift_px) * scale * chance.occurs(config.shift_share)
    angle = chance.uniform((0.0, 2.0 * torch.pi))
    by_distance = per_pixel(chance.uniform((0.0, config.parallax_share)))
    # A shift of the centre of projection moves what is at z by f * shift / z, a turn moves everything alike.
    near = config.parallax_from_m / z.clamp_min(config.parallax_from_m)
    amount = (1.0 - by_distance + by_distance * near).mul_(per_pixel(length))
    z = looked_up(z, amount * per_pixel(angle.cos()), amount * per_pixel(angle.sin()))

    has_border = chance.occurs(config.border_share)
    u = torch.arange(width, device=z.device, dtype=torch.float32)
    v = torch.arange(height, device=z.device, dtype=torch.float32)
    side = chance.uniform(config.border, 4) * width * has_border[:, None]
    slope = chance.normal(config.slant, 4) * has_border[:, None]
    left, right = (side[:, i, None] + slope[:, i, None] * v for i in (0, 1))
    top, bottom = (side[:, i, None] + slope[:, i, None] * u for i in (2, 3))
    seen = (u >= left[:, :, None]) & (u <= width - 1 - right[:, :, None])
    seen &= (v[:, None] >= top[:, None, :]) & (v[:, None] <= height - 1 - bottom[:, None, :])
    return z * seen


def _reported(z: Tensor, chance: PerScene, generator: torch.Generator, config: DepthCameraConfig) -> Tensor:
    """Range, dropouts, scale and steps."""
    height, width = z.shape[-2:]
    limit = torch.where(chance.occurs(config.range_share), chance.uniform(config.range_m), torch.inf)
    seen = (z < per_pixel(limit)) & (z > per_pixel(chance.uniform(config.near_m)))
    scale = width / REFERENCE_WIDTH_PX
    size_px = chance.log_uniform(config.dropout_px) * scale
    losing = torch.nonzero(chance.occurs(config.dropout_share))[:, 0]
    share = chance.uniform(config.dropout)
    blobs = PerScene(len(losing), generator).field((height, width), size_px[losing], config.dropout_px[0] * scale)
    seen[losing] &= blobs < per_pixel(torch.special.ndtri(1.0 - share[losing]))
    step = torch.where(chance.occurs(0.5), chance.log_uniform(config.steps_m), 0.001)
    factor = (1.0 + chance.normal(config.scale_bias)) / step
    return (z * per_pixel(factor)).round_().mul_(per_pixel(step)).mul_(seen)
