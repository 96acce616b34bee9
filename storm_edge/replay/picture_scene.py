"""A single picture with depth as a recording of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.images import read_depth, read_rgb
from storm_edge.bop.json_file import MM_PER_M
from storm_edge.errors import FrameError, mismatch
from storm_edge.frame import Frame, checked_frame


class PictureScene:
    """See `replay.scene.Scene`; the frame's number is 0.

    Args:
        path: Colour or grey picture.
        depth: Depth picture of its size, 16-bit.
        K: Intrinsics [px], ``(3, 3)``.
        depth_scale: Millimetres per depth step.
    """

    def __init__(self, path: Path, *, depth: Path, K: NDArray[np.float64], depth_scale: float = 1.0) -> None:
        self.path = path
        self.frame_ids: Sequence[int] = (0,)
        self._depth, self._K, self._scale = depth, K, depth_scale

    def __len__(self) -> int:
        return 1

    def image_name(self, frame_id: int) -> str:
        """The picture's file."""
        return str(self.path)

    def frame(self, frame_id: int) -> Frame:
        """Read the picture.

        Raises:
            SceneError: A file is missing or unreadable.
            FrameError: They differ in size, or are of other types.
            DepthError, UnitError, CameraError: As `frame.checked_frame`.
        """
        rgb, raw = read_rgb(self.path, is_grey=True), read_depth(self._depth)
        if raw.shape != rgb.shape[:2]:
            expected = f"{rgb.shape[:2]} like {self.path.name}"
            raise FrameError(mismatch(self._depth, f"size {raw.shape}", expected, "align depth to colour"))
        depth_m = raw.astype(np.float32) * np.float32(self._scale / MM_PER_M)
        return checked_frame(rgb, depth_m, self._K, index=0, what=str(self.path))
