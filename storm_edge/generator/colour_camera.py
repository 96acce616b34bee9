"""A colour camera and its driver: blur, exposure, white balance, noise, tone curve, sharpening, compression.

`photograph` turns scenes as they are into pictures as a camera delivers them, each scene by a camera of its own,
drawn from clean to poor. The order is that of a real one: lens, sensor, processing, file.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from storm_edge.generator.contract import RenderedScenes, SceneTruth
from storm_edge.generator.image_fields import REFERENCE_WIDTH_PX, Chance, binomial, enlarged
from storm_edge.generator.jpeg import compressed
from storm_edge.generator.motion_blur import one_object, smeared

_DEFOCUS_PASSES = 4
"""Binomial blurs at most; each adds a variance of half a pixel squared."""
_LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class ColourCameraConfig:
    """Ranges that each scene's camera is drawn from; shares are of the scenes. ``(x, y)`` are both ends.

    Looked at for it: 118 frames of the 11 recordings in the development data. Their mean brightness is 0.37 to 0.53
    (automatic exposure), 0 to 18 % of the pixels are blown out, up to 5 % are darker than 0.05; mean red, green and
    blue are 0.92 to 1.15, 0.93 to 1.11 and 0.90 to 1.06 of the mean; the noise of flat patches is 0.001 to 0.010
    and correlates by 0.04 to 0.57 from pixel to pixel; blur by motion reaches 40 pixels.
    """

    motion_share: float = 0.35
    """Pictures with blur by motion."""
    motion_px: tuple[float, float] = (3.0, 40.0)
    """Its length, drawn in the logarithm [px of 640]."""
    object_motion_share: float = 0.4
    """Share of them in which one object moves, not the camera."""
    defocus_share: float = 0.6
    """Pictures that are out of focus, or by a poor lens."""
    defocus_px: tuple[float, float] = (0.5, 2.6)
    """Standard deviation of that blur [px of 640]."""
    metered_share: float = 0.85
    """Pictures whose exposure follows their brightness; the others keep the light as it is."""
    metered_level: tuple[float, float] = (0.3, 0.6)
    """Mean brightness of a metered picture."""
    metering: float = 0.75
    """How far exposure follows: 1 reaches the level, 0 keeps the light."""
    exposure_stops: float = 0.5
    """Standard deviation of the exposure of the others [stops]: from dark to blown out."""
    gain_limits: tuple[float, float] = (0.4, 2.5)
    """Least and greatest gain of any exposure."""
    temperature: float = 0.09
    """Standard deviation of the white balance from cold to warm, in the logarithm of red against blue, halved."""
    tint: tuple[float, float] = (-0.06, 0.11)
    """White balance from magenta to green, in the logarithm of green."""
    gamma: float = 0.22
    """Standard deviation of the tone curve's exponent, in the logarithm."""
    contrast: tuple[float, float] = (-0.3, 0.6)
    """Blend with an S-shaped curve; negative flattens."""
    saturation: tuple[float, float] = (0.55, 1.3)
    """0 is grey, 1 as it is."""
    haze_share: float = 0.4
    """Pictures with stray light."""
    haze: tuple[float, float] = (0.0, 0.14)
    """Light that is added everywhere."""
    vignetting: tuple[float, float] = (0.0, 0.35)
    """How much darker the corners are."""
    read_noise: tuple[float, float] = (0.001, 0.012)
    """Standard deviation of the noise in the dark, drawn in the logarithm."""
    shot_noise: tuple[float, float] = (0.002, 0.03)
    """Standard deviation of the noise that grows with the root of brightness, at white, drawn in the logarithm."""
    coarse_noise: tuple[float, float] = (0.2, 1.0)
    """Part of the noise with a grain of two pixels and of any colour, as a denoiser leaves it; the rest is grey."""
    sharpening_share: float = 0.4
    """Pictures that the driver sharpened, with halos at edges."""
    sharpening: tuple[float, float] = (0.2, 1.2)
    """How much of what a blur takes away is added."""
    jpeg_share: float = 0.45
    """Pictures that were compressed."""
    jpeg_quality: tuple[float, float] = (30.0, 95.0)
    """Quality, 1..100."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{field.name} {value} must have its lower end first")


def photograph(scenes: RenderedScenes, generator: torch.Generator, config: ColourCameraConfig) -> Tensor:
    """Pictures of the scenes, in steps of 1/255, ``(B, 3, H, W)`` float32 in [0, 1].

    Args:
        scenes: The scenes, on the generator's device.
        generator: Source of chance; one state gives one batch.
        config: What the cameras are like.
    """
    chance = Chance(len(scenes.colour), generator)
    x = _through_the_lens(scenes.colour, scenes.truth, chance, generator, config)
    x = _sensed(x, chance, config)
    x = _toned(x, chance, config)
    x = _stored(x, chance, config)
    return x.mul_(255.0).round_().div_(255.0)


def _through_the_lens(
    colour: Tensor, truth: SceneTruth, chance: Chance, generator: torch.Generator, config: ColourCameraConfig
) -> Tensor:
    """Blur by motion and by the lens; a copy."""
    scale = colour.shape[-1] / REFERENCE_WIDTH_PX
    x = colour.clone()
    angle = chance.uniform((0.0, 2.0 * torch.pi))
    path = torch.stack([angle.cos(), angle.sin()], dim=1) * (chance.log_uniform(config.motion_px) * scale)[:, None]
    alpha = one_object(truth, generator)
    alpha = torch.where(chance.occurs(config.object_motion_share)[:, None, None], alpha, 1.0)
    moved = torch.nonzero(chance.occurs(config.motion_share))[:, 0]
    x[moved] = smeared(x[moved], alpha[moved], path[moved])
    variance = (chance.uniform(config.defocus_px) * scale).square()
    soft = torch.nonzero(chance.occurs(config.defocus_share))[:, 0]
    blurred, passes = x[soft], 2.0 * variance[soft]
    for k in range(_DEFOCUS_PASSES):
        blurred.lerp_(binomial(blurred), (passes - k).clamp(0.0, 1.0)[:, None, None, None])
    x[soft] = blurred
    return x


def _sensed(x: Tensor, chance: Chance, config: ColourCameraConfig) -> Tensor:
    """Exposure, white balance, vignetting, noise and the limits of the sensor, in place."""
    height, width = x.shape[-2:]
    warm, green = chance.normal(config.temperature), chance.uniform(config.tint)
    balance = torch.stack([warm, green, -warm], dim=1)
    balance = (balance - balance.mean(1, keepdim=True)).exp()
    level = x.mean((1, 2, 3)).clamp_min(1e-3)
    metered = (chance.uniform(config.metered_level) / level) ** config.metering
    gain = torch.where(
        chance.occurs(config.metered_share), metered, torch.exp2(chance.normal(config.exposure_stops))
    ).clamp(*config.gain_limits)
    across = torch.linspace(-1.0, 1.0, width, device=x.device).square()
    down = torch.linspace(-1.0, 1.0, height, device=x.device).square()
    dark = chance.uniform(config.vignetting)[:, None, None] * (0.5 * (across + down[:, None]))
    x.mul_((gain[:, None] * balance)[:, :, None, None]).mul_((1.0 - dark)[:, None])
    coarse = chance.uniform(config.coarse_noise)[:, None, None, None]
    grain = enlarged(chance.white(((height + 1) // 2, (width + 1) // 2), 3), (height, width))
    grain.mul_(1.6 * coarse)  # interpolation to twice the size leaves a variance of 0.625 squared
    grain.add_(chance.white((height, width), 1).mul_((1.0 - coarse.square()).sqrt()))
    read, shot = (chance.log_uniform(span)[:, None, None] for span in (config.read_noise, config.shot_noise))
    deviation = (luminance(x).clamp_(0.0, 1.0) * shot.square()).add_(read.square()).sqrt_()
    return x.addcmul_(grain, deviation[:, None]).clamp_(0.0, 1.0)


def _toned(x: Tensor, chance: Chance, config: ColourCameraConfig) -> Tensor:
    """Tone curve, contrast, saturation and haze, in place."""

    def each(value: Tensor) -> Tensor:
        return value[:, None, None, None]

    # Schlick's bias curve (Graphics Gems IV, "Fast alternatives to Perlin's bias and gain"): x to a power, nearly.
    bend = each(torch.exp2(chance.normal(config.gamma).exp()) - 2.0)
    x.div_((x * -bend).add_(bend + 1.0))
    contrast = each(chance.uniform(config.contrast))
    x.add_((x * -2.0).add_(3.0).mul_(x).sub_(1.0).mul_(x).mul_(contrast))
    grey = luminance(x)[:, None]
    x.sub_(grey).mul_(each(chance.uniform(config.saturation))).add_(grey)
    haze = each(chance.sometimes(config.haze_share, config.haze))
    return x.mul_(1.0 - haze).add_(haze)


def _stored(x: Tensor, chance: Chance, config: ColourCameraConfig) -> Tensor:
    """Sharpening and compression, in place."""
    amount = chance.uniform(config.sharpening)
    sharp = torch.nonzero(chance.occurs(config.sharpening_share))[:, 0]
    part = x[sharp]
    x[sharp] = torch.lerp(binomial(part), part, 1.0 + amount[sharp, None, None, None])
    x.clamp_(0.0, 1.0)
    quality = chance.uniform(config.jpeg_quality).round()
    packed = torch.nonzero(chance.occurs(config.jpeg_share))[:, 0]
    x[packed] = compressed(x[packed], quality[packed])
    return x


def luminance(rgb: Tensor) -> Tensor:
    """Brightness ``(B, H, W)`` of colours ``(B, 3, H, W)``."""
    red, green, blue = _LUMINANCE
    return (rgb[:, 0] * red).add_(rgb[:, 1], alpha=green).add_(rgb[:, 2], alpha=blue)
