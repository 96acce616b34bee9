"""Whether a model has the size of what a mask from outside shows: before it is registered, and at the pose found.

A mask may show much less than the object, since something hides it or the image ends, but hardly more. So a mask that
is wider than the model's diameter, or than the model at its pose, is of something larger; one that is much smaller is
so only where the scene contradicts the rest of the model: the camera looks through it, and at the mask's border
nothing nearer begins that could hide it.

Widths are measured along the image, at the median depth under the mask: neither sparse depth nor stray readings
change them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import CameraError, UnitError, mismatch
from storm_edge.geometry.camera import principal_point_factor
from storm_edge.geometry.pixels import marked_pixels
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.register.config import ScaleConfig
from storm_edge.pipeline.register.placement import is_cut_off
from storm_edge.pipeline.register.scale_cause import likely_cause
from storm_edge.pipeline.register.scale_probe import BetterScale, Explained

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class MaskSize:
    """How large what a mask shows is."""

    width_m: float
    """Largest width along the image [m]."""
    distance_m: float
    """Median depth [m]."""


class MaskScaleCheck:
    """Holds one mask against one model.

    Args:
        frame: The image, uploaded.
        mask: Object pixels with depth among them, ``(H, W)``.
        diameter_m: Diameter of the model [m].
        config: From where on sizes contradict each other.
    """

    def __init__(self, frame: FrameBuffers, mask: Bool, diameter_m: float, config: ScaleConfig) -> None:
        self._K, self._mask, self._depth_m = frame.K, mask, frame.depth.numpy()
        self._diameter_m, self._config = diameter_m, config
        readings = self._depth_m[mask & (self._depth_m > 0.0)]
        distance_m = float(np.median(readings))
        self.size = MaskSize(width_m=self._width(mask) * distance_m, distance_m=distance_m)

    def check_extent(self) -> None:
        """Refuse a mask that is wider than the model can be, or so small that nothing explains it.

        Raises:
            UnitError: Model or depth are in another unit.
            CameraError: The intrinsics are of another resolution.
        """
        width_m, config = self.size.width_m, self._config
        if width_m > config.max_excess * self._diameter_m:
            self._refuse(width_m / (config.usual_width * self._diameter_m), "a model", self._diameter_m)
        is_tiny = width_m < config.least_share * self._diameter_m
        if is_tiny and not is_cut_off(self._mask, config.edge_px) and self._nearer_share() < config.hidden_border:
            self._refuse(width_m / (config.usual_width * self._diameter_m), "a model", self._diameter_m)

    def check_pose(self, model_depth_m: Float32) -> None:
        """Refuse a pose at which the model is not as large as the mask.

        Args:
            model_depth_m: Depth of the model there [m], ``(H, W)``, 0 = none.

        Raises:
            UnitError: Model or depth are in another unit.
            CameraError: The intrinsics are of another resolution.
        """
        config, silhouette = self._config, model_depth_m > 0.0
        if not silhouette.any():
            return
        posed_m = self._width(silhouette) * self.size.distance_m
        area = np.count_nonzero(self._mask) / np.count_nonzero(silhouette)
        is_wider = self.size.width_m > config.max_posed_excess * posed_m and area > config.max_posed_area
        is_narrower = posed_m > config.min_posed_width * self.size.width_m
        if is_wider or (is_narrower and self._is_seen_through(model_depth_m)):
            self._refuse(self.size.width_m / posed_m, "a model, at its best pose,", posed_m)

    def refuse(self, given: Explained, better: BetterScale) -> NoReturn:
        """Refuse a model of which one of another scale explains more.

        Args:
            given: What the model explains.
            better: What the better one does.

        Raises:
            UnitError: Model or depth are of another scale.
            CameraError: The intrinsics are of another resolution.
        """
        got = f"a model of {self._diameter_m:.4g} m, which fits what the mask shows by {_percent(given)}"
        expected = f"one {better.factor:g} times as large, which fits by {_percent(better.explained)}"
        self._raise(better.factor, got, expected)

    def _is_seen_through(self, model_depth_m: Float32) -> bool:
        """Whether the scene contradicts most of a model that has much more area than the mask."""
        config, z = self._config, self._depth_m
        beside = (model_depth_m > 0.0) & ~self._mask & (z > 0.0)
        judged = np.count_nonzero(beside) + np.count_nonzero(self._mask & (z > 0.0))
        marked = np.count_nonzero(self._mask & (z > 0.0))
        if judged < config.min_posed_area * marked:
            return False
        gate_m = max(config.gate * min(self._diameter_m, self.size.width_m), config.min_gate_m)
        contradicted = beside & (z > model_depth_m + np.float32(gate_m))
        if self._nearer_share() < config.hidden_border:
            contradicted |= beside & (z < model_depth_m - np.float32(gate_m))
        return bool(np.count_nonzero(contradicted) > config.max_contradicted * judged)

    def _nearer_share(self) -> float:
        """Share of the mask's border beside which something nearer begins, 0..1: what hides the object."""
        size = 2 * self._config.border_px + 1
        kernel = np.ones((size, size), np.uint8)
        marked = np.where(self._mask & (self._depth_m > 0.0), self._depth_m, np.float32(np.inf))
        nearest = cv2.erode(marked, kernel)
        ring = (cv2.dilate(self._mask.astype(np.uint8), kernel) > 0) & ~self._mask
        ring &= (self._depth_m > 0.0) & np.isfinite(nearest)
        gap_m = np.float32(max(self._config.hiding_gap * self.size.width_m, self._config.min_gate_m))
        nearer = ring & (self._depth_m < nearest - gap_m)
        return float(int(np.count_nonzero(nearer)) / max(int(np.count_nonzero(ring)), 1))

    def _width(self, mask: Bool) -> float:
        """Largest width of a mask along the image plane at distance 1."""
        v, u = marked_pixels(mask)
        x = np.stack([u / self._K[0, 0], v / self._K[1, 1]], axis=1)
        angles = np.arange(self._config.directions) * (np.pi / self._config.directions)
        along = x @ np.stack([np.cos(angles), np.sin(angles)])
        stray = self._config.stray_percent
        low, high = np.percentile(along, [stray, 100.0 - stray], axis=0)
        pixel = 1.0 / min(self._K[0, 0], self._K[1, 1])
        return float((high - low).max() + pixel)

    def _refuse(self, factor: float, what: str, model_m: float) -> NoReturn:
        shown = f"a mask that spans {self.size.width_m:.3g} m at {self.size.distance_m:.3g} m"
        self._raise(factor, f"{what} of {model_m:.4g} m under {shown}", "the same size")

    def _raise(self, factor: float, got: str, expected: str) -> NoReturn:
        """Name the likely cause of an object that is ``factor`` times larger in the scene than in the model."""
        size_px = self._mask.shape
        cause = likely_cause(
            factor,
            diameter_m=self._diameter_m,
            distance_m=self.size.distance_m,
            camera_factor=principal_point_factor(self._K, (size_px[0], size_px[1])),
            config=self._config,
        )
        error = CameraError if cause.is_camera else UnitError
        raise error(mismatch("object size", got, expected, cause.remedy))


def _percent(explained: Explained) -> str:
    return f"{explained.total / 3.0:.0%}"  # fixed: the mean of its three shares
