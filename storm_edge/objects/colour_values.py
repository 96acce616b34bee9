"""Colours of models as RGB in [0, 1], encoded as in an image (sRGB), whatever numbers a file holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.mesh import Mesh

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

GREY = np.float32(128.0 / 255.0)
"""Colour of what has none."""
_SAME_GREY = 0.003  # less than a step of 8 bits

SAME_COLOUR = 0.02
"""Largest difference of colours that is none: five steps of an 8-bit image."""
GREY_SPREAD = 0.1
"""Channels that differ by no more are a grey: a camera's white balance moves them as much."""


def colours_differ(mesh: Mesh) -> bool:
    """Whether two places of a model differ in colour by more than rounding."""
    return bool(np.ptp(_shown(mesh), axis=0).max() > SAME_COLOUR)


def is_colourless(mesh: Mesh) -> bool:
    """Whether a model's colours say nothing of where it is: all of it is one grey, which most things are.

    Grey is also what a model without colours gets.
    """
    return not colours_differ(mesh) and bool(np.ptp(_shown(mesh).mean(axis=0)) <= GREY_SPREAD)


def _shown(mesh: Mesh) -> Float32:
    """The colours ``(N, 3)`` that a model shows."""
    if mesh.texture is None:
        return mesh.colours
    return np.asarray(mesh.texture.reshape(-1, 3) / np.float32(255.0), dtype=np.float32)


def unit_range(values: NDArray[np.generic]) -> Float32:
    """Colour values ``(N, 3)`` in steps of 1/255 from 0 to 1: bytes count to 255, words to 65535, other numbers to 1.

    Numbers above 1 count to 255, as some exporters write them; so do words of which none is above 255.
    """
    highest = float(np.nanmax(values, initial=0))
    if values.dtype.kind in "ui":
        full = 255.0 if values.dtype.itemsize == 1 or highest <= 255.0 else 65535.0
    else:
        full = 1.0 if highest <= 1.0 else 255.0
    share = np.clip(np.nan_to_num(values.astype(np.float64) / full, nan=float(GREY)), 0.0, 1.0)
    return np.asarray(np.round(share * 255.0).astype(np.float32) / np.float32(255.0))


def has_colours(mesh: Mesh) -> bool:
    """Whether a model says what colour it has: by a texture, or by any colour but the grey of what has none.

    A white mug has a colour and yet `is_colourless`: white says nothing for a place, but red speaks against one.
    """
    return mesh.texture is not None or bool(np.abs(mesh.colours - GREY).max(initial=0.0) > _SAME_GREY)


def srgb_from_linear(linear: NDArray[np.floating]) -> Float32:
    """Linear light to sRGB, both in [0, 1] (IEC 61966-2-1)."""
    light = np.clip(np.asarray(linear, dtype=np.float64), 0.0, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1.0 / 2.4) - 0.055).astype(np.float32)


def linear_from_srgb(encoded: NDArray[np.floating]) -> Float64:
    """SRGB to linear light, both in [0, 1] (IEC 61966-2-1)."""
    value = np.clip(np.asarray(encoded, dtype=np.float64), 0.0, 1.0)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
