"""Lights of the scenes: light from everywhere, a main light that casts shadows, and a weaker one that does not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import LightConfig
from storm_edge.generator.motions import frame_of, inverse, rigid

_MARGIN = 1.1  # of the shadow map around the objects


@dataclass(frozen=True, kw_only=True)
class Lights:
    """Lights of ``B`` scenes in a z-up world."""

    ambient: Tensor
    """Light from everywhere, RGB, ``(B, 3)``."""
    key: Tensor
    """Main light at the objects, RGB, ``(B, 3)``."""
    key_at_m: Tensor
    """Where it stands [m], ``(B, 3)``."""
    key_distance_m: Tensor
    """From the objects [m], ``(B,)``."""
    fill: Tensor
    """The other light, RGB, ``(B, 3)``."""
    to_fill: Tensor
    """Unit direction towards it, ``(B, 3)``."""
    T_light_world: Tensor
    """World to the main light, which looks along z at the objects, ``(B, 4, 4)``."""
    shadow_f: Tensor
    """Focal length of the shadow map [px], 0 where none is cast, ``(B,)``."""


def make_lights(chance: Chance, middle_m: Tensor, radius_m: Tensor, config: LightConfig) -> Lights:
    """Lights around scenes.

    Args:
        chance: Source of randomness.
        middle_m: Middle of the objects [m], ``(B, 3)``.
        radius_m: Radius around it that holds them [m], ``(B,)``.
        config: What they are like.
    """
    count = len(middle_m)
    outward = chance.directions((count,))
    outward[:, 2] = outward[:, 2].abs() + 0.35
    outward = outward / outward.norm(dim=-1, keepdim=True)
    distance_m = chance.log_uniform((count,), 0.8, 4.0) + 2.0 * radius_m
    at_m = middle_m + outward * distance_m[:, None]
    R_world_light = frame_of(-outward, torch.zeros_like(distance_m))
    to_fill = chance.directions((count,))
    to_fill[:, 2] = to_fill[:, 2].abs()
    half_px = 0.5 * (config.shadow_px - 1)
    brightness = chance.uniform((count, 1), *config.brightness)
    key_share = chance.uniform((count, 1), *config.key_share)
    fill_share = chance.uniform((count, 1), *config.fill_share)
    casts = chance.happens((count,), config.shadow_share)
    return Lights(
        ambient=_tinted(chance, brightness * (1.0 - key_share), config),
        key=_tinted(chance, brightness * key_share, config),
        key_at_m=at_m,
        key_distance_m=distance_m,
        fill=_tinted(chance, brightness * key_share * fill_share, config),
        to_fill=to_fill,
        T_light_world=inverse(rigid(R_world_light, at_m)),
        shadow_f=torch.where(casts, half_px * (distance_m - radius_m) / (_MARGIN * radius_m), 0.0),
    )


def _tinted(chance: Chance, strength: Tensor, config: LightConfig) -> Tensor:
    """Light of some colour, ``(B, 3)``, of ``strength (B, 1)``."""
    return strength * torch.exp(config.tint * chance.normal((len(strength), 3)))
