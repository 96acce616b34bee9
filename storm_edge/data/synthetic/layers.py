"""Layers of colour and depth, and who hides whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One thing as the camera would see it alone."""

    colour: Float32
    """RGB in [0, 1] ``(H, W, 3)``."""
    depth: Float32
    """z-depth [m] ``(H, W)``, infinite where the thing is not."""
    measured: NDArray[np.bool_] | None = None
    """Where the depth sensor can see it ``(H, W)``; everywhere when None."""


@dataclass(frozen=True, kw_only=True)
class Composite:
    """All layers as the camera sees them together."""

    colour: Float32
    """RGB in [0, 1] ``(H, W, 3)``."""
    depth: Float32
    """True z-depth [m] ``(H, W)``, 0 where there is nothing to measure."""
    owner: NDArray[np.int16]
    """Index of the layer that is seen ``(H, W)``."""


def rendered_layer(colour: Float32, depth: Float32) -> Layer:
    """A `Layer` from a rasteriser's pictures, whose background depth is 0."""
    return Layer(colour=colour, depth=np.where(depth > 0.0, depth, np.float32(np.inf)))


def compose(layers: Sequence[Layer]) -> Composite:
    """Nearest layer per pixel; the first one wins ties and fills where nothing is."""
    colour, depth = layers[0].colour, layers[0].depth
    owner = np.zeros(depth.shape, dtype=np.int16)
    measured = np.isfinite(depth) if layers[0].measured is None else layers[0].measured
    for index, layer in enumerate(layers[1:], start=1):
        nearer = layer.depth < depth
        if not nearer.any():
            continue
        colour = np.where(nearer[..., None], layer.colour, colour)
        depth = np.where(nearer, layer.depth, depth)
        owner = np.where(nearer, np.int16(index), owner)
        measured = np.where(nearer, True if layer.measured is None else layer.measured, measured)
    return Composite(colour=colour, depth=np.where(measured, depth, np.float32(0.0)), owner=owner)
