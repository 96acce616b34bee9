"""A colour camera and its driver: blur, exposure, white balance, noise, tone curve, sharpening, compression.

`photograph` turns scenes as they are into pictures as a camera delivers them, each scene by a camera of its own,
drawn from clean to poor. The order is that of a real one: lens, sensor, processing, file.
"""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.camera_config import ColourCameraConfig
from storm_edge.generator.contract import RenderedScenes, SceneTruth
from storm_edge.generator.image_fields import REFERENCE_WIDTH_PX, PerScene, binomial, enlarged
from storm_edge.generator.jpeg import compressed
from storm_edge.generator.motion_blur import one_object, smeared

_DEFOCUS_PASSES = 4
"""Binomial blurs at most; each adds a variance of half a pixel squared."""
_LUMINANCE = (0.299, 0.587, 0.114)


def photograph(scenes: RenderedScenes, generator: torch.Generator, config: ColourCameraConfig) -> Tensor:
    """Pictures of the scenes, in steps of 1/255, ``(B, 3, H, W)`` float32 in [0, 1].

    Args:
        scenes: The scenes, on the generator's device.
        generator: Source of chance; one state gives one batch.
        config: What the cameras are like.
    """
    chance = PerScene(len(scenes.colour), generator)
    x = _through_the_lens(scenes.colour, scenes.truth, chance, generator, config)
    x = _sensed(x, chance, config)
    x = _toned(x, chance, config)
    x = _stored(x, chance, config)
    return x.mul_(255.0).round_().div_(255.0)


def _through_the_lens(
    colour: Tensor, truth: SceneTruth, chance: PerScene, generator: torch.Generator, config: ColourCameraConfig
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


def _sensed(x: Tensor, chance: PerScene, config: ColourCameraConfig) -> Tensor:
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


def _toned(x: Tensor, chance: PerScene, config: ColourCameraConfig) -> Tensor:
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


def _stored(x: Tensor, chance: PerScene, config: ColourCameraConfig) -> Tensor:
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
