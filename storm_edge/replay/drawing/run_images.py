"""The images of a tracked recording: an overlay per frame, the video of them and a contact sheet of some."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from storm_edge.frame import Frame
from storm_edge.live.track_report import Track
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.replay.drawing.images import UInt8, contact_sheet, fitted, write_picture
from storm_edge.replay.drawing.pose_overlay import OverlayPainter
from storm_edge.replay.drawing.video import Video

OVERLAYS = "overlays"
"""Folder of the overlays."""
VIDEO = "overlay.webm"
SHEET = "overlay_sheet.png"
SHEET_COUNT = 12
"""Most images on a contact sheet."""


def sheet_step(count: int) -> int:
    """Every how many of ``count`` images is on the contact sheet."""
    return max(1, -(-count // SHEET_COUNT))


class RunImages(AbstractContextManager["RunImages"]):
    """Draws frames as they are added; a context manager that closes the video.

    A camera may change its size in mid-run: overlays have the size of their frames, the video keeps that of its first
    one, and others are scaled into it, with black beside them where their shape differs.

    Args:
        folder: Result folder.
        bundles: Objects that tracks may name.
        frame_count: Frames of the recording.
        rate_hz: Frame rate of the video [Hz].
    """

    def __init__(self, folder: Path, bundles: Sequence[ObjectBundle], frame_count: int, *, rate_hz: float) -> None:
        self._folder, self._bundles, self._rate_hz = folder, bundles, rate_hz
        self._step = sheet_step(frame_count)
        self._painters: dict[tuple[int, int], OverlayPainter] = {}
        self._size_px: tuple[int, int] | None = None  # of the video
        self._video: Video | None = None
        self._sheet: list[UInt8] = []
        self._count = 0

    def add(self, frame: Frame, tracks: Sequence[Track]) -> None:
        """Draw what is known at a frame."""
        if self._video is None or self._size_px is None:
            (self._folder / OVERLAYS).mkdir()
            self._size_px = frame.size_px
            self._video = Video(self._folder / VIDEO, frame.size_px, rate_hz=self._rate_hz)
        if frame.size_px not in self._painters:
            self._painters = {frame.size_px: OverlayPainter(self._bundles, frame.size_px)}
        picture = self._painters[frame.size_px].paint(frame, tracks)
        write_picture(self._folder / OVERLAYS / f"{frame.index:06d}.png", picture)
        self._video.write(fitted(picture, self._size_px))
        if self._count % self._step == 0:
            self._sheet.append(picture)
        self._count += 1

    def write_sheet(self) -> None:
        """Write the contact sheet."""
        if self._sheet:
            write_picture(self._folder / SHEET, contact_sheet(self._sheet))

    def __exit__(self, *error: object) -> None:
        if self._video is not None:
            self._video.close()
