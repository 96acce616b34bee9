"""The scores of a pose in one launch, from its crop window on: for CPUs, as `kernels.fused.descent`.

Called by `pipeline.refine.judge`, whose `judge_sums` makes the scores of the sums in NumPy.
"""

import warp as wp

from storm_edge.kernels import agreement as ag
from storm_edge.kernels.agreement import RenderedCrops, agreement_row
from storm_edge.kernels.crop_window import WindowRule, place_window
from storm_edge.kernels.image_descriptor import RgbdImage
from storm_edge.kernels.mesh_buffers import MeshArrays
from storm_edge.kernels.raster import View, cover_span, project_span
from storm_edge.kernels.shading import surface_at

# fuse_fp as in `raster`, or pixels fall between triangles.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

SCORE, VISIBLE, COLOUR, HIDDEN, COLOUR_ANGLE = range(5)
SCORE_COUNT = 5
"""Columns of the scores, see `pipeline.refine.judge.PoseScores`."""

COLOUR_CONTRAST_FLOOR = 0.02**2
"""Colour variance [0, 1]^2 below which a pattern counts as noise and correlation fades to 0."""


@wp.struct
class JudgedMesh:
    """The model, and how it is rendered and judged."""

    mesh: MeshArrays
    lights: wp.array(dtype=wp.vec4f)
    window: WindowRule
    colour_weight: wp.float64


@wp.struct
class JudgeBuffers:
    """Poses, what lies between the passes (see `kernels.raster` and `kernels.agreement`), and scores, of N poses."""

    T_cam_obj: wp.array(dtype=wp.mat44f)
    crops: RenderedCrops
    K_crop: wp.array(dtype=wp.mat33f)
    screen: wp.array2d(dtype=wp.vec4f)
    keys: wp.array3d(dtype=wp.uint64)
    sums: wp.array2d(dtype=wp.float32)
    scores: wp.array2d(dtype=wp.float64)


@wp.func
def score_sums(
    n: int,
    sums: wp.array2d(dtype=wp.float32),
    mask_px: wp.float64,
    colour_weight: wp.float64,
    scores: wp.array2d(dtype=wp.float64),
):
    """Scores of pose ``n``: `pipeline.refine.judge.judge_sums`, in float64 like there; ``mask_px`` is 0 without a
    mask."""
    one = wp.float64(1.0)
    zero = wp.float64(0.0)
    good = wp.float64(sums[n, ag.GOOD])
    spill = wp.float64(sums[n, ag.SPILL])
    occluded = wp.float64(sums[n, ag.OCCLUDED])
    conflict = wp.float64(sums[n, ag.CONFLICT])
    covered = good + conflict + wp.float64(sums[n, ag.UNKNOWN])
    uncovered = wp.max(mask_px - covered, zero)
    expected = good + conflict + spill + uncovered
    visible = wp.float64(sums[n, ag.GOOD_WEIGHT]) / wp.max(expected, one)

    count = wp.max(good, one)
    variance_m = wp.float64(0.0)
    variance_o = wp.float64(0.0)
    covariance = wp.float64(0.0)
    model_square = wp.float64(0.0)
    observed_square = wp.float64(0.0)
    product = wp.float64(0.0)
    for c in range(3):
        mean_m = wp.float64(sums[n, ag.MODEL_SUM + c]) / count
        mean_o = wp.float64(sums[n, ag.OBSERVED_SUM + c]) / count
        variance_m += wp.max(wp.float64(sums[n, ag.MODEL_SQUARE + c]) / count - mean_m * mean_m, zero)
        variance_o += wp.max(wp.float64(sums[n, ag.OBSERVED_SQUARE + c]) / count - mean_o * mean_o, zero)
        covariance += wp.float64(sums[n, ag.PRODUCT + c]) / count - mean_m * mean_o
        model_square += wp.float64(sums[n, ag.MODEL_SQUARE + c])
        observed_square += wp.float64(sums[n, ag.OBSERVED_SQUARE + c])
        product += wp.float64(sums[n, ag.PRODUCT + c])
    colour = covariance / (wp.sqrt(variance_m * variance_o) + wp.float64(wp.static(COLOUR_CONTRAST_FLOOR)))
    scores[n, SCORE] = visible + colour_weight * colour
    scores[n, VISIBLE] = visible
    scores[n, COLOUR] = colour
    scores[n, HIDDEN] = occluded / wp.max(covered + spill + occluded, one)
    lengths = model_square * observed_square
    angle = zero
    if lengths > zero:
        angle = wp.sqrt(wp.max(one - product * product / lengths, zero))
    scores[n, COLOUR_ANGLE] = angle


@wp.kernel
def judge_kernel(
    first: int,
    picture: wp.array(dtype=RgbdImage),
    K: wp.array(dtype=wp.mat33d),
    mask: wp.array2d(dtype=wp.uint8),
    mask_given: int,
    mask_area_px: wp.float64,
    model: JudgedMesh,
    buffers: JudgeBuffers,
):
    """Place the window of a pose, draw the model there, compare, and score; one thread per pose.

    Args:
        first: The first of the poses.
        picture: The image.
        K: Its intrinsics [px], ``(1,)``.
        mask: Object mask, non-zero = object, ``(H, W)``; ignored unless ``mask_given``.
        mask_given: Whether ``mask`` means anything.
        mask_area_px: Its pixels, 0 without one.
        model: The model.
        buffers: For N poses; reads ``T_cam_obj`` and writes ``scores``.
    """
    n = first + wp.tid()
    image = picture[0]
    keys = buffers.keys
    rows = keys.shape[1]
    columns = keys.shape[2]
    crops = buffers.crops
    mesh = model.mesh
    place_window(n, buffers.T_cam_obj, K, model.window, crops.window, buffers.K_crop)
    for row in range(rows):
        for column in range(columns):
            keys[n, row, column] = wp.uint64(0)
    k = buffers.K_crop[n]
    view = View()
    view.T_cam_obj = buffers.T_cam_obj[n]
    view.K = k
    view.light = model.lights[n]
    project_span(n, 0, mesh.vertices.shape[0], view, mesh, buffers.screen)
    cover_span(n, 0, mesh.faces.shape[0], buffers.screen, mesh.faces, keys)
    for column in range(wp.static(ag.SUM_COUNT)):
        buffers.sums[n, column] = 0.0
    for row in range(rows):
        for column in range(columns):
            key = keys[n, row, column]
            z = float(0.0)
            if key != wp.uint64(0):
                surface = surface_at(key, float(column), float(row), n, k, buffers.screen, mesh)
                for c in range(3):
                    crops.colour[n, row, column, c] = surface.colour[c]
                z = surface.point[2]
            crops.depth[n, row, column] = z
        agreement_row(n, row, crops, image, mask, mask_given, buffers.sums)
    window = crops.window[n]
    area = wp.float64(window[0]) * wp.float64(window[2])
    score_sums(n, buffers.sums, mask_area_px / area, model.colour_weight, buffers.scores)
