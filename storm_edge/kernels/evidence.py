"""What speaks for a pose: depth, contour and colour agreement of the sparse points, as sums per hypothesis.

The same points that the Gauss-Newton rows come from are looked up once more at the final pose, nothing is rendered.
`pipeline.refine.alignment` turns the sums into one residual. `kernels.agreement` renders and asks every pixel the
same.
"""

import warp as wp

from storm_edge.kernels.contour_region import colour_bin, is_hidden, is_inside
from storm_edge.kernels.depth_noise import noise_limit
from storm_edge.kernels.descent_structs import ContourModel, PoseBuffers, SurfaceModel
from storm_edge.kernels.gauss_newton import NEAR_M, rotation_of, translation_of
from storm_edge.kernels.image_descriptor import RgbdImage

wp.set_module_options({"enable_backward": False})

HIDDEN, JUDGED, PLANE_DISTANCE, INLIERS, LINES, LINE_SCORE = range(6)
MODEL_SUM, IMAGE_SUM, MODEL_SQUARE, IMAGE_SQUARE, PRODUCT = range(6, 11)
SUM_COUNT = 11
"""Columns: points hidden by something nearer; points judged; their plane distances over the gate, each at most 1;
those below 1; lines judged; their scores; moments of the tones (see `kernels.photometric`) over the inliers."""

LINE_PX = 8
"""Pixels judged on either side of the contour."""


@wp.func
def surface_evidence(
    n: int, p: int, image: RgbdImage, surface: SurfaceModel, buffers: PoseBuffers, sums: wp.array2d(dtype=wp.float32)
):
    """Depth and colours at one surface point, added to ``sums``, which start as 0.

    Args:
        n: Hypothesis.
        p: Which point.
        image: The image.
        surface: The object's surface.
        buffers: The poses.
        sums: Output, ``(N, SUM_COUNT)``.
    """
    rgb = image.rgb
    T = buffers.poses[n]
    R = rotation_of(T)
    view = buffers.views[n]
    X = R * surface.points[view, p] + translation_of(T)
    if not X[2] > NEAR_M:
        return
    cam = buffers.camera[0]
    x = int(wp.floor(X[0] / X[2] * cam[0] + cam[2] + 0.5))
    y = int(wp.floor(X[1] / X[2] * cam[1] + cam[3] + 0.5))
    if x < 0 or y < 0 or x >= rgb.shape[1] or y >= rgb.shape[0]:
        return
    z = image.depth[y, x]
    if not z > 0.0:
        return
    if z < X[2] - noise_limit(surface.occlusion_m, surface.noise_per_m, X[2]):
        wp.atomic_add(sums, n, HIDDEN, 1.0)
        return
    # The reading on the point's own ray, and its distance from the tangent plane.
    gate_m = noise_limit(surface.gate_m, surface.noise_per_m, X[2])
    ratio = wp.abs(wp.dot(R * surface.normals[view, p], X)) * wp.abs(z / X[2] - 1.0) / gate_m
    wp.atomic_add(sums, n, JUDGED, 1.0)
    wp.atomic_add(sums, n, PLANE_DISTANCE, wp.min(ratio, 1.0))
    if ratio >= 1.0:
        return
    m = surface.tones[view, p]
    o = wp.dot(surface.axis, wp.vec3(float(rgb[y, x, 0]), float(rgb[y, x, 1]), float(rgb[y, x, 2]))) / 255.0
    wp.atomic_add(sums, n, INLIERS, 1.0)
    wp.atomic_add(sums, n, MODEL_SUM, m)
    wp.atomic_add(sums, n, IMAGE_SUM, o)
    wp.atomic_add(sums, n, MODEL_SQUARE, m * m)
    wp.atomic_add(sums, n, IMAGE_SQUARE, o * o)
    wp.atomic_add(sums, n, PRODUCT, m * o)


@wp.kernel
def surface_evidence_kernel(
    image: RgbdImage, surface: SurfaceModel, buffers: PoseBuffers, sums: wp.array2d(dtype=wp.float32)
):
    """`surface_evidence`, one thread per hypothesis and surface point."""
    n, p = wp.tid()
    surface_evidence(n, p, image, surface, buffers, sums)


@wp.func
def contour_evidence(
    n: int, p: int, image: RgbdImage, contour: ContourModel, buffers: PoseBuffers, sums: wp.array2d(dtype=wp.float32)
):
    """Sides of the contour at one line, added to ``sums``.

    A line's score is the mean probability that its pixels are on the side of the contour where the pose puts them.
    Arguments as `surface_evidence`; ``p`` is the line, ``contour`` the
    object's contour.
    """
    rgb = image.rgb
    log_odds = contour.log_odds
    T = buffers.poses[n]
    R = rotation_of(T)
    view = buffers.views[n]
    X = R * contour.points[view, p] + translation_of(T)
    if not X[2] > NEAR_M:
        return
    cam = buffers.camera[0]
    pixels_per_m = cam[0] / X[2]
    u = X[0] * pixels_per_m + cam[2]
    v = X[1] / X[2] * cam[1] + cam[3]
    if not is_inside(u, v, float(LINE_PX + 1), rgb.shape[1], rgb.shape[0]):
        return
    nearest_m = X[2] - noise_limit(contour.occlusion_m, contour.noise_per_m, X[2])
    if is_hidden(image.depth, int(v + 0.5), int(u + 0.5), int(0.01 * pixels_per_m), nearest_m):
        return
    direction = R * contour.normals[view, p]
    normal = wp.normalize(wp.vec2(direction[0], direction[1]))
    reach = contour.distances[view, p] * pixels_per_m
    score = float(0.0)
    count = float(0.0)
    for k in range(-LINE_PX, LINE_PX):
        t = float(k) + 0.5
        if -t < reach[0] and t < reach[1]:
            odds = log_odds[colour_bin(rgb, int(v + t * normal[1] + 0.5), int(u + t * normal[0] + 0.5))]
            foreground = 1.0 / (1.0 + wp.exp(-odds))
            score += wp.where(k < 0, foreground, 1.0 - foreground)
            count += 1.0
    if count > 0.0:
        wp.atomic_add(sums, n, LINES, 1.0)
        wp.atomic_add(sums, n, LINE_SCORE, score / count)


@wp.kernel
def contour_evidence_kernel(
    image: RgbdImage, contour: ContourModel, buffers: PoseBuffers, sums: wp.array2d(dtype=wp.float32)
):
    """`contour_evidence`, one thread per hypothesis and line."""
    n, p = wp.tid()
    contour_evidence(n, p, image, contour, buffers, sums)


RESIDUAL, DEPTH_TERM, CONTOUR_TERM, COLOUR_TERM, INLIER_SHARE, HIDDEN_SHARE = range(6)
TERM_COUNT = 6
"""Columns of the terms that `fuse_sums` makes, see `pipeline.refine.alignment`."""

HALF_WEIGHT_COUNT = 8.0
"""Points or lines at which a term has half its weight."""

TONE_CONTRAST_FLOOR = 0.03**2
"""Variance of the model's tones at which the colour term counts half; RGB counted from 0 to 1."""


@wp.func
def fuse_sums(n: int, sums: wp.array2d(dtype=wp.float32), colours_known: bool, terms: wp.array2d(dtype=wp.float64)):
    """The terms of hypothesis ``n``: `pipeline.refine.alignment.fuse_terms` on the device, in float64 like there."""
    one = wp.float64(1.0)
    zero = wp.float64(0.0)
    judged = wp.float64(sums[n, JUDGED])
    lines = wp.float64(sums[n, LINES])
    inliers = wp.float64(sums[n, INLIERS])
    hidden = wp.float64(sums[n, HIDDEN])
    depth = wp.float64(sums[n, PLANE_DISTANCE]) / wp.max(judged, one)
    right_side = wp.float64(sums[n, LINE_SCORE]) / wp.max(lines, one)
    contour = wp.min(wp.float64(2.0) * (one - right_side), one)

    count = wp.max(inliers, one)
    mean_m = wp.float64(sums[n, MODEL_SUM]) / count
    mean_o = wp.float64(sums[n, IMAGE_SUM]) / count
    variance_m = wp.max(wp.float64(sums[n, MODEL_SQUARE]) / count - mean_m * mean_m, zero)
    variance_o = wp.max(wp.float64(sums[n, IMAGE_SQUARE]) / count - mean_o * mean_o, zero)
    covariance = wp.float64(sums[n, PRODUCT]) / count - mean_m * mean_o
    correlation = covariance / wp.sqrt(wp.max(variance_m * variance_o, wp.float64(1.0e-12)))
    colour = wp.clamp(one - correlation, zero, one)  # rounding may take a plain object's beyond

    # A term that rests on few points says little.
    half = wp.float64(wp.static(HALF_WEIGHT_COUNT))
    depth_weight = judged / (judged + half)
    contour_weight = zero
    if colours_known:
        contour_weight = lines / (lines + half)
    contrast = variance_m / (variance_m + wp.float64(wp.static(TONE_CONTRAST_FLOOR)))
    colour_weight = inliers / (inliers + half) * contrast
    total = depth_weight + contour_weight + colour_weight
    residual = one
    if total > zero:
        weighted = depth * depth_weight + contour * contour_weight + colour * colour_weight
        residual = weighted / wp.max(total, wp.float64(1.0e-9))
    terms[n, RESIDUAL] = residual
    terms[n, DEPTH_TERM] = depth
    terms[n, CONTOUR_TERM] = contour
    terms[n, COLOUR_TERM] = colour
    terms[n, INLIER_SHARE] = inliers / wp.max(judged, one)
    terms[n, HIDDEN_SHARE] = hidden / wp.max(judged + hidden, one)


@wp.kernel
def fuse_terms_kernel(sums: wp.array2d(dtype=wp.float32), colours_known: bool, terms: wp.array2d(dtype=wp.float64)):
    """`fuse_sums`, one thread per hypothesis; ``terms`` is ``(N, TERM_COUNT)``."""
    n = wp.tid()
    fuse_sums(n, sums, colours_known, terms)
