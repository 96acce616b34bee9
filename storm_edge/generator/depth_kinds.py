"""What sets stereo, time of flight and a phone's LiDAR apart: their noise, their edges and where they are blind.

Each function is given the true depth of some scenes and returns what such a camera would report, before anything
that all cameras share (`depth_camera`). The magnitudes of stereo are those of Ahn et al. 2019 and Intel's D400 tuning
guide; the recordings in the development data were measured for the rest, see `DepthKindsConfig`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from storm_edge.generator.colour_camera import luminance
from storm_edge.generator.contract import RenderedScenes
from storm_edge.generator.image_fields import (
    REFERENCE_WIDTH_PX,
    Chance,
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
class DepthKindsConfig:
    """Ranges that each scene's camera is drawn from; shares are of the scenes. ``(x, y)`` are both ends.

    Measured in the development data, as the root mean square distance from a plane of windows of 7x7 pixels at 320
    pixels wide, the lower quartile over windows (flat ones), with the correlation from pixel to pixel:

    * Stereo: 0.46 mm at 0.6 m, 0.7 at 1 m, correlation 0.5 to 0.7 (ycb_*); 0.9 mm at 0.6 m, 2.3 at 1 m, 6.8 at 1.6 m,
      0.7 (cup); 0.5 mm at 0.8 m, 1.1 at 1.4 m, 0.4 to 0.5 (mustard); 0.7 mm at 0.6 m, 1.2 at 0.8 m, 9 at 2.6 m, 0.6
      (pillar_a): 0.6 to 2.3 mm at 1 m, growing with z^2.
    * Structured light (basket): 0.6 mm at 0.4 m, 1.3 at 1 m, 0.5, in visible steps.
    * Time of flight (mustard_pole): 0.41 mm at 0.6 m, 0.57 at 1 m, 0.94 at 1.6 m, 0.3 to 0.6: it grows with z.

    Edges: stereo's shadow is 8 to 14 px wide on one side (0.05 m between the eyes) and outlines of near things
    reach 0 to 5 px over what is behind; time of flight drops about 13 px on both sides. 0.1 to 3.7 px per edge have
    a depth between the two surfaces.
    """

    noise_m: tuple[float, float] = (0.0006, 0.003)
    """Stereo: standard deviation of the depth at 1 m, drawn in the logarithm [m]; grows with z^2."""
    white_share: tuple[float, float] = (0.0, 0.5)
    """Stereo: part of the noise that is independent per pixel; the rest has a grain of two pixels."""
    lump_strength: tuple[float, float] = (0.2, 1.5)
    """Stereo: lumps over the noise above."""
    lump_px: tuple[float, float] = (6.0, 24.0)
    """Stereo: size of the lumps, drawn in the logarithm [px of 640]."""
    disparity_share: float = 0.25
    """Stereo: cameras with visible steps of the disparity, as structured light has."""
    disparity_step_m: tuple[float, float] = (0.0005, 0.004)
    """Stereo: depth at 1 m that one such step is [m]."""
    window_px: tuple[float, float] = (0.5, 4.0)
    """Stereo: standard deviation of the matching window, drawn in the logarithm [px of 640]."""
    smoothed_step: tuple[float, float] = (0.005, 0.04)
    """Stereo: depth steps up to this share of the depth are smoothed over like a surface, drawn in the logarithm."""
    flying: tuple[float, float] = (0.0, 0.8)
    """Stereo: share of the blended pixels at depth edges that are reported."""
    fattening_px: tuple[float, float] = (-3.0, 5.0)
    """Stereo: how far near things grow over what is behind them [px of 640]; not at all where negative."""
    jitter_px: tuple[float, float] = (0.0, 3.0)
    """Stereo: how far outlines are displaced [px of 640]."""
    baseline_m: tuple[float, float] = (0.015, 0.075)
    """Stereo: distance between the eyes [m], on either side."""
    shadow_share: float = 0.85
    """Stereo: cameras that show the shadow of the second eye; the others fill it in with what is behind."""
    grazing_cosine: tuple[float, float] = (0.05, 0.3)
    """Surfaces whose normal is this far off the view go missing; in 70 % of the cameras."""
    dark_level: tuple[float, float] = (-0.1, 0.15)
    """Surfaces with a luminance below this lose depth in patches; none where negative."""
    bright_level: tuple[float, float] = (0.85, 1.6)
    """So do surfaces above this: highlights, and white plastic near the projector (0.2 of it in pillar_a)."""
    flight_noise_m: tuple[float, float] = (0.0003, 0.002)
    """Time of flight: standard deviation at 1 m on a bright surface, drawn in the logarithm [m]; grows with z."""
    flight_bias_m: tuple[float, float] = (0.0, 0.006)
    """Time of flight: how much too far light by detours makes things [m]; 1 to 3 mm on white plastic."""
    flight_edge_px: tuple[float, float] = (-4.0, 8.0)
    """Time of flight: width lost on each side of depth edges [px of 640]; none where negative."""
    flight_flying: tuple[float, float] = (0.0, 1.0)
    """Time of flight: share of pixels at an edge that fly between both surfaces."""
    lidar_cell_px: tuple[float, float] = (2.5, 10.0)
    """LiDAR: size of what it resolves [px of 640]; 256 columns are 2.5, its few points are coarser."""
    lidar_wave: tuple[float, float] = (0.001, 0.01)
    """LiDAR: standard deviation of its smooth relative error, drawn in the logarithm."""
    lidar_wave_px: tuple[float, float] = (30.0, 120.0)
    """LiDAR: size of its waves [px of 640]."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{field.name} {value} must have its lower end first")


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


def by_stereo(surface: Surface, z: Tensor, chance: Chance, config: DepthKindsConfig) -> Tensor:
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


def by_time_of_flight(surface: Surface, z: Tensor, chance: Chance, config: DepthKindsConfig) -> Tensor:
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


def by_lidar(surface: Surface, z: Tensor, chance: Chance, config: DepthKindsConfig) -> Tensor:
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


def _unreadable(surface: Surface, chance: Chance, config: DepthKindsConfig) -> Tensor:
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


def _windowed(near: Tensor, chance: Chance, config: DepthKindsConfig, scale: float) -> Tensor:
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
