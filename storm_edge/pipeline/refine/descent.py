"""Gauss-Newton descents of many hypotheses of one object on one image: buffers made once, then launches only.

This is the mechanism; which steps to take, from where, and what to believe is `pipeline.refine.geometric`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray

from storm_edge.errors import InputError, MaskError, mismatch
from storm_edge.kernels import evidence as ev
from storm_edge.kernels import gauss_newton as gn
from storm_edge.kernels import region
from storm_edge.kernels.device import HostSide, WpArray
from storm_edge.kernels.fused import descent as fused
from storm_edge.kernels.image_descriptor import ImageDescriptor
from storm_edge.kernels.photometric import photometric_rows_kernel, update_exposure_kernel
from storm_edge.kernels.point_to_plane import point_to_plane_rows_kernel
from storm_edge.objects.on_device import ViewpointBuffers

Float64 = NDArray[np.float64]

_SEARCH_STEPS = 3
"""Readings tried on either side of a projected point within the reach of a step."""
_GAP_PX = 1.0
"""Pixels next to the contour from which no background colour is learned."""
_MASK_MARGIN = 0.15
"""Background around a mask, as a share of the mask's longer side."""
_LINE_PX = 20.0
"""Pixels of background learned per line."""
_AGREEMENT_M = 0.010
"""A surface point's colour is believed when the reading is this near to it [m]."""
_LEAST_CONTRAST = 0.02
"""Standard deviation of an object's tones below which it is plain and its print is left out."""


@dataclass(frozen=True, kw_only=True)
class GeometricStep:
    """What one Gauss-Newton step looks at."""

    scale_px: int
    """Image pixels per line segment, of which a line sees 9.5 to either side; the print is smoothed over as many."""
    contour_px: float
    """Standard deviation of the contour on a line with perfect colours [px]."""
    reach_m: float
    """Farthest measured point that may belong to a model point [m]."""
    depth_deviation: float
    """Standard deviation of the plane distance, as a fraction of the depth."""
    texture_deviation: float
    """Standard deviation of the tone at a surface point over that of the whole print; 0 leaves the print out."""
    every: int = 1
    """Use each ``every``-th line and point."""
    tikhonov_rotation: float = 100.0
    """Resistance of the step to rotation [1/rad^2]."""
    tikhonov_translation: float = 3000.0
    """Resistance of the step to translation [1/m^2]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """Steps to be taken one after the other; made once by `Descents.schedule`."""

    steps: tuple[GeometricStep, ...]
    """The steps."""
    numbers: WpArray
    """The same on the device, at least one `kernels.fused.descent.StepNumbers`."""


class Descended(NamedTuple):
    """Where a descent ended."""

    poses: Float64
    """``(N, 4, 4)``."""
    terms: Float64
    """What `geometric.weigh` makes of the evidence there, ``(N, TERM_COUNT)`` of `kernels.evidence`."""
    hessian: Float64
    """Left-hand side of the last step of the first pose, without regularisation, ``(6, 6)``."""


class RgbdBuffers(Protocol):
    """The part of `FrameBuffers` that is read here; also its ``descriptor``, where it has one."""

    @property
    def rgb(self) -> WpArray:
        """Colour, ``(H, W, 3)`` uint8."""

    @property
    def depth(self) -> WpArray:
        """z-depth [m], 0 = no reading, ``(H, W)`` float32."""

    K: Float64
    """Intrinsics [px], ``(3, 3)``."""


class DeviceRgbd(RgbdBuffers, Protocol):
    """The same with its intrinsics on the device."""

    K_device: WpArray
    """Intrinsics [px], ``(1,)`` mat33d."""


class Descents:
    """Up to ``capacity`` poses that go downhill together.

    Call order: `set_frame` at a frame, `place` the poses, `step` as often as wanted, then `poses` and `evidence`.
    `update_appearance` keeps the colour statistics, which all poses share. `descend` does all that at once, and
    `update_appearance_at` the lesson: on a CPU in a launch each. Where nothing may wait, or a CUDA graph is
    captured: `attach`, write
    ``pose_buffer``, `placed`, `step`, `enqueue_evidence`, `enqueue_appearance_update`; these only enqueue.

    Args:
        viewpoints: The object; its device is used.
        capacity: Most poses at once.
        occlusion_m: A reading this far in front of a point hides it [m].
        gate_m: Plane distance that counts as wholly wrong [m].
        fused: Whether `descend` and `update_appearance_at` may be one launch each where that pays, on a CPU
            (`kernels.fused.descent`).

    Attributes:
        pose_buffer: The poses, ``(capacity,)`` mat44.
        evidence_buffer: Sums of `kernels.evidence` as last made, ``(capacity, SUM_COUNT)`` float32.
    """

    def __init__(
        self,
        viewpoints: ViewpointBuffers,
        *,
        capacity: int,
        occlusion_m: float,
        gate_m: float,
        fused: bool = True,
    ) -> None:
        device = viewpoints.device

        def zeros(shape: int | tuple[int, ...], dtype: Any) -> WpArray:
            return wp.zeros(shape, dtype=dtype, device=device)

        self.capacity = capacity
        self.colours_known = False
        self.exposure_known = False
        self._occlusion_m = occlusion_m
        self._gate_m = gate_m
        self._device = device
        self._own_descriptor = ImageDescriptor(device) if fused and device.is_cpu else None
        self._descriptor: ImageDescriptor | None = None
        self._directions = viewpoints.directions
        self._contour = [viewpoints.contour_points, viewpoints.contour_normals, viewpoints.contour_distances]
        self._surface = [viewpoints.surface_points, viewpoints.surface_normals]
        self._axis, self._tones = wp.vec3(*viewpoints.tone_axis), viewpoints.tones
        self._contrast = viewpoints.tone_deviation
        self._point_count = viewpoints.point_count
        self._count = 0
        self._camera = zeros(1, wp.vec4)
        self.pose_buffer: WpArray = zeros(capacity, wp.mat44)
        self._views = zeros(capacity, wp.int32)
        self._rows = zeros((capacity, 3 * self._point_count, gn.ROW_LENGTH), wp.float32)
        self._sums = zeros((capacity, gn.ROW_LENGTH, gn.ROW_LENGTH), wp.float32)
        self.evidence_buffer: WpArray = zeros((capacity, ev.SUM_COUNT), wp.float32)
        self._colour_counts = zeros((2, region.BIN_COUNT + 1), wp.float32)
        self._histograms = zeros((2, region.BIN_COUNT), wp.float32)
        self._log_odds = zeros(region.BIN_COUNT, wp.float32)
        self._exposure = zeros(1, wp.vec2)
        self._variance_floor = region.ideal_variance()
        self._terms = zeros((capacity, ev.TERM_COUNT), wp.float64)
        self._camera_host, self._poses_host = HostSide(self._camera), HostSide(self.pose_buffer)
        self._sums_host, self._terms_host = HostSide(self._sums), HostSide(self._terms)
        self._frame: RgbdBuffers | None = None
        self._images: tuple[WpArray, WpArray] = (None, None)  # a frame that is uploaded again has others
        self._camera_values: tuple[float, ...] | None = None
        self._launch_cache: dict[Hashable, Any] = {}
        self._lasting: dict[Hashable, Any] = {}  # commands that read their image through the slot
        self._known = self._sparse_object()

    def _sparse_object(self) -> Any:
        known = fused.SparseObject()
        known.directions = self._directions
        known.contour_points, known.contour_normals, known.contour_distances = self._contour
        known.surface_points, known.surface_normals = self._surface
        known.tones, known.axis = self._tones, self._axis
        known.exposure, known.log_odds = self._exposure, self._log_odds
        known.variance_floor = self._variance_floor
        known.occlusion_m, known.gate_m, known.agreement_m = self._occlusion_m, self._gate_m, _AGREEMENT_M
        return known

    def set_frame(self, frame: RgbdBuffers) -> None:
        """Use this frame from now on. The same buffers with new content cost nothing."""
        self._use(frame)
        (fx, _, cx), (_, fy, cy), _ = frame.K.tolist()
        if self._camera_values != (fx, fy, cx, cy):
            self._camera_values = (fx, fy, cx, cy)
            self._camera_host.write(np.array([self._camera_values], dtype=np.float32))

    def attach(self, frame: DeviceRgbd) -> None:
        """`set_frame` with the intrinsics read on the device, where they may change without a word. Enqueues only."""
        self._use(frame)
        self._camera_values = None
        self._launch("camera", gn.camera_kernel, 1, lambda: [frame.K_device, self._camera])

    def _use(self, frame: RgbdBuffers) -> None:
        self._frame = frame
        if self._own_descriptor is not None:
            self._descriptor = getattr(frame, "descriptor", None)
            if self._descriptor is None:
                self._descriptor = self._own_descriptor
                self._descriptor.assign(frame.rgb, frame.depth)

    def place(self, T_cam_centre: ArrayLike) -> None:
        """Put poses ``(N, 4, 4)`` or ``(4, 4)`` and find their views.

        Raises:
            InputError: More poses than the capacity.
        """
        self.placed(self._put(T_cam_centre))

    def _put(self, T_cam_centre: ArrayLike) -> int:
        T = np.asarray(T_cam_centre).reshape(-1, 4, 4)
        if len(T) > self.capacity:
            raise InputError(
                mismatch("poses", len(T), f"at most {self.capacity}", "make the refiner with a larger batch")
            )
        self._poses_host.write(T)
        return len(T)

    def schedule(self, steps: Sequence[GeometricStep]) -> Schedule:
        """Steps as `descend` takes them; keep what this returns."""
        numbers = [self._numbers(step) for step in steps] or [fused.StepNumbers()]
        return Schedule(steps=tuple(steps), numbers=wp.array(numbers, dtype=fused.StepNumbers, device=self._device))

    def descend(self, T_cam_centre: ArrayLike, schedule: Schedule) -> Descended:
        """Put poses ``(N, 4, 4)`` or ``(4, 4)``, take the steps, and judge where they end. Waits for the device.

        Raises:
            InputError: More poses than the capacity.
        """
        count = self._count = self._put(T_cam_centre)
        descriptor = self._descriptor
        if descriptor is not None:
            self._launch(
                ("descend", descriptor, schedule, self.colours_known, self.exposure_known),
                fused.descend_kernel,
                count,
                lambda: [
                    descriptor.array,
                    self._camera,
                    self._known,
                    schedule.numbers,
                    len(schedule.steps),
                    self.colours_known,
                    self.exposure_known,
                    self.pose_buffer,
                    self._views,
                    self._rows,
                    self._sums,
                    self.evidence_buffer,
                    self._terms,
                ],
                self._lasting,
            )
        else:
            self.placed(count)
            for step in schedule.steps:
                self.step(step)
            self.enqueue_evidence()
            self._fuse()
        return Descended(
            np.array(self._poses_host.read(count), dtype=np.float64),
            np.array(self._terms_host.read(count)),
            np.array(self._sums_host.read(1)[0, :6, :6], dtype=np.float64),
        )

    def update_appearance_at(self, T_cam_centre: ArrayLike, rate: float) -> Float64:
        """Put a pose ``(4, 4)`` and `update_appearance` there.

        Returns:
            The terms there, judged by the colours that were known before, ``(TERM_COUNT,)``.
        """
        self._count = self._put(T_cam_centre)
        descriptor = self._descriptor
        if descriptor is not None:
            self._launch(
                ("learn", descriptor, rate, self.colours_known),
                fused.update_appearance_kernel,
                1,
                lambda: [
                    descriptor.array,
                    self._camera,
                    self._known,
                    rate,
                    _GAP_PX,
                    _LINE_PX,
                    self.colours_known,
                    self.pose_buffer,
                    self._views,
                    self._colour_counts,
                    self._histograms,
                    self.evidence_buffer,
                    self._terms,
                ],
                self._lasting,
            )
            self.colours_known = self.exposure_known = True
        else:
            self.placed(1)
            self.enqueue_evidence()
            self._fuse()
            self._learn_there(rate)
        return np.array(self._terms_host.read(1)[0])

    def _fuse(self) -> None:
        """Terms of the sums in ``evidence_buffer``. Enqueues only."""
        colours, sums, terms = self.colours_known, self.evidence_buffer, self._terms
        self._launch(("fuse", colours), ev.fuse_terms_kernel, self._count, lambda: [sums, colours, terms])

    def _numbers(self, step: GeometricStep) -> Any:
        numbers = fused.StepNumbers()
        numbers.every, numbers.scale_px, numbers.contour_px = step.every, step.scale_px, step.contour_px
        numbers.reach_m, numbers.stride_m = step.reach_m, step.reach_m / _SEARCH_STEPS
        numbers.depth_deviation = step.depth_deviation
        numbers.uses_texture = int(self._uses_texture(step))
        numbers.blur_px, numbers.texture_deviation = self._blur_px(step), step.texture_deviation * self._contrast
        numbers.tikhonov_rotation = step.tikhonov_rotation
        numbers.tikhonov_translation = step.tikhonov_translation
        return numbers

    def _uses_texture(self, step: GeometricStep) -> bool:
        return step.texture_deviation > 0.0 and self._contrast > _LEAST_CONTRAST

    @staticmethod
    def _blur_px(step: GeometricStep) -> float:
        return max(0.5 * step.scale_px, 1.0)

    def placed(self, count: int) -> None:
        """Find the views of the first ``count`` poses, which are in ``pose_buffer`` already. Enqueues only."""
        self._count = count
        self._launch("find", gn.find_views_kernel, count, lambda: [self.pose_buffer, self._directions, self._views])

    def step(self, step: GeometricStep) -> None:
        """Move all poses by one Gauss-Newton step. Enqueues only."""
        frame = self._frame
        assert frame is not None
        used = self._point_count // step.every
        dim = (self._count, used)
        seen = [self._camera, self.pose_buffer, self._views]
        self._launch(
            ("depth", step),
            point_to_plane_rows_kernel,
            dim,
            lambda: (
                [frame.depth, *seen, *self._surface, step.every, 0]
                + [step.reach_m, step.reach_m / _SEARCH_STEPS, step.depth_deviation, step.reach_m, self._rows]
            ),
        )
        row_count = used
        if self.colours_known:
            region_row = row_count
            self._launch(
                ("region", step),
                region.region_rows_kernel,
                dim,
                lambda: (
                    [frame.rgb, frame.depth, *seen, *self._contour, self._log_odds, step.every, region_row]
                    + [step.scale_px, step.contour_px, self._variance_floor, self._occlusion_m, self._rows]
                ),
            )
            row_count += used
        if self.exposure_known and self._uses_texture(step):
            print_row = row_count
            self._launch(
                ("photometric", step),
                photometric_rows_kernel,
                dim,
                lambda: (
                    [frame.rgb, frame.depth, *seen, self._surface[0], self._tones, self._axis, self._exposure]
                    + [step.every, print_row, self._blur_px(step), step.texture_deviation * self._contrast]
                    + [_AGREEMENT_M, self._rows]
                ),
            )
            row_count += used
        self._launch(
            ("sum", row_count),
            gn.sum_rows_kernel,
            (self._count, gn.ROW_LENGTH),
            lambda: [self._rows, row_count, self._sums],
        )
        self._launch(
            ("solve", step),
            gn.step_kernel,
            self._count,
            lambda: (
                [self._sums, step.tikhonov_rotation, step.tikhonov_translation]
                + [self._directions, self.pose_buffer, self._views]
            ),
        )

    def poses(self) -> Float64:
        """Where the poses are now, ``(N, 4, 4)``. Waits for the device."""
        return np.array(self._poses_host.read(self._count), dtype=np.float64)

    def evidence(self) -> Float64:
        """Sums of `kernels.evidence` at the present poses, ``(N, SUM_COUNT)``. Waits for the device."""
        self.enqueue_evidence()
        return np.array(self.evidence_buffer.numpy()[: self._count], dtype=np.float64)

    def enqueue_evidence(self) -> None:
        """Put the sums of `kernels.evidence` at the present poses into ``evidence_buffer``. Enqueues only."""
        frame = self._frame
        assert frame is not None
        self.evidence_buffer.zero_()
        self._launch(
            "surface evidence",
            ev.surface_evidence_kernel,
            (self._count, self._point_count),
            lambda: (
                [frame.rgb, frame.depth, self._camera, self.pose_buffer, self._views, *self._surface]
                + [self._tones, self._axis, self._gate_m, self._occlusion_m, self.evidence_buffer]
            ),
        )
        if self.colours_known:
            self._launch(
                "contour evidence",
                ev.contour_evidence_kernel,
                (self._count, self._point_count),
                lambda: (
                    [frame.rgb, frame.depth, self._camera, self.pose_buffer, self._views, *self._contour]
                    + [self._log_odds, self._occlusion_m, self.evidence_buffer]
                ),
            )

    def update_appearance(self, rate: float) -> Float64:
        """Blend the colours and the exposure at the first pose into what is known; a rate of 1 replaces it.

        Returns:
            The evidence for the poses, judged by the colours that were known before.
        """
        sums = self.evidence()
        self._learn_there(rate)
        return sums

    def enqueue_appearance_update(self, rate: float) -> None:
        """`update_appearance` without the answer. Enqueues only."""
        self.enqueue_evidence()
        self._learn_there(rate)

    def _learn_there(self, rate: float) -> None:
        frame = self._frame
        assert frame is not None
        self._launch(
            ("exposure", rate), update_exposure_kernel, 1, lambda: [rate, self.evidence_buffer, self._exposure]
        )
        self._launch(
            "count",
            region.count_colours_kernel,
            self._point_count,
            lambda: (
                [frame.rgb, frame.depth, self._camera, self.pose_buffer, self._views, *self._contour]
                + [self._surface[0], _GAP_PX, _LINE_PX, _AGREEMENT_M, self._colour_counts]
            ),
        )
        self._blend(rate)
        self.exposure_known = True

    def learn_from_mask(self, mask: NDArray[np.bool_]) -> None:
        """Replace the colours by those of a mask ``(H, W)`` and of its surroundings; the exposure is then unknown.

        Raises:
            MaskError: The mask has another size or marks nothing.
        """
        frame = self._frame
        assert frame is not None
        size = frame.depth.shape
        if mask.shape != size:
            raise MaskError(mismatch("mask", mask.shape, f"{size} like the image", "give the mask of this image"))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows) == 0:
            remedy = "check the mask or the frame"
            raise MaskError(mismatch("mask", "no object pixel", "the visible object marked", remedy))
        margin = max(int(_MASK_MARGIN * max(np.ptp(rows), np.ptp(columns))), 8)
        top, bottom = max(int(rows[0]) - margin, 0), min(int(rows[-1]) + margin + 1, size[0])
        left, right = max(int(columns[0]) - margin, 0), min(int(columns[-1]) + margin + 1, size[1])
        wp.launch(
            region.count_masked_colours_kernel,
            dim=(bottom - top, right - left),
            inputs=[frame.rgb, wp.array(mask.astype(np.uint8), dtype=wp.uint8, device=self._device), top, left],
            outputs=[self._colour_counts],
            device=self._device,
        )
        self._blend(1.0)
        self.exposure_known = False

    def log_odds(self) -> NDArray[np.float32]:
        """Log of foreground over background probability per colour bin, ``(BIN_COUNT,)``. Waits for the device."""
        return np.array(self._log_odds.numpy())

    def _blend(self, rate: float) -> None:
        self._launch(
            ("learn", rate),
            region.update_colours_kernel,
            region.BIN_COUNT,
            lambda: [rate, self._colour_counts, self._histograms, self._log_odds],
        )
        self._colour_counts.zero_()
        self.colours_known = True

    def _launch(
        self,
        name: Hashable,
        kernel: Any,
        dim: int | tuple[int, ...],
        inputs: Callable[[], Sequence[Any]],
        commands: dict[Hashable, Any] | None = None,
    ) -> None:
        """Launch, packing the arguments only the first time: on a CPU packing takes longer than small kernels do."""
        key = (name, dim)
        if commands is None:
            commands = self._part_commands()
        command = commands.get(key)
        if command is None:
            command = wp.launch(kernel, dim=dim, inputs=inputs(), device=self._device, record_cmd=True)
            commands[key] = command
        command.launch()

    def _part_commands(self) -> dict[Hashable, Any]:
        """Commands that hold the addresses of images: none of them if those are not the frame's any more."""
        assert self._frame is not None
        images = self._frame.rgb, self._frame.depth
        if images[0] is not self._images[0] or images[1] is not self._images[1]:
            self._images = images
            self._launch_cache.clear()
        return self._launch_cache
