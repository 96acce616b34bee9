"""The two ways to launch a descent: part by part, or all of it at once.

On a GPU a part of a step is a launch, since all its threads must have ended before the next one begins; only these
launches can be captured into a CUDA graph. On a CPU a launch costs more than its threads, so everything is one launch
(`kernels.fused`). Both compute the same; `pipeline.refine.descent` chooses once, by the device.
"""

from __future__ import annotations

from typing import Any, Protocol

import warp as wp

from storm_edge.kernels import contour_region
from storm_edge.kernels import evidence as ev
from storm_edge.kernels import gauss_newton as gn
from storm_edge.kernels.descent_structs import ColourUpdate, ContourModel, SparseObject, SurfaceModel
from storm_edge.kernels.device import WpArray
from storm_edge.kernels.fused import descent as fused
from storm_edge.kernels.image_descriptor import ImageDescriptor, RgbdImage
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
        known: The object and what is known of its colours, `kernels.descent_structs.SparseObject`.
        update: Where its colours are counted, `kernels.descent_structs.ColourUpdate`.
        buffers: The poses.
        appearance: Says what is known.
    """

    def __init__(self, known: Any, update: Any, buffers: DescentBuffers, appearance: AppearanceModel) -> None:
        self._known, self._update, self._buffers, self._appearance = known, update, buffers, appearance
        self._point_count = int(known.contour.points.shape[1])
        self._recorded = RecordedLaunches(buffers.poses.device)
        self._frame: RgbdBuffers | None = None
        self._image: Any = RgbdImage()
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
        self._launches().launch(
            "views", gn.find_views_kernel, count, lambda: [buffers.poses, self._known.directions, buffers.views]
        )

    def step(self, count: int, scheduled: ScheduledStep) -> None:
        """Move the first ``count`` poses by one Gauss-Newton step."""
        appearance, buffers = self._appearance, self._buffers
        known, arrays = self._known, buffers.arrays
        name, step = scheduled.step, scheduled.numbers
        launches = self._launches()
        image = self._image
        used = self._point_count // name.every
        dim = (count, used)
        launches.launch(
            ("depth", name), point_to_plane_rows_kernel, dim, lambda: [image, known.surface, step, arrays]
        )
        row_count = used
        if appearance.colours_known:
            contour_row = row_count
            launches.launch(
                ("contour", name),
                contour_region.region_rows_kernel,
                dim,
                lambda: [image, known.contour, step, contour_row, arrays],
            )
            row_count += used
        if appearance.exposure_known and step.uses_texture:
            texture_row = row_count
            launches.launch(
                ("texture", name),
                photometric_rows_kernel,
                dim,
                lambda: [image, known.surface, step, texture_row, arrays],
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
                + [known.directions, buffers.poses, buffers.views]
            ),
        )

    def sum_evidence(self, count: int) -> None:
        """Sums of `kernels.evidence` at the first ``count`` poses."""
        dim = (count, self._point_count)
        launches = self._launches()
        image, known, buffers = self._image, self._known, self._buffers
        buffers.evidence.zero_()
        launches.launch(
            "surface evidence",
            ev.surface_evidence_kernel,
            dim,
            lambda: [image, known.surface, buffers.arrays, buffers.evidence],
        )
        if self._appearance.colours_known:
            launches.launch(
                "contour evidence",
                ev.contour_evidence_kernel,
                dim,
                lambda: [image, known.contour, buffers.arrays, buffers.evidence],
            )

    def fuse(self, count: int) -> None:
        """Terms of those sums."""
        buffers, colours_known = self._buffers, self._appearance.colours_known
        self._launches().launch(
            ("fuse", colours_known),
            ev.fuse_terms_kernel,
            count,
            lambda: [buffers.evidence, colours_known, buffers.terms],
        )

    def learn(self, rate: float) -> None:
        """Blend colours and exposure at the first pose, whose sums are there, into what is known."""
        buffers, appearance = self._buffers, self._appearance
        launches = self._launches()
        launches.launch(
            ("exposure", rate), update_exposure_kernel, 1, lambda: [rate, buffers.evidence, appearance.exposure]
        )
        launches.launch(
            "count",
            contour_region.count_colours_kernel,
            self._point_count,
            lambda: [self._image, self._known, buffers.arrays, self._update],
        )
        self._blend(rate)
        appearance.exposure_known = True

    def learn_from_mask(self, mask: WpArray, window: tuple[slice, slice]) -> None:
        """Replace the colours by those inside and outside a mask ``(H, W)`` uint8, in a window of the image."""
        rows, columns = window
        wp.launch(
            contour_region.count_masked_colours_kernel,
            dim=(rows.stop - rows.start, columns.stop - columns.start),
            inputs=[self.frame.rgb, mask, rows.start, columns.start],
            outputs=[self._appearance.colour_counts],
            device=self._buffers.poses.device,
        )
        self._blend(1.0)
        self._appearance.exposure_known = False

    def _blend(self, rate: float) -> None:
        appearance = self._appearance
        self._launches().launch(
            ("blend", rate),
            contour_region.update_colours_kernel,
            contour_region.BIN_COUNT,
            lambda: [rate, appearance.colour_counts, appearance.histograms, appearance.log_odds_buffer],
        )
        appearance.colour_counts.zero_()
        appearance.colours_known = True

    def _launches(self) -> RecordedLaunches:
        """Recorded launches that hold the addresses of images: none if those are not the frame's any more."""
        rgb, depth = self.frame.rgb, self.frame.depth
        if rgb is not self._images[0] or depth is not self._images[1]:
            self._images = rgb, depth
            self._image = RgbdImage()
            self._image.rgb, self._image.depth = rgb, depth
            self._recorded.clear()
        return self._recorded


class FusedLaunches:
    """`DescentLaunches` at once, for CPUs. Arguments as `SeparateLaunches`."""

    def __init__(self, known: Any, update: Any, buffers: DescentBuffers, appearance: AppearanceModel) -> None:
        self._known, self._update, self._buffers, self._appearance = known, update, buffers, appearance
        device = buffers.poses.device
        self._own_descriptor = ImageDescriptor(device)
        self._descriptor = self._own_descriptor
        self._recorded = RecordedLaunches(device)

    def set_frame(self, frame: RgbdBuffers) -> None:
        """See `DescentLaunches.set_frame`."""
        descriptor = getattr(frame, "descriptor", None)
        if descriptor is None:
            descriptor = self._own_descriptor
            descriptor.assign(frame.rgb, frame.depth)
        self._descriptor = descriptor

    def descend(self, count: int, schedule: Schedule) -> None:
        """See `DescentLaunches.descend`."""
        descriptor = self._descriptor
        colours_known, exposure_known = self._appearance.colours_known, self._appearance.exposure_known
        appearance = colours_known * fused.COLOURS_KNOWN + exposure_known * fused.EXPOSURE_KNOWN
        self._recorded.launch_rows(
            ("descend", descriptor, schedule, appearance),
            fused.descend_kernel,
            count,
            lambda: (
                [descriptor.array, self._known, schedule.numbers, len(schedule.steps)]
                + [appearance, self._buffers.arrays, self._buffers.results]
            ),
        )

    def update_appearance(self, rate: float) -> None:
        """See `DescentLaunches.update_appearance`."""
        descriptor, appearance = self._descriptor, self._appearance
        colours_known = appearance.colours_known
        self._recorded.launch(
            ("update", descriptor, rate, colours_known),
            fused.update_appearance_kernel,
            1,
            lambda: (
                [descriptor.array, self._known, self._update, rate, colours_known]
                + [self._buffers.arrays, self._buffers.results]
            ),
        )
        appearance.colours_known = appearance.exposure_known = True


def sparse_object(viewpoints: ViewpointBuffers, appearance: AppearanceModel, config: GeometricConfig) -> Any:
    """The object as kernels take it, `kernels.descent_structs.SparseObject`."""
    contour: Any = ContourModel()
    contour.points, contour.normals = viewpoints.contour_points, viewpoints.contour_normals
    contour.distances, contour.log_odds = viewpoints.contour_distances, appearance.log_odds_buffer
    contour.variance_floor, contour.occlusion_m = contour_region.ideal_variance(), config.occlusion_m
    contour.noise_per_m = config.depth_noise_per_m
    surface: Any = SurfaceModel()
    surface.points, surface.normals = viewpoints.surface_points, viewpoints.surface_normals
    surface.tones, surface.axis = viewpoints.tones, wp.vec3(*viewpoints.tone_axis)
    surface.exposure, surface.occlusion_m = appearance.exposure, config.occlusion_m
    surface.gate_m, surface.agreement_m = config.gate_m, config.appearance.agreement_m
    surface.noise_per_m = config.depth_noise_per_m
    known: Any = SparseObject()
    known.directions, known.contour, known.surface = viewpoints.directions, contour, surface
    return known


def colour_update(appearance: AppearanceModel, config: GeometricConfig) -> Any:
    """Where colours are counted as kernels take it, `kernels.descent_structs.ColourUpdate`."""
    update: Any = ColourUpdate()
    update.counts, update.histograms = appearance.colour_counts, appearance.histograms
    update.gap_px, update.line_px = config.appearance.gap_px, config.appearance.line_px
    return update
