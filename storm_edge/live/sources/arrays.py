"""Frames of arrays that a program has already, checked and numbered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame, checked_frame


@dataclass(frozen=True, kw_only=True)
class CameraImages:
    """One colour and one depth image of the same moment, depth aligned to colour."""

    rgb: NDArray[np.uint8]
    """Colour, RGB, ``(H, W, 3)``."""
    depth_m: NDArray[np.floating]
    """z-depth [m], ``(H, W)``; 0, negative or not finite where there is no reading."""
    K: NDArray[np.floating]
    """Intrinsics [px], ``(3, 3)``."""
    stamp_ns: int
    """Time of exposure [ns]."""


class ArraySource:
    """A `FrameSource` over arrays; frames are numbered from 0.

    Args:
        images: What the camera gives, in the order of exposure; consumed as frames are asked for.
    """

    def __init__(self, images: Iterable[CameraImages]) -> None:
        self._images = images

    def __iter__(self) -> Iterator[Frame]:
        """Checked frames; errors as `storm_edge.frame.checked_frame`, named by the frame's number.

        A frame without any reading is no error of the program: it is handed on, and the session skips and counts it.
        """
        for index, image in enumerate(self._images):
            depth_m = image.depth_m
            if np.issubdtype(depth_m.dtype, np.floating) and not (np.isfinite(depth_m) & (depth_m > 0.0)).any():
                empty, K = np.zeros(depth_m.shape, np.float32), np.asarray(image.K, dtype=np.float64)
                yield Frame(rgb=image.rgb, depth_m=empty, K=K, stamp_ns=image.stamp_ns, index=index)
            else:
                yield checked_frame(
                    image.rgb, depth_m, image.K, stamp_ns=image.stamp_ns, index=index, what=f"frame {index}"
                )
