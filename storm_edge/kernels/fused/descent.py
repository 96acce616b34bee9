"""A whole descent in one launch, and a whole update of the appearance in another: for CPUs, where a launch costs more
than its threads.

On a GPU the points of a hypothesis are threads, and between two steps all of them must have ended: each part of a
step is a launch. On a CPU Warp runs threads one after the other, so one thread may as well do all of a hypothesis,
in the same order and with the same functions: the results are the same. What it saves is the host's work around some
forty launches a frame, and, where another thread wants the interpreter, as many hand-overs of it. Called by
`pipeline.refine.launches`.
"""

import warp as wp

from storm_edge.kernels import evidence as ev
from storm_edge.kernels.contour_region import BIN_COUNT, count_colours, region_row, update_colour
from storm_edge.kernels.descent_structs import ColourUpdate, PoseBuffers, PoseResults, SparseObject, StepNumbers
from storm_edge.kernels.evidence import contour_evidence, fuse_sums, surface_evidence
from storm_edge.kernels.gauss_newton import closest_view, sum_all_rows, take_step
from storm_edge.kernels.image_descriptor import RgbdImage
from storm_edge.kernels.photometric import photometric_row, update_exposure
from storm_edge.kernels.point_to_plane import point_to_plane_row

wp.set_module_options({"enable_backward": False})

COLOURS_KNOWN, EXPOSURE_KNOWN = 1, 2
"""What is known of an object's appearance, to be added."""


@wp.func
def gather_evidence(
    n: int, image: RgbdImage, known: SparseObject, colours_known: bool, buffers: PoseBuffers, results: PoseResults
):
    """Sums and terms of one hypothesis where it is now."""
    surface = known.surface
    contour = known.contour
    evidence = results.evidence
    for column in range(wp.static(ev.SUM_COUNT)):
        evidence[n, column] = 0.0
    for p in range(surface.points.shape[1]):
        surface_evidence(n, p, image, surface, buffers, evidence)
    if colours_known:
        for p in range(contour.points.shape[1]):
            contour_evidence(n, p, image, contour, buffers, evidence)
    fuse_sums(n, evidence, colours_known, results.terms)


@wp.kernel
def descend_kernel(
    first: int,
    descriptor: wp.array(dtype=RgbdImage),
    known: SparseObject,
    steps: wp.array(dtype=StepNumbers),
    step_count: int,
    appearance: int,
    buffers: PoseBuffers,
    results: PoseResults,
):
    """Find the views, take all steps, and gather the evidence where they end; one thread per hypothesis.

    Args:
        first: The first of the hypotheses.
        descriptor: The image.
        known: The object.
        steps: What to do, one after the other; may be longer than ``step_count``.
        step_count: Steps to take, 0 only judges.
        appearance: What is known of it, `COLOURS_KNOWN` and `EXPOSURE_KNOWN` added.
        buffers: ``poses`` in: where to begin; out: where it ended. Views and rows are written.
        results: Output; ``sums`` is left alone without steps.
    """
    n = first + wp.tid()
    image = descriptor[0]
    surface = known.surface
    contour = known.contour
    colours_known = (appearance & wp.static(COLOURS_KNOWN)) != 0
    exposure_known = (appearance & wp.static(EXPOSURE_KNOWN)) != 0
    buffers.views[n] = closest_view(buffers.poses[n], known.directions)
    for k in range(step_count):
        step = steps[k]
        used = surface.points.shape[1] / step.every
        for p in range(used):
            point_to_plane_row(n, p, image, surface, step, buffers)
        row_count = int(used)
        if colours_known:
            for p in range(used):
                region_row(n, p, image, contour, step, row_count, buffers)
            row_count += used
        if exposure_known and step.uses_texture != 0:
            for p in range(used):
                photometric_row(n, p, image, surface, step, row_count, buffers)
            row_count += used
        sum_all_rows(n, buffers.rows, row_count, results.sums)
        take_step(
            n,
            results.sums,
            step.tikhonov_rotation,
            step.tikhonov_translation,
            known.directions,
            buffers.poses,
            buffers.views,
        )
    gather_evidence(n, image, known, colours_known, buffers, results)


@wp.kernel
def update_appearance_kernel(
    descriptor: wp.array(dtype=RgbdImage),
    known: SparseObject,
    update: ColourUpdate,
    rate: float,
    colours_known: bool,
    buffers: PoseBuffers,
    results: PoseResults,
):
    """Gather the evidence at hypothesis 0, by what is known; then learn exposure and colours there. One thread.

    Args:
        descriptor: The image.
        known: The object; its exposure and log odds are written.
        update: ``histograms`` in and out.
        rate: Share of what is new.
        colours_known: Whether its log odds mean anything.
        buffers: ``poses`` in; ``views`` are written.
        results: ``evidence`` and ``terms`` are written.
    """
    n = wp.tid()
    image = descriptor[0]
    buffers.views[n] = closest_view(buffers.poses[n], known.directions)
    gather_evidence(n, image, known, colours_known, buffers, results)
    update_exposure(rate, results.evidence, known.surface.exposure)
    for p in range(known.surface.points.shape[1]):
        count_colours(p, image, known, buffers, update)
    for k in range(wp.static(BIN_COUNT)):
        update_colour(k, rate, update.counts, update.histograms, known.contour.log_odds)
    update.counts[0, BIN_COUNT] = 0.0
    update.counts[1, BIN_COUNT] = 0.0
