"""Whether a camera's intrinsics look as if they were of images of another size, or in another unit than pixels.

Then every distance across the image is wrong, and a search finds whatever happens to have the size that the object
seems to have. An image cut out of a larger one looks alike, and there all is right; so what is found is believed
where it fits better than wrong things do (`doubting`). Depth that does not lie on colour is treated alike. Whoever
reads frames asks here: a session, and `segment`.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.camera import field_of_view_deg, is_odd_field_of_view, is_off_centre, principal_point_factor
from storm_edge.live.config import StateMachineConfig
from storm_edge.live.depth_offset_watch import DepthOffsetWatch
from storm_edge.pipeline.depth_offset.config import DepthOffsetConfig

Float64 = NDArray[np.float64]

_log = logging.getLogger(__name__)


class CameraDoubt:
    """What is odd about the camera of a run: its intrinsics, and where its depth lies.

    Args:
        depth_offset: How the offset of depth is measured; the default when None.
    """

    def __init__(self, depth_offset: DepthOffsetConfig | None = None) -> None:
        self._is_K_doubted = False
        self._remark: str | None = None
        self._camera: tuple[bytes, tuple[int, int]] | None = None
        self._depth_offset = DepthOffsetWatch(depth_offset or DepthOffsetConfig())

    @property
    def is_doubted(self) -> bool:
        """Whether the newest intrinsics look like those of another resolution, or depth lies beside colour."""
        return self._is_K_doubted or self._depth_offset.remark is not None

    @property
    def remarks(self) -> list[str]:
        """What was remarked, a line each, at most one of each kind per run; each was logged as a warning, too."""
        return [remark for remark in (self._remark, self._depth_offset.remark) if remark is not None]

    def look(self, frame: Frame, *, at_once: bool = False) -> None:
        """Take note of a frame; a live loop has no time to measure the offset of its depth ``at_once``."""
        camera = frame.K.tobytes(), frame.size_px
        if camera != self._camera:
            self._camera = camera
            self._look_at_K(frame)
        self._depth_offset.look(frame, at_once=at_once)

    def conclude(self) -> None:
        """There are no more frames: remark what there is."""
        self._depth_offset.conclude()

    def _look_at_K(self, frame: Frame) -> None:
        remark = camera_remark(frame.K, frame.size_px)
        if remark is not None and self._remark is None:
            self._remark = remark
            _log.warning("frame %d: %s", frame.index, remark)
        is_scaled = principal_point_factor(frame.K, frame.size_px) is not None
        self._is_K_doubted = is_scaled or is_odd_field_of_view(frame.K, frame.size_px)


def camera_remark(K: Float64, size_px: tuple[int, int]) -> str | None:
    """What is odd about intrinsics ``(3, 3)`` of images of a height and width [px], in a line; None if nothing is."""
    height, width = size_px
    images = f"images of {width}x{height}"
    if is_odd_field_of_view(K, size_px):
        x_deg, y_deg = field_of_view_deg(K, size_px)
        return (
            f"K has fx, fy = {K[0, 0]:.4g}, {K[1, 1]:.4g} px, a field of view of {x_deg:.0f} x {y_deg:.0f} degrees "
            f"for {images}, which no depth camera has: give fx, fy, cx, cy in pixels of these images"
        )
    if not is_off_centre(K, size_px):
        return None
    factor = principal_point_factor(K, size_px)
    guess = "" if factor is None else f" (multiply its first two rows by {factor:g})"
    is_inside = 0.0 <= K[0, 2] < width and 0.0 <= K[1, 2] < height
    far = f"{'far from' if is_inside else 'outside of the image, not near'} the middle"
    return (
        f"K has cx, cy = {K[0, 2]:.1f}, {K[1, 2]:.1f} px, {far} {(width - 1) / 2:.1f}, {(height - 1) / 2:.1f} of "
        f"{images}: is it of another resolution{guess}, or of the larger images that these were cut out of (subtract "
        "the corner from cx, cy)? Only where K was corrected for such a cut is that right"
    )


def doubting(config: StateMachineConfig) -> StateMachineConfig:
    """The same rules where the intrinsics are in doubt: only what fits well is believed."""
    return replace(config, geometry=config.doubted_camera, propagated_above=config.doubted_camera_propagated_above)
