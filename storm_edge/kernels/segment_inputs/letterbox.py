"""Brings images, depth and masks to the working size, and maps back to the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.segment_inputs.contract import SIZE_PX

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
ByteImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies in the working size: scaled alike in both directions, centred, the rest empty.

    Pixel centres are on integers on both sides: ``u_small = (u + 0.5) * scale - 0.5 + left``.
    """

    scale: float
    """Working pixels per image pixel."""
    left: int
    """Empty columns on the left [px]."""
    top: int
    """Empty rows on top [px]."""
    width: int
    """Columns that the image takes [px]."""
    height: int
    """Rows that the image takes [px]."""

    @staticmethod
    def of(size_px: tuple[int, int]) -> Letterbox:
        """The letterbox of images of ``size_px`` (height, width)."""
        scale = min(SIZE_PX[0] / size_px[0], SIZE_PX[1] / size_px[1])
        height, width = max(round(size_px[0] * scale), 1), max(round(size_px[1] * scale), 1)
        return Letterbox(scale, (SIZE_PX[1] - width) // 2, (SIZE_PX[0] - height) // 2, width, height)

    def intrinsics(self, K: Float64) -> Float64:
        """Intrinsics of the working image [px], ``(3, 3)``."""
        s = self.scale
        return np.array(
            [
                [K[0, 0] * s, 0.0, (K[0, 2] + 0.5) * s - 0.5 + self.left],
                [0.0, K[1, 1] * s, (K[1, 2] + 0.5) * s - 0.5 + self.top],
                [0.0, 0.0, 1.0],
            ]
        )

    def shrink_rgb(self, rgb: ByteImage) -> Float32:
        """Colour at the working size, [0, 1] ``(120, 160, 3)``; averaged, 0 outside the image."""
        flag = cv2.INTER_AREA if self.scale < 1.0 else cv2.INTER_LINEAR
        out = np.zeros((*SIZE_PX, 3), dtype=np.float32)
        small = cv2.resize(rgb, (self.width, self.height), interpolation=flag)
        out[self.window] = small * np.float32(1.0 / 255.0)
        return out

    def shrink_depth(self, depth_m: Float32) -> Float32:
        """Depth at the working size [m] ``(120, 160)``: measured values (a local median), no mixtures."""
        smooth = cv2.medianBlur(depth_m, 5 if self.scale < 0.35 else 3) if self.scale < 1.0 else depth_m
        rows = np.minimum(((np.arange(self.height) + 0.5) / self.scale).astype(np.int64), len(depth_m) - 1)
        columns = np.minimum(((np.arange(self.width) + 0.5) / self.scale).astype(np.int64), depth_m.shape[1] - 1)
        out = np.zeros(SIZE_PX, dtype=np.float32)
        out[self.window] = smooth[np.ix_(rows, columns)]
        return out

    def shrink_mask(self, mask: NDArray[np.bool_]) -> Float32:
        """Share of each mask cell that is marked, ``(60, 80)``."""
        return halved(self.shrink(mask))

    def shrink(self, mask: NDArray[np.bool_] | Float32) -> Float32:
        """Share of each working pixel that is marked, or the mean of a map, ``(120, 160)``."""
        flag = cv2.INTER_AREA if self.scale < 1.0 else cv2.INTER_LINEAR
        out = np.zeros(SIZE_PX, dtype=np.float32)
        out[self.window] = cv2.resize(mask.astype(np.float32), (self.width, self.height), interpolation=flag)
        return out

    def enlarge(self, cells: Float32, size_px: tuple[int, int]) -> Float32:
        """A map over the working size, in pixels or cells of any size, at image size ``(H, W)``, bilinear."""
        share = cells.shape[0] / SIZE_PX[0]  # cells per working pixel
        s = self.scale * share
        A = np.array([[s, 0.0, s * 0.5 - 0.5 + self.left * share], [0.0, s, s * 0.5 - 0.5 + self.top * share]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out = cv2.warpAffine(cells, A, (size_px[1], size_px[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out, dtype=np.float32)

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns that the image takes."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def halved(x: Float32) -> Float32:
    """Mean of every 2x2 block of ``(..., H, W)``."""
    return np.asarray(
        (x[..., 0::2, 0::2] + x[..., 1::2, 0::2] + x[..., 0::2, 1::2] + x[..., 1::2, 1::2]) * np.float32(0.25)
    )
