"""What sets stereo, time of flight and a phone's LiDAR apart: their noise, their edges and where they are blind.

Each function is given the true depth of some scenes and returns what such a camera would report, before anything
that all cameras share (`depth_camera`). The magnitudes of stereo are those of Ahn et al. 2019 and Intel's D400 tuning
guide; the recordings in the development data were measured for the rest, see `camera_config`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from storm_edge.generator.camera_config import DepthKindsConfig
from storm_edge.generator.colour_camera import luminance
from storm_edge.generator.contract import RenderedScenes
from storm_edge.generator.image_fields import (
    REFERENCE_WIDTH_PX,
    PerScene,
    binomial,
    enlarged,
    farthest_of_3x3,
    halved,
    looked_up,
    nearest_of_3x3,
    per_pixel,
)

_FAR_M = 100.0
"""Stands for "no depth" where the nearest or farthest is looked for [m]."""
_BINOMIAL_GAIN = 8.0 / 3.0
"""Brings white noise back to its variance after `binomial`."""
_TWICE_GAIN = 128.0 / 35.0
"""The same after two of them."""
_MIN_M = 0.05
"""Least depth that anything is divided by [m]."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What decides how well a pixel is measured."""

    brightness: Tensor
    """Luminance of the lit surface, ``(B, H, W)``."""
    cosine: Tensor
    """Of the angle between its normal and the ray to it, ``(B, H, W)``."""
    fx: Tensor
    """Focal length [px], ``(B,)``."""

    @staticmethod
    def of(scenes: RenderedScenes) -> Surface:
        """The surfaces of scenes."""
        K, (height, width) = scenes.truth.K, scenes.depth_m.shape[-2:]
        device = K.device
        x = (torch.arange(width, device=device) - K[:, 0, 2, None]) / K[:, 0, 0, None]
        y = (torch.arange(height, device=device) - K[:, 1, 2, None]) / K[:, 1, 1, None]
        n = scenes.normal
        along = torch.addcmul(n[:, 2], n[:, 0], x[:, None, :]).addcmul_(n[:, 1], y[:, :, None])
        length = (1.0 + x.square()[:, None, :] + y.square()[:, :, None]).rsqrt_()
        return Surface(brightness=_in_even_light(luminance(scenes.colour)), cosine=-along * length, fx=K[:, 0, 0])

    def rows(self, rows: Tensor) -> Surface:
        """Some of the scenes."""
        return Surface(brightness=self.brightness[rows], cosine=self.cosine[rows], fx=self.fx[rows])


def _in_even_light(brightness: Tensor) -> Tensor:
    """As if the mean were a usual one: a camera with its own light does not mind a dark room, but black things."""
    return brightness * (0.45 / brightness.mean((1, 2), keepdim=True).clamp_min(1e-3)).clamp(0.5, 4.0)


def by_stereo(surface: Surface, z: Tensor, chance: PerScene, config: DepthKindsConfig) -> Tensor:
    """Stereo with two eyes: reported depth [m] ``(B, H, W)`` of true ``z`` [m], 0 = none."""
    size_px, scale = (z.shape[1], z.shape[2]), z.shape[2] / REFERENCE_WIDTH_PX
    seen = ~_unreadable(surface, chance, config)
    baseline = chance.uniform(config.baseline_m) * chance.sign()
    shadow = _shadow(z, surface.fx * baseline) & chance.occurs(config.shadow_share)[:, None, None]
    z = _fattened(z, chance.uniform(config.fattening_px) * scale)
    jitter = per_pixel(chance.uniform(config.jitter_px) * scale)
    lump, finest = chance.log_uniform(config.lump_px) * scale, config.lump_px[0] * scale
    across = chance.field(size_px, lump, finest).mul_(jitter)
    z = looked_up(z, across, across.flip(-1, -2))  # turned around it is as good as another field
    # All that follows is of the disparity, of which 1/z is a multiple: its noise is the same everywhere.
    near = torch.where(z > 0.0, 1.0 / z.clamp_min(_MIN_M), 0.0)
    near = _windowed(near, chance, config, scale)
    white = chance.white(size_px)
    soft = binomial(binomial(white)) * _TWICE_GAIN
    noise = soft.lerp_(white, per_pixel(chance.uniform(config.white_share)))
    noise.addcmul_(chance.field(size_px, lump, finest), per_pixel(chance.uniform(config.lump_strength)))
    near = noise.mul_(per_pixel(chance.log_uniform(config.noise_m))).add_(near)
    step = per_pixel(chance.log_uniform(config.disparity_step_m))
    stepped = (near / step).round_().mul_(step)
    near = torch.where(chance.occurs(config.disparity_share)[:, None, None], stepped, near)
    return (1.0 / near.clamp_min(1.0 / _FAR_M)).mul_((z > 0.0) & seen & ~shadow)


def by_time_of_flight(surface: Surface, z: Tensor, chance: PerScene, config: DepthKindsConfig) -> Tensor:
    """Time of flight: reported depth [m] ``(B, H, W)`` of true ``z`` [m], 0 = none."""
    size_px, scale = (z.shape[1], z.shape[2]), z.shape[2] / REFERENCE_WIDTH_PX
    seen = (z > 0.0) & ~_unreadable(surface, chance, config)
    near, far = _reach(z)
    edge = (far - near) > 0.04 * near
    lost_px = per_pixel(chance.uniform(config.flight_edge_px) * scale)
    lost = edge & (lost_px > 0.5)
    for k in range(1, 5):
        grown = farthest_of_3x3(lost.to(torch.float32)) > 0.0
        lost = torch.where(lost_px > k + 0.5, grown, lost)
    flies = edge & (chance.uniform((0.0, 1.0), *size_px) < per_pixel(chance.uniform(config.flight_flying)))
    between = torch.lerp(near, far, chance.uniform((0.0, 1.0), *size_px))
    z = torch.where(flies, between, z)
    light = (surface.brightness.clamp(0.02, 1.0) * surface.cosine.clamp(0.1, 1.0)).rsqrt_()
    deviation = light.mul_(z).mul_(per_pixel(chance.log_uniform(config.flight_noise_m)))
    white = chance.white(size_px)
    noise = (binomial(white) * _BINOMIAL_GAIN).lerp_(white, 0.4)
    detour = chance.field(size_px, chance.uniform((40.0, 120.0)) * scale, 40.0 * scale).abs_()
    z = z + deviation.mul_(noise) + detour.mul_(per_pixel(chance.uniform(config.flight_bias_m)))
    return z.mul_(seen & ~lost)


def by_lidar(surface: Surface, z: Tensor, chance: PerScene, config: DepthKindsConfig) -> Tensor:
    """A phone's LiDAR, filled in and smoothed: reported depth [m] ``(B, H, W)`` of true ``z`` [m], 0 = none."""
    size_px, scale = (z.shape[1], z.shape[2]), z.shape[2] / REFERENCE_WIDTH_PX
    seen = (z > 0.0).to(torch.float32)
    cell = chance.uniform(config.lidar_cell_px) * scale
    both = torch.stack([z, seen], dim=1)
    fine, coarse = (_halved_and_back(both, times) for times in (1, 2))
    amount = ((cell - 1.0) / 3.0).clamp(0.0, 1.0)[:, None, None, None]
    both = torch.lerp(fine, coarse, amount)
    wave = chance.field(size_px, chance.uniform(config.lidar_wave_px) * scale, config.lidar_wave_px[0] * scale)
    wave = wave.mul_(per_pixel(chance.log_uniform(config.lidar_wave))).add_(1.0)
    return (both[:, 0] / both[:, 1].clamp_min(1e-6)).mul_(wave).mul_(both[:, 1] > 0.5)


def _unreadable(surface: Surface, chance: PerScene, config: DepthKindsConfig) -> Tensor:
    """Where surfaces are too slanted, too dark or too bright to be measured, ``(B, H, W)`` bool."""
    size_px = (surface.cosine.shape[1], surface.cosine.shape[2])
    scale = size_px[1] / REFERENCE_WIDTH_PX
    patches = chance.field(size_px, chance.uniform((8.0, 30.0)) * scale, 8.0 * scale)
    limit = per_pixel(chance.uniform(config.grazing_cosine) * chance.occurs(0.7))
    lost = surface.cosine < limit * (1.0 + 0.3 * patches)
    dark = per_pixel(chance.uniform(config.dark_level))
    bright = per_pixel(chance.uniform(config.bright_level))
    poor = (surface.brightness < dark) | (surface.brightness > bright)
    return lost | (poor & (patches > 0.3))


def _shadow(z: Tensor, baseline_px_m: Tensor) -> Tensor:
    """Pixels that the second eye cannot see because something nearer covers them, ``(B, H, W)`` bool.

    An eye to the right sees a pixel at column ``u - disparity``; it is hidden when one to its right lands on the same
    or an earlier column. For an eye to the left the picture is mirrored.
    """
    mirrored = (baseline_px_m < 0.0)[:, None, None]
    z = torch.where(mirrored, z.flip(-1), z)
    disparity = torch.where(z > 0.0, per_pixel(baseline_px_m.abs()) / z.clamp_min(_MIN_M), 0.0)
    landing = torch.arange(z.shape[2], device=z.device, dtype=torch.float32) - disparity
    earliest = landing.flip(-1).cummin(-1).values.flip(-1)
    hidden = landing >= F.pad(earliest[..., 1:], (0, 1), value=torch.inf)
    hidden = torch.where(mirrored, hidden.flip(-1), hidden)
    return hidden


def _reach(z: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest and farthest depth around each pixel that has one [m], ``(B, H, W)``; itself where none has."""
    near = nearest_of_3x3(torch.where(z > 0.0, z, _FAR_M))
    far = farthest_of_3x3(z)
    return torch.minimum(near, far), far


def _fattened(z: Tensor, reach_px: Tensor) -> Tensor:
    """Near things grown over what is behind them by up to 3 px; what has no depth neither grows nor shrinks."""
    grown = torch.where(z > 0.0, z, _FAR_M)
    for k in range(3):
        grown = torch.where((reach_px > k + 0.5)[:, None, None], nearest_of_3x3(grown), grown)
    return torch.where(z > 0.0, grown, 0.0)


def _windowed(near: Tensor, chance: PerScene, config: DepthKindsConfig, scale: float) -> Tensor:
    """Inverse depth averaged over the matching window; across a depth edge the blend flies, or is not reported."""
    seen = (near > 0.0).to(torch.float32)
    passes = per_pixel(2.0 * (chance.log_uniform(config.window_px) * scale).square())
    both = torch.stack([near, seen], dim=1)
    for reach, cost in ((1, 1.0), (1, 1.0), (1, 1.0), (1, 1.0), (2, 4.0)):
        both.lerp_(binomial(both, reach), (passes / cost).clamp(0.0, 1.0)[:, None])
        passes = passes - cost
    mean, weight = both.unbind(1)
    mean = mean / weight.clamp_min(1e-6)
    on_surface = (mean - near).abs() < per_pixel(chance.log_uniform(config.smoothed_step)) * near
    flies = chance.uniform((0.0, 1.0), near.shape[1], near.shape[2]) < per_pixel(chance.uniform(config.flying))
    return torch.where(on_surface | flies, mean, near) * seen


def _halved_and_back(x: Tensor, times: int) -> Tensor:
    """Means of blocks of 2 or 4 pixels, interpolated linearly in between, ``(B, C, H, W)``."""
    height, width = x.shape[-2:]
    cell = 2**times
    small = F.pad(x, (0, -width % cell, 0, -height % cell), mode="replicate")
    full = (small.shape[-2], small.shape[-1])
    for _ in range(times):
        small = halved(small)
    return enlarged(small, full)[..., :height, :width]
