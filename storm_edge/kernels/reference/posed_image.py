"""What the references of tracking's kernels are given: an image with a pose, and the points of the pose's view."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class PosedImage(NamedTuple):
    """An RGB-D image, its camera, and where the object is thought to be."""

    rgb: NDArray[np.uint8]
    """``(H, W, 3)``."""
    depth: Float32
    """z-depth [m], 0 = no reading, ``(H, W)``."""
    K: Float64
    """Intrinsics [px], ``(3, 3)``."""
    T: Float64
    """``T_cam_centre``, ``(4, 4)``."""


class ContourPoints(NamedTuple):
    """Contour of the pose's view."""

    points: Float32
    """[m], ``(P, 3)``."""
    normals: Float32
    """Outwards, unit, ``(P, 3)``."""
    distances: Float32
    """Unbroken foreground inwards and background outwards [m], ``(P, 2)``."""


class SurfacePoints(NamedTuple):
    """Surface of the pose's view."""

    points: Float32
    """[m], ``(P, 3)``."""
    normals: Float32
    """Outwards, unit, ``(P, 3)``."""
    tones: Float32
    """Their colour along ``axis``, ``(P,)``."""
    axis: Float64
    """Direction in RGB in which the object's colours differ most, ``(3,)``."""
