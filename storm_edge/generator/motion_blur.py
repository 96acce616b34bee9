"""Motion during the exposure: the whole picture smeared along a line, or one object before what stands still."""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.contract import SceneTruth
from storm_edge.generator.image_fields import looked_up

_HALVINGS = 4
"""Each doubles the samples along the line; 16 samples are enough for the longest blur."""


def smeared(colour: Tensor, alpha: Tensor, path_px: Tensor) -> Tensor:
    """Average what moves along its path, in front of what does not.

    Args:
        colour: Pictures ``(B, 3, H, W)``.
        alpha: 1 where things move, 0 elsewhere, ``(B, H, W)``; all 1 when the camera moves.
        path_px: How far they move, right and down [px], ``(B, 2)``.
    """
    moving = torch.cat([colour * alpha[:, None], alpha[:, None]], dim=1)
    moving = _along(moving, path_px)
    return moving[:, :3] + colour * (1.0 - moving[:, 3:])


def _along(x: Tensor, path_px: Tensor) -> Tensor:
    """Mean over a line centred on each pixel: averaging with a copy half, a quarter, ... of the path away."""
    size = (len(x), *x.shape[-2:])
    steps = [(path_px * 0.5 ** (k + 1)).round() for k in range(_HALVINGS)]
    back = (-0.5 * torch.stack(steps).sum(0)).round()
    for k, step in enumerate(steps):
        if k == 0:
            here, there = back, back + step
        else:
            here, there = torch.zeros_like(step), step
        a = looked_up(x, *_everywhere(here, size)) if k == 0 else x
        x = (a + looked_up(x, *_everywhere(there, size))).mul_(0.5)
    return x


def _everywhere(step: Tensor, size: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """One displacement per scene ``(B, 2)`` for every pixel, twice ``(B, H, W)``."""
    return step[:, 0, None, None].expand(size), step[:, 1, None, None].expand(size)


def one_object(truth: SceneTruth, generator: torch.Generator) -> Tensor:
    """Where one visible object of each scene is, picked at random, ``(B, H, W)`` float; nowhere if there is none."""
    weight = torch.where(truth.slot >= 0, truth.visible_share, 0.0)
    place = torch.multinomial(weight + 1e-6, 1, generator=generator)
    return (truth.instance == place[:, :, None]).to(torch.float32)
