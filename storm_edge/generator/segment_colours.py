"""Colours as the segmenter's inputs count them, for whole batches; `kernels.segment_inputs.colour_model` in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.kernels.segment_inputs import colour_model as reference

SAMPLES = 1024
"""Colours taken of an object; the run time takes about `colour_model.MAX_SAMPLES`, picked alike."""


def rgb_bins(rgb: Tensor) -> Tensor:
    """Which entry of a flattened density over RGB colours in [0, 1] ``(B, 3, ...)`` read, ``(B, ...)`` int64."""
    count = reference.RGB_BINS
    bins = (rgb * count).long().clamp_(max=count - 1)
    return (bins[:, 0] * count + bins[:, 1]) * count + bins[:, 2]


def chroma_bins(rgb: Tensor) -> Tensor:
    """Which entry of a flattened density over shares of red and green they read, ``(B, ...)`` int64."""
    count, floor = reference.CHROMA_BINS, reference.CHROMA_FLOOR
    total = rgb.sum(1, keepdim=True) + 3 * floor
    bins = ((rgb[:, :2] + floor) / total * count).long().clamp_(0, count - 1)
    return bins[:, 0] * count + bins[:, 1]


def densities(bins: Tensor, weight: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """Smoothed histograms, 1 everywhere for a picture of all colours, flattened ``(B, prod(shape))``.

    Args:
        bins: Flat indices ``(B, P)``.
        weight: How much each counts ``(B, P)``; all alike if None.
        shape: Of the histogram.
    """
    size = 1
    for side in shape:
        size *= side
    counts = torch.zeros((len(bins), size), device=bins.device)
    counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=torch.float32) if weight is None else weight)
    grid = counts.reshape(-1, *shape)
    for axis in range(1, grid.dim()):
        n = grid.shape[axis] - 1
        smooth = grid * 0.5
        smooth.narrow(axis, 0, n).add_(grid.narrow(axis, 1, n), alpha=0.25)
        smooth.narrow(axis, 1, n).add_(grid.narrow(axis, 0, n), alpha=0.25)
        grid = smooth
    flat = grid.flatten(1)
    return flat * (size / flat.sum(1, keepdim=True).clamp_min(1e-9))


def colour_models(rgb: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Densities of objects' colours, widened by what exposure and white balance do to them.

    Args:
        rgb: Colours of pixels in [0, 1], ``(n, 3, P)``.
        seen: Which of them show the object, ``(n, P)`` bool.

    Returns:
        Over RGB ``(n, 4096)`` and over red and green shares ``(n, 576)``.
    """
    # As many pixels of each, evenly over those that show it: the k-th of them by bisection in their count so far.
    rank = seen.to(torch.float32).cumsum(1)
    wanted = (torch.arange(SAMPLES, device=rgb.device) + 0.5) / SAMPLES * rank[:, -1:]
    picked = torch.searchsorted(rank, wanted.contiguous()).clamp_(max=rgb.shape[2] - 1)
    samples = rgb.gather(2, picked[:, None].expand(-1, 3, -1))
    gains = torch.tensor(
        [[e * b for b in balance] for e in reference.EXPOSURES for balance in reference.BALANCES],
        device=rgb.device,
    )
    lit = (samples[:, :, None] * gains.T[None, :, :, None]).clamp_(max=1.0).flatten(2)
    return (
        densities(rgb_bins(lit), None, (reference.RGB_BINS,) * 3),
        densities(chroma_bins(lit), None, (reference.CHROMA_BINS,) * 2),
    )
