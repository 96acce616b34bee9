"""The two ways to launch a descent: part by part, or all of it at once.

On a GPU a part of a step is a launch, since all its threads must have ended before the next one begins; only these
launches can be captured into a CUDA graph. On a CPU a launch costs more than its threads, so everything is one launch
(`kernels.fused`). Both compute the same; `pipeline.refine.descent` chooses once, by the device.
"""

from __future__ import annotations

from typing import Any, Protocol

import warp as wp

from storm_edge.kernels import evidence as ev
from storm_edge.kernels import gauss_newton as gn
from storm_edge.kernels import region
from storm_edge.kernels.device import WpArray
from storm_edge.kernels.fused import descent as fused
from storm_edge.kernels.image_descriptor import ImageDescriptor
from storm_edge.kernels.launch_cache import RecordedLaunches
from storm_edge.kernels.photometric import photometric_rows_kernel, update_exposure_kernel
from storm_edge.kernels.point_to_plane import point_to_plane_rows_kernel
from storm_edge.objects.on_device import ViewpointBuffers
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.config import GeometricConfig
from storm_edge.pipeline.refine.descent_buffers import DescentBuffers
from storm_edge.pipeline.refine.schedule import Schedule, ScheduledStep


class RgbdBuffers(Protocol):
    """The part of `FrameBuffers` that is read here; its ``descriptor`` is, too, where it has one."""

    @property
    def rgb(self) -> WpArray:
        """Colour, ``(H, W, 3)`` uint8."""

    @property
    def depth(self) -> WpArray:
        """z-depth [m], 0 = no reading, ``(H, W)`` float32."""

    K: Any
    """Intrinsics [px], ``(3, 3)`` float64."""


class DescentLaunches(Protocol):
    """What either way does. Both methods enqueue only."""

    def set_frame(self, frame: RgbdBuffers) -> None:
        """Read this frame from now on."""

    def descend(self, count: int, schedule: Schedule) -> None:
        """Take all steps with the first ``count`` poses, and put the terms where they end into the buffers."""

    def update_appearance(self, rate: float) -> None:
        """Put the terms at the first pose into the buffers, judged by what was known; then learn colours and exposure
        there, ``rate`` of what is new."""


class SeparateLaunches:
    """`DescentLaunches` part by part; the parts are there for those who capture them.

    Args:
        viewpoints: The object.
        buffers: The poses.
        appearance: What is known of its colours.
        config: Limits.
    """

    def __init__(
        self,
        viewpoints: ViewpointBuffers,
        buffers: DescentBuffers,
        appearance: AppearanceModel,
        config: GeometricConfig,
    ) -> None:
        self._viewpoints, self._buffers, self._appearance, self._config = viewpoints, buffers, appearance, config
        self._contour = [viewpoints.contour_points, viewpoints.contour_normals, viewpoints.contour_distances]
        self._surface = [viewpoints.surface_points, viewpoints.surface_normals]
        self._tone_axis = wp.vec3(*viewpoints.tone_axis)
        self._variance_floor = region.ideal_variance()
        self._recorded = RecordedLaunches(viewpoints.device)
        self._frame: RgbdBuffers | None = None
        self._images: tuple[WpArray, WpArray] = (None, None)  # a frame that is uploaded again has others

    def set_frame(self, frame: RgbdBuffers) -> None:
        """See `DescentLaunches.set_frame`."""
        self._frame = frame

    @property
    def frame(self) -> RgbdBuffers:
        """The frame that is read."""
        assert self._frame is not None
        return self._frame

    def read_camera(self, K_device: WpArray) -> None:
        """Take the intrinsics ``(1,)`` mat33d from the device."""
        self._launches().launch("camera", gn.camera_kernel, 1, lambda: [K_device, self._buffers.camera])

    def descend(self, count: int, schedule: Schedule) -> None:
        """See `DescentLaunches.descend`."""
        self.find_views(count)
        for step in schedule.steps:
            self.step(count, step)
        self.sum_evidence(count)
        self.fuse(count)

    def update_appearance(self, rate: float) -> None:
        """See `DescentLaunches.update_appearance`."""
        self.find_views(1)
        self.sum_evidence(1)
        self.fuse(1)
        self.learn(rate)

    def find_views(self, count: int) -> None:
        """Stored views of the first ``count`` poses."""
        buffers = self._buffers
        inputs = [buffers.poses, self._viewpoints.directions, buffers.views]
        self._launches().launch("views", gn.find_views_kernel, count, lambda: inputs)

    def step(self, count: int, scheduled: ScheduledStep) -> None:
        """Move the first ``count`` poses by one Gauss-Newton step."""
        frame, buffers, appearance = self.frame, self._buffers, self._appearance
        launches = self._launches()
        name, step = scheduled.step, scheduled.numbers
        used = self._viewpoints.point_count // name.every
        dim = (count, used)
        place = [buffers.camera, buffers.poses, buffers.views]
        launches.launch(
            ("depth", name),
            point_to_plane_rows_kernel,
            dim,
            lambda: (
                [frame.depth, *place, *self._surface, step.every, 0]
                + [step.reach_m, step.stride_m, step.depth_deviation, step.reach_m, buffers.rows]
            ),
        )
        row_count = used
        if appearance.colours_known:
            first_row = row_count
            launches.launch(
                ("contour", name),
                region.region_rows_kernel,
                dim,
                lambda: (
                    [frame.rgb, frame.depth, *place, *self._contour, appearance.log_odds_buffer, step.every]
                    + [first_row, step.scale_px, step.contour_px, self._variance_floor]
                    + [self._config.occlusion_m, buffers.rows]
                ),
            )
            row_count += used
        if appearance.exposure_known and step.uses_texture:
            texture_row = row_count
            launches.launch(
                ("texture", name),
                photometric_rows_kernel,
                dim,
                lambda: (
                    [frame.rgb, frame.depth, *place, self._viewpoints.surface_points, self._viewpoints.tones]
                    + [self._tone_axis, appearance.exposure, step.every, texture_row, step.blur_px]
                    + [step.texture_deviation, self._config.appearance.agreement_m, buffers.rows]
                ),
            )
            row_count += used
        launches.launch(
            ("sum", row_count),
            gn.sum_rows_kernel,
            (count, gn.ROW_LENGTH),
            lambda: [buffers.rows, row_count, buffers.sums],
        )
        launches.launch(
            ("solve", name),
            gn.step_kernel,
            count,
            lambda: (
                [buffers.sums, step.tikhonov_rotation, step.tikhonov_translation]
                + [self._viewpoints.directions, buffers.poses, buffers.views]
            ),
        )

    def sum_evidence(self, count: int) -> None:
        """Sums of `kernels.evidence` at the first ``count`` poses."""
        frame, buffers, appearance = self.frame, self._buffers, self._appearance
        dim = (count, self._viewpoints.point_count)
        place = [buffers.camera, buffers.poses, buffers.views]
        buffers.evidence.zero_()
        self._launches().launch(
            "surface evidence",
            ev.surface_evidence_kernel,
            dim,
            lambda: (
                [frame.rgb, frame.depth, *place, *self._surface, self._viewpoints.tones, self._tone_axis]
                + [self._config.gate_m, self._config.occlusion_m, buffers.evidence]
            ),
        )
        if appearance.colours_known:
            self._launches().launch(
                "contour evidence",
                ev.contour_evidence_kernel,
                dim,
                lambda: (
                    [frame.rgb, frame.depth, *place, *self._contour, appearance.log_odds_buffer]
                    + [self._config.occlusion_m, buffers.evidence]
                ),
            )

    def fuse(self, count: int) -> None:
        """Terms of those sums."""
        inputs = [self._buffers.evidence, self._appearance.colours_known, self._buffers.terms]
        self._launches().launch(("fuse", inputs[1]), ev.fuse_terms_kernel, count, lambda: inputs)

    def learn(self, rate: float) -> None:
        """Blend colours and exposure at the first pose, whose sums are there, into what is known."""
        frame, buffers, appearance = self.frame, self._buffers, self._appearance
        config = self._config.appearance
        self._launches().launch(
            ("exposure", rate),
            update_exposure_kernel,
            1,
            lambda: [rate, buffers.evidence, appearance.exposure],
        )
        self._launches().launch(
            "count",
            region.count_colours_kernel,
            self._viewpoints.point_count,
            lambda: (
                [frame.rgb, frame.depth, buffers.camera, buffers.poses, buffers.views, *self._contour]
                + [self._viewpoints.surface_points, config.gap_px, config.line_px, config.agreement_m]
                + [appearance.colour_counts]
            ),
        )
        self._blend(rate)
        appearance.exposure_known = True

    def learn_from_mask(self, mask: WpArray, window: tuple[slice, slice]) -> None:
        """Replace the colours by those inside and outside a mask ``(H, W)`` uint8, in a window of the image."""
        rows, columns = window
        wp.launch(
            region.count_masked_colours_kernel,
            dim=(rows.stop - rows.start, columns.stop - columns.start),
            inputs=[self.frame.rgb, mask, rows.start, columns.start],
            outputs=[self._appearance.colour_counts],
            device=self._viewpoints.device,
        )
        self._blend(1.0)
        self._appearance.exposure_known = False

    def _blend(self, rate: float) -> None:
        appearance = self._appearance
        self._launches().launch(
            ("blend", rate),
            region.update_colours_kernel,
            region.BIN_COUNT,
            lambda: [rate, appearance.colour_counts, appearance.histograms, appearance.log_odds_buffer],
        )
        appearance.colour_counts.zero_()
        appearance.colours_known = True

    def _launches(self) -> RecordedLaunches:
        """Recorded launches that hold the addresses of images: none if those are not the frame's any more."""
        rgb, depth = self.frame.rgb, self.frame.depth
        if rgb is not self._images[0] or depth is not self._images[1]:
            self._images = rgb, depth
            self._recorded.clear()
        return self._recorded


class FusedLaunches:
    """`DescentLaunches` at once, for CPUs. Arguments as `SeparateLaunches`."""

    def __init__(
        self,
        viewpoints: ViewpointBuffers,
        buffers: DescentBuffers,
        appearance: AppearanceModel,
        config: GeometricConfig,
    ) -> None:
        self._buffers, self._appearance, self._config = buffers, appearance, config.appearance
        self._own_descriptor = ImageDescriptor(viewpoints.device)
        self._descriptor = self._own_descriptor
        self._recorded = RecordedLaunches(viewpoints.device)
        known = fused.SparseObject()
        known.directions, known.tones, known.axis = (
            viewpoints.directions,
            viewpoints.tones,
            wp.vec3(*viewpoints.tone_axis),
        )
        known.contour_points, known.contour_normals = viewpoints.contour_points, viewpoints.contour_normals
        known.contour_distances = viewpoints.contour_distances
        known.surface_points, known.surface_normals = viewpoints.surface_points, viewpoints.surface_normals
        known.exposure, known.log_odds = appearance.exposure, appearance.log_odds_buffer
        known.variance_floor = region.ideal_variance()
        known.occlusion_m, known.gate_m = config.occlusion_m, config.gate_m
        known.agreement_m = config.appearance.agreement_m
        self._known: Any = known

    def set_frame(self, frame: RgbdBuffers) -> None:
        """See `DescentLaunches.set_frame`."""
        descriptor = getattr(frame, "descriptor", None)
        if descriptor is None:
            descriptor = self._own_descriptor
            descriptor.assign(frame.rgb, frame.depth)
        self._descriptor = descriptor

    def descend(self, count: int, schedule: Schedule) -> None:
        """See `DescentLaunches.descend`."""
        buffers, descriptor = self._buffers, self._descriptor
        colours_known, exposure_known = self._appearance.colours_known, self._appearance.exposure_known
        self._recorded.launch(
            ("descend", descriptor, schedule, colours_known, exposure_known),
            fused.descend_kernel,
            count,
            lambda: [
                descriptor.array,
                buffers.camera,
                self._known,
                schedule.numbers,
                len(schedule.steps),
                colours_known,
                exposure_known,
                buffers.poses,
                buffers.views,
                buffers.rows,
                buffers.sums,
                buffers.evidence,
                buffers.terms,
            ],
        )

    def update_appearance(self, rate: float) -> None:
        """See `DescentLaunches.update_appearance`."""
        buffers, descriptor, appearance = self._buffers, self._descriptor, self._appearance
        colours_known = appearance.colours_known
        self._recorded.launch(
            ("update", descriptor, rate, colours_known),
            fused.update_appearance_kernel,
            1,
            lambda: [
                descriptor.array,
                buffers.camera,
                self._known,
                rate,
                self._config.gap_px,
                self._config.line_px,
                colours_known,
                buffers.poses,
                buffers.views,
                appearance.colour_counts,
                appearance.histograms,
                buffers.evidence,
                buffers.terms,
            ],
        )
        appearance.colours_known = appearance.exposure_known = True
