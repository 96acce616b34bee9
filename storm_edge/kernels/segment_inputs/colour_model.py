"""Which colours an object has under any usual light, and how well those of an image fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

RGB_BINS = 16
"""Bins per channel of RGB."""
CHROMA_BINS = 24
"""Bins per share of red and of green."""
MAX_SAMPLES = 1500
"""About so many colours of an object are taken."""
EXPOSURES = (0.55, 0.75, 1.0, 1.3)
"""Gains of all channels under which an object is expected to be seen."""
BALANCES = ((1, 1, 1), (1.12, 1, 0.9), (0.9, 1, 1.12), (0.9, 1.1, 0.95), (1.08, 0.92, 1.05))
"""Gains of red, green and blue by white balance."""
CHROMA_FLOOR = 0.02
"""Added to each channel before shares are taken: dark pixels have no chroma, they tend to grey."""


@dataclass(frozen=True, kw_only=True)
class ColourModel:
    """Which colours an object has under any usual light, as log densities over those of a uniform picture."""

    rgb: Float32
    """Density over RGB ``(16, 16, 16)``, 1 for a picture of all colours."""
    chroma: Float32
    """Density over red and green shares ``(24, 24)``, in the same unit."""

    @property
    def own_bits(self) -> float:
        """Mean log2 density of the object's own pixels under usual light."""
        return float((self.rgb * np.log2(1.0 + self.rgb)).sum() / self.rgb.sum())


def colour_model(samples: Float32) -> ColourModel:
    """Densities of an object's colours, widened by what exposure and white balance do to them.

    Args:
        samples: Colours of its visible pixels, RGB in [0, 1] ``(N, 3)``.
    """
    samples = samples[:: max(1, len(samples) // MAX_SAMPLES)]
    gains = np.array([[e * b for b in balance] for e in EXPOSURES for balance in BALANCES], dtype=np.float32)
    lit = np.minimum(samples[None] * gains[:, None], np.float32(1.0)).reshape(-1, 3)
    return ColourModel(
        rgb=colour_density(rgb_bins_of(lit), (RGB_BINS,) * 3),
        chroma=colour_density(chroma_bins_of(lit), (CHROMA_BINS,) * 2),
    )


def rgb_bins_of(rgb: Float32) -> NDArray[np.int64]:
    """Which entry of `ColourModel.rgb`, flattened, colours in [0, 1] ``(..., 3)`` read ``(...)``."""
    bins = np.minimum((rgb * np.float32(RGB_BINS)).astype(np.int64), RGB_BINS - 1)
    return np.asarray((bins[..., 0] * RGB_BINS + bins[..., 1]) * RGB_BINS + bins[..., 2])


def chroma_bins_of(rgb: Float32) -> NDArray[np.int64]:
    """Which entry of `ColourModel.chroma`, flattened, colours in [0, 1] ``(..., 3)`` read ``(...)``."""
    red, green, blue = (rgb[..., channel] for channel in range(3))
    total = red + green + blue + np.float32(3 * CHROMA_FLOOR)

    def bins(channel: Float32) -> NDArray[np.int64]:
        share = (channel + np.float32(CHROMA_FLOOR)) / total
        return np.clip((share * np.float32(CHROMA_BINS)).astype(np.int64), 0, CHROMA_BINS - 1)

    return bins(red) * CHROMA_BINS + bins(green)


def colour_density(bins: NDArray[np.int64], shape: tuple[int, ...]) -> Float32:
    """Smoothed histogram of bins, 1 everywhere for a picture of all colours.

    Args:
        bins: Flat indices, of any shape.
        shape: Of the histogram.
    """
    counts = np.bincount(bins.reshape(-1), minlength=int(np.prod(shape))).astype(np.float64)
    return _smoothed(counts.reshape(shape))


def _smoothed(histogram: Float64) -> Float32:
    """Binomial blur along every axis, then scaled so that a uniform histogram is 1 everywhere."""
    for axis in range(histogram.ndim):
        padded = np.pad(histogram, [(1, 1) if a == axis else (0, 0) for a in range(histogram.ndim)])
        histogram = 0.5 * histogram + 0.25 * (
            np.take(padded, range(0, histogram.shape[axis]), axis=axis)
            + np.take(padded, range(2, histogram.shape[axis] + 2), axis=axis)
        )
    return np.asarray(histogram * (histogram.size / max(float(histogram.sum()), 1e-9)), dtype=np.float32)
