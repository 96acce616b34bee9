"""A whole descent in one launch, and a whole lesson in another: for CPUs, where a launch costs more than its threads.

On a GPU the points of a hypothesis are threads, and between two steps all of them must have ended: each part of a
step is a launch. On a CPU Warp runs threads one after the other, so one thread may as well do all of a hypothesis,
in the same order and with the same functions: the results are the same. What it saves is the host's work around some
forty launches a frame, and, where another thread wants the interpreter, as many hand-overs of it. Called by
`pipeline.refine.descent`.
"""

import warp as wp

from storm_edge.kernels import evidence as ev
from storm_edge.kernels import gauss_newton as gn
from storm_edge.kernels.evidence import contour_evidence, fuse_sums, surface_evidence
from storm_edge.kernels.gauss_newton import closest_view, sum_rows, take_step
from storm_edge.kernels.image_descriptor import RgbdImage
from storm_edge.kernels.photometric import photometric_row, update_exposure
from storm_edge.kernels.point_to_plane import point_to_plane_row
from storm_edge.kernels.region import BIN_COUNT, count_colours, region_row, update_colour

wp.set_module_options({"enable_backward": False})


@wp.struct
class StepNumbers:
    """What a Gauss-Newton step looks at; see `pipeline.refine.descent.GeometricStep`."""

    every: int
    scale_px: int
    contour_px: float
    reach_m: float
    stride_m: float
    depth_deviation: float
    uses_texture: int
    blur_px: float
    texture_deviation: float
    tikhonov_rotation: float
    tikhonov_translation: float


@wp.struct
class SparseObject:
    """The object: its views, and what is known of its colours. Arguments of the functions that are called."""

    directions: wp.array(dtype=wp.vec3)
    contour_points: wp.array2d(dtype=wp.vec3)
    contour_normals: wp.array2d(dtype=wp.vec3)
    contour_distances: wp.array2d(dtype=wp.vec2)
    surface_points: wp.array2d(dtype=wp.vec3)
    surface_normals: wp.array2d(dtype=wp.vec3)
    tones: wp.array2d(dtype=wp.float32)
    axis: wp.vec3
    exposure: wp.array(dtype=wp.vec2)
    log_odds: wp.array(dtype=wp.float32)
    variance_floor: float
    occlusion_m: float
    gate_m: float
    agreement_m: float


@wp.func
def gather_evidence(
    n: int,
    rgb: wp.array3d(dtype=wp.uint8),
    depth: wp.array2d(dtype=wp.float32),
    camera: wp.array(dtype=wp.vec4),
    poses: wp.array(dtype=wp.mat44),
    views: wp.array(dtype=wp.int32),
    known: SparseObject,
    colours_known: bool,
    evidence: wp.array2d(dtype=wp.float32),
    terms: wp.array2d(dtype=wp.float64),
):
    """Sums and terms of one hypothesis where it is now."""
    for column in range(wp.static(ev.SUM_COUNT)):
        evidence[n, column] = 0.0
    for p in range(known.surface_points.shape[1]):
        surface_evidence(
            n, p, rgb, depth, camera, poses, views, known.surface_points, known.surface_normals, known.tones,
            known.axis, known.gate_m, known.occlusion_m, evidence,
        )  # fmt: skip
    if colours_known:
        for p in range(known.contour_points.shape[1]):
            contour_evidence(
                n, p, rgb, depth, camera, poses, views, known.contour_points, known.contour_normals,
                known.contour_distances, known.log_odds, known.occlusion_m, evidence,
            )  # fmt: skip
    fuse_sums(n, evidence, colours_known, terms)


@wp.kernel
def descend_kernel(
    picture: wp.array(dtype=RgbdImage),
    camera: wp.array(dtype=wp.vec4),
    known: SparseObject,
    steps: wp.array(dtype=StepNumbers),
    step_count: int,
    colours_known: bool,
    exposure_known: bool,
    poses: wp.array(dtype=wp.mat44),
    views: wp.array(dtype=wp.int32),
    rows: wp.array3d(dtype=wp.float32),
    sums: wp.array3d(dtype=wp.float32),
    evidence: wp.array2d(dtype=wp.float32),
    terms: wp.array2d(dtype=wp.float64),
):
    """Find the views, take all steps, and gather the evidence where they end; one thread per hypothesis.

    Args:
        picture: The image.
        camera: ``(fx, fy, cx, cy)`` [px], ``(1,)``.
        known: The object.
        steps: What to do, one after the other; may be longer than ``step_count``.
        step_count: Steps to take, 0 only judges.
        colours_known: Whether ``known.log_odds`` means anything.
        exposure_known: Whether ``known.exposure`` does.
        poses: In: where to begin; out: where it ended; ``T_cam_centre``, ``(N,)``.
        views: Out: view of each hypothesis, ``(N,)``.
        rows: Scratch, ``(N, 3 P, 8)``.
        sums: Out: normal matrices of the last step, left alone without steps, ``(N, 8, 8)``.
        evidence: Out: sums of `kernels.evidence`, ``(N, SUM_COUNT)``.
        terms: Out: its terms, ``(N, TERM_COUNT)``.
    """
    n = wp.tid()
    rgb = picture[0].rgb
    depth = picture[0].depth
    views[n] = closest_view(poses[n], known.directions)
    for k in range(step_count):
        step = steps[k]
        used = known.surface_points.shape[1] / step.every
        for p in range(used):
            point_to_plane_row(
                n, p, depth, camera, poses, views, known.surface_points, known.surface_normals, step.every, 0,
                step.reach_m, step.stride_m, step.depth_deviation, step.reach_m, rows,
            )  # fmt: skip
        row_count = int(used)
        if colours_known:
            for p in range(used):
                region_row(
                    n, p, rgb, depth, camera, poses, views, known.contour_points, known.contour_normals,
                    known.contour_distances, known.log_odds, step.every, row_count, step.scale_px, step.contour_px,
                    known.variance_floor, known.occlusion_m, rows,
                )  # fmt: skip
            row_count += used
        if exposure_known and step.uses_texture != 0:
            for p in range(used):
                photometric_row(
                    n, p, rgb, depth, camera, poses, views, known.surface_points, known.tones, known.axis,
                    known.exposure, step.every, row_count, step.blur_px, step.texture_deviation, known.agreement_m,
                    rows,
                )  # fmt: skip
            row_count += used
        for a in range(wp.static(gn.ROW_LENGTH)):
            sum_rows(n, a, rows, row_count, sums)
        take_step(n, sums, step.tikhonov_rotation, step.tikhonov_translation, known.directions, poses, views)
    gather_evidence(n, rgb, depth, camera, poses, views, known, colours_known, evidence, terms)


@wp.kernel
def update_appearance_kernel(
    picture: wp.array(dtype=RgbdImage),
    camera: wp.array(dtype=wp.vec4),
    known: SparseObject,
    rate: float,
    gap_px: float,
    length_px: float,
    colours_known: bool,
    poses: wp.array(dtype=wp.mat44),
    views: wp.array(dtype=wp.int32),
    counts: wp.array2d(dtype=wp.float32),
    histograms: wp.array2d(dtype=wp.float32),
    evidence: wp.array2d(dtype=wp.float32),
    terms: wp.array2d(dtype=wp.float64),
):
    """Gather the evidence at hypothesis 0, by what is known; then learn exposure and colours there. One thread.

    Args:
        rate: Share of what is new.
        gap_px: See `kernels.region.count_colours`.
        length_px: See there.
        counts: All 0 before and after, ``(2, BIN_COUNT + 1)``.
        histograms: Of the colours, in and out, ``(2, BIN_COUNT)``.

    The other arguments are those of `descend_kernel`; ``known.exposure`` and ``known.log_odds`` are written.
    """
    n = wp.tid()
    rgb = picture[0].rgb
    depth = picture[0].depth
    views[n] = closest_view(poses[n], known.directions)
    gather_evidence(n, rgb, depth, camera, poses, views, known, colours_known, evidence, terms)
    update_exposure(rate, evidence, known.exposure)
    for p in range(known.surface_points.shape[1]):
        count_colours(
            p, rgb, depth, camera, poses, views, known.contour_points, known.contour_normals,
            known.contour_distances, known.surface_points, gap_px, length_px, known.agreement_m, counts,
        )  # fmt: skip
    for k in range(wp.static(BIN_COUNT)):
        update_colour(k, rate, counts, histograms, known.log_odds)
    counts[0, BIN_COUNT] = 0.0
    counts[1, BIN_COUNT] = 0.0
