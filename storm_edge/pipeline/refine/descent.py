"""Gauss-Newton descents of many poses of one object on one image: buffers made once, then launches only.

This is the mechanism; which steps to take, from where, and what to believe is `pipeline.refine.geometric`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray

from storm_edge.errors import InputError, MaskError, mismatch
from storm_edge.kernels import fused as fused_kernels
from storm_edge.kernels.device import WpArray
from storm_edge.objects.on_device import ViewpointBuffers
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.config import AppearanceConfig, GeometricConfig, GeometricStep
from storm_edge.pipeline.refine.descent_buffers import DescentBuffers
from storm_edge.pipeline.refine.launches import (
    DescentLaunches,
    FusedLaunches,
    RgbdBuffers,
    SeparateLaunches,
    colour_update,
    sparse_object,
)
from storm_edge.pipeline.refine.schedule import Schedule, make_schedule

Float64 = NDArray[np.float64]


class Descended(NamedTuple):
    """Where a descent ended."""

    poses: Float64
    """``(N, 4, 4)``."""
    terms: Float64
    """What `alignment.fuse_terms` makes of the evidence there, ``(N, TERM_COUNT)`` of `kernels.evidence`."""
    hessian: Float64
    """Left-hand side of the last step of the first pose, without regularisation, ``(6, 6)``."""


class DeviceRgbd(RgbdBuffers, Protocol):
    """A frame with its intrinsics on the device."""

    K_device: WpArray
    """Intrinsics [px], ``(1,)`` mat33d."""


class Descents:
    """Up to ``capacity`` poses that descend together.

    Call `set_frame`, then `descend` and `update_appearance_at` as often as wanted; both wait for the device. Where
    nothing may wait, or a CUDA graph is captured: `attach`, write ``buffers.poses``, and call ``separate``, which
    only enqueues.

    Args:
        viewpoints: The object; its device is used.
        capacity: Most poses at once.
        config: Limits and appearance; its schedules are not read.
        fused: Whether `descend` and `update_appearance_at` are one launch each; by the device where None.

    Attributes:
        appearance: What is known of the object's colours.
        buffers: The poses and what comes of them.
        separate: Launches part by part.
    """

    def __init__(
        self,
        viewpoints: ViewpointBuffers,
        *,
        capacity: int,
        config: GeometricConfig,
        fused: bool | None = None,
    ) -> None:
        self._viewpoints, self._config = viewpoints, config
        self.appearance = AppearanceModel(viewpoints.device)
        self.buffers = DescentBuffers(viewpoints, capacity)
        known, update = sparse_object(viewpoints, self.appearance, config), colour_update(self.appearance, config)
        parts = (known, update, self.buffers, self.appearance)
        self.separate = SeparateLaunches(*parts)
        is_fused = fused_kernels.is_preferred(viewpoints.device) if fused is None else fused
        self._launches: DescentLaunches = FusedLaunches(*parts) if is_fused else self.separate
        self._camera_values: tuple[float, ...] | None = None

    @property
    def capacity(self) -> int:
        """Most poses at once."""
        return self.buffers.capacity

    def set_frame(self, frame: RgbdBuffers) -> None:
        """Use this frame from now on. The same buffers with new content cost nothing."""
        self._use(frame)
        (fx, _, cx), (_, fy, cy), _ = frame.K.tolist()
        if self._camera_values != (fx, fy, cx, cy):
            self._camera_values = (fx, fy, cx, cy)
            self.buffers.camera_host.write(np.array([self._camera_values], dtype=np.float32))

    def attach(self, frame: DeviceRgbd) -> None:
        """`set_frame` with the intrinsics read on the device, where they may change without a word. Enqueues only."""
        self._use(frame)
        self._camera_values = None
        self.separate.read_camera(frame.K_device)

    def _use(self, frame: RgbdBuffers) -> None:
        self.separate.set_frame(frame)
        if self._launches is not self.separate:
            self._launches.set_frame(frame)

    def put(self, T_cam_centre: ArrayLike) -> int:
        """Write poses ``(N, 4, 4)`` or ``(4, 4)`` into the buffers.

        Returns:
            N.

        Raises:
            InputError: More poses than the capacity.
        """
        T = np.asarray(T_cam_centre).reshape(-1, 4, 4)
        if len(T) > self.capacity:
            raise InputError(
                mismatch("poses", len(T), f"at most {self.capacity}", "make the refiner with a larger batch")
            )
        self.buffers.poses_host.write(T)
        return len(T)

    def schedule(self, steps: Sequence[GeometricStep]) -> Schedule:
        """Steps as `descend` takes them; keep what this returns."""
        return make_schedule(steps, self._viewpoints, self._config)

    def descend(self, T_cam_centre: ArrayLike, schedule: Schedule) -> Descended:
        """Put poses ``(N, 4, 4)`` or ``(4, 4)``, take the steps, and judge where they end. Waits for the device.

        Raises:
            InputError: More poses than the capacity.
        """
        count = self.put(T_cam_centre)
        self._launches.descend(count, schedule)
        buffers = self.buffers
        return Descended(
            np.array(buffers.poses_host.read(count), dtype=np.float64),
            np.array(buffers.terms_host.read(count)),
            np.array(buffers.sums_host.read(1)[0, :6, :6], dtype=np.float64),
        )

    def update_appearance_at(self, T_cam_centre: ArrayLike, rate: float) -> Float64:
        """Blend colours and exposure at a pose ``(4, 4)`` into what is known; a rate of 1 replaces it.

        Returns:
            The terms there, judged by the colours that were known before, ``(TERM_COUNT,)``.
        """
        self.put(T_cam_centre)
        self._launches.update_appearance(rate)
        return np.array(self.buffers.terms_host.read(1)[0])

    def update_appearance_from_mask(self, mask: NDArray[np.bool_]) -> None:
        """Replace the colours by those of a mask ``(H, W)`` and of its surroundings; the exposure is then unknown.

        Raises:
            MaskError: The mask has another size or marks nothing.
        """
        size = self.separate.frame.depth.shape
        if mask.shape != size:
            raise MaskError(mismatch("mask", mask.shape, f"{size} like the image", "give the mask of this image"))
        window = _window_around(mask, self._config.appearance)
        on_device = wp.array(mask.astype(np.uint8), dtype=wp.uint8, device=self._viewpoints.device)
        self.separate.learn_from_mask(on_device, window)

    def evidence(self, count: int) -> Float64:
        """Sums of `kernels.evidence` at the first ``count`` poses in the buffers, ``(N, SUM_COUNT)``. Waits."""
        self.separate.sum_evidence(count)
        return np.array(self.buffers.evidence.numpy()[:count], dtype=np.float64)


def _window_around(mask: NDArray[np.bool_], config: AppearanceConfig) -> tuple[slice, slice]:
    """Rows and columns of a mask and its surroundings.

    Raises:
        MaskError: The mask marks nothing.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        remedy = "check the mask or the frame"
        raise MaskError(mismatch("mask", "no object pixel", "the visible object marked", remedy))
    margin = max(int(config.mask_margin_share * max(np.ptp(rows), np.ptp(columns))), config.min_mask_margin_px)
    top, bottom = max(int(rows[0]) - margin, 0), min(int(rows[-1]) + margin + 1, mask.shape[0])
    left, right = max(int(columns[0]) - margin, 0), min(int(columns[-1]) + margin + 1, mask.shape[1])
    return slice(top, bottom), slice(left, right)
