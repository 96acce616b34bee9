"""A video of the pictures of a run, VP8 in WebM, written through OpenCV.

Browsers play it, which the MPEG-4 part 2 that OpenCV writes most quickly they do not. OpenCV's wheels have no encoder
for H.264. Theirs for VP9 takes five times as long per picture as that for VP8, and its settings for real time
(``deadline``, ``cpu-used``) do not reach it: OPENCV_FFMPEG_WRITER_OPTIONS changes no byte of the file.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import OutputError, mismatch
from storm_edge.files import cannot_write
from storm_edge.native_stderr import without_lines

UInt8 = NDArray[np.uint8]

_CODEC = "VP80"
_GRUMBLE = "is not supported with codec id"  # WebM has no tags: OpenCV says so on stderr, and writes the file


class Video:
    """A video file that is being written; a context manager, closing twice is harmless.

    Args:
        path: File to write, ``.webm``.
        size_px: Height and width of the pictures [px].
        rate_hz: Pictures per second.

    Raises:
        OutputError: No codec is there, or the file cannot be written.
    """

    def __init__(self, path: Path | str, size_px: tuple[int, int], *, rate_hz: float = 30.0) -> None:
        self.path = Path(path)
        self._size_px = size_px
        self._writer = self._open(rate_hz)

    def _open(self, rate_hz: float) -> Any:
        try:
            self.path.touch()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        height, width = self._size_px
        code = cv2.VideoWriter.fourcc(*_CODEC)
        with without_lines(containing=_GRUMBLE):
            writer = cv2.VideoWriter(str(self.path), cv2.CAP_FFMPEG, code, rate_hz, (width, height))
        if writer.isOpened():
            return writer
        self.path.unlink(missing_ok=True)
        remedy = "install opencv-python-headless or leave the video out"
        raise OutputError(mismatch(self.path, "no VP8 encoder in this OpenCV", _CODEC, remedy))

    def __enter__(self) -> Video:
        return self

    def write(self, picture: UInt8) -> None:
        """Append one RGB picture ``(H, W, 3)`` of the video's size."""
        if picture.shape[:2] != self._size_px:
            expected = f"{self._size_px} like the first picture"
            raise OutputError(mismatch(self.path, f"a picture of {picture.shape[:2]}", expected, "keep one size"))
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is not None:
            self.path.unlink(missing_ok=True)
