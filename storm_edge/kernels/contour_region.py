"""The contour term, or region modality: colour statistics along lines across the projected contour.

After SRT3D (Stoiber et al., IJCV 2022).

A *line* crosses the contour of the hypothesis' view along its outward normal. Pixels are grouped into segments of
``scale_px``; a table holds ``log(p_foreground / p_background)`` of every colour bin. For twelve displacements ``d``
of the contour the posterior multiplies, over eight segments around ``d``, a smoothed step times the segment's
probabilities. Its mean and variance make one Gauss-Newton row. The table is learned once a pose is trusted.
Called by `pipeline.refine.launches`.
"""

import numpy as np
import warp as wp

from storm_edge.kernels.depth_noise import noise_limit
from storm_edge.kernels.descent_structs import ColourUpdate, ContourModel, PoseBuffers, SparseObject, StepNumbers
from storm_edge.kernels.gauss_newton import NEAR_M, rotation_of, translation_of
from storm_edge.kernels.image_descriptor import RgbdImage
from storm_edge.kernels.point_to_plane import write_row

wp.set_module_options({"enable_backward": False})

BIN_BITS = 4
"""Bits kept per colour channel: 16 bins each, a table of 16 kB that stays in the first-level cache."""
BIN_COUNT = 1 << (3 * BIN_BITS)
DISPLACEMENT_COUNT = 12
"""Contour displacements tried: -5.5 ... 5.5 segments."""
SUPPORT = 8
"""Segments that a displacement is judged by: four inside, four outside."""
SEGMENT_COUNT = DISPLACEMENT_COUNT + SUPPORT - 1
_STEP_AMPLITUDE = 0.43  # 0.5 would trust every pixel fully; the rest is for pixels that statistics do not explain
_STEP_SLOPE = 0.5  # width of the smoothed step in segments

_vec_support = wp.types.vector(length=SUPPORT, dtype=wp.float32)
_vec_segments = wp.types.vector(length=SEGMENT_COUNT, dtype=wp.float32)


def smoothed_step() -> np.ndarray:
    """Foreground weight of the ``SUPPORT`` segments around a contour, inside first; background is one minus it."""
    x = np.arange(SUPPORT) - 0.5 * (SUPPORT - 1)
    return np.asarray(0.5 - _STEP_AMPLITUDE * np.tanh(x / (2.0 * _STEP_SLOPE)), dtype=np.float32)


def ideal_variance() -> float:
    """Variance [segments^2] of the posterior of a line whose colours tell the sides apart perfectly.

    The deviation that a step is given belongs to such a line; a vaguer line counts less by the ratio of variances.
    """
    step = smoothed_step()
    inside = np.arange(SEGMENT_COUNT) < SEGMENT_COUNT // 2 + 0.5
    variances = []
    for shift in (0, 1):  # the contour falls on a segment's middle or between two
        p = np.roll(inside, shift).astype(np.float64)
        windows = np.stack([p[d : d + SUPPORT] for d in range(DISPLACEMENT_COUNT)])
        posterior = np.prod(step * windows + (1.0 - step) * (1.0 - windows), axis=1)
        posterior /= posterior.sum()
        d = np.arange(DISPLACEMENT_COUNT)
        variances.append(float(posterior @ d**2 - (posterior @ d) ** 2))
    return float(np.mean(variances))


@wp.func
def colour_bin(rgb: wp.array3d(dtype=wp.uint8), y: int, x: int) -> int:
    """Index of a pixel's colour in the tables."""
    shift = wp.static(8 - BIN_BITS)
    r = int(rgb[y, x, 0]) >> shift
    g = int(rgb[y, x, 1]) >> shift
    b = int(rgb[y, x, 2]) >> shift
    return (((r << wp.static(BIN_BITS)) | g) << wp.static(BIN_BITS)) | b


def colour_bins(rgb: np.ndarray) -> np.ndarray:
    """Indices of pixels' colours in the tables, int32 ``(...)``: `colour_bin` in NumPy.

    Args:
        rgb: Pixels ``(..., 3)``, uint8.
    """
    coarse = (rgb >> np.uint8(8 - BIN_BITS)).astype(np.int32)
    return np.asarray((((coarse[..., 0] << BIN_BITS) | coarse[..., 1]) << BIN_BITS) | coarse[..., 2])


def log_odds_of(rgb: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """What learned colours say of pixels: log of foreground over background probability, float32 ``(...)``.

    Args:
        rgb: Pixels ``(..., 3)``, uint8.
        log_odds: By colour bin, ``(BIN_COUNT,)``.
    """
    return np.asarray(log_odds[colour_bins(rgb)])


@wp.func
def is_inside(u: float, v: float, margin: float, width: int, height: int) -> bool:
    """Whether a position keeps ``margin`` [px] from the image's border; false for NaN, which must not become an
    index."""
    return u >= margin and v >= margin and u <= float(width - 1) - margin and v <= float(height - 1) - margin


@wp.func
def is_hidden(depth: wp.array2d(dtype=wp.float32), y: int, x: int, radius_px: int, nearest_m: float) -> bool:
    """Whether any of nine readings around a pixel is nearer than ``nearest_m``: something stands before it."""
    for a in range(-1, 2):
        for b in range(-1, 2):
            yy = y + a * radius_px
            xx = x + b * radius_px
            if yy >= 0 and xx >= 0 and yy < depth.shape[0] and xx < depth.shape[1]:
                z = depth[yy, xx]
                if z > 0.0 and z < nearest_m:
                    return True
    return False


@wp.func
def region_row(
    n: int,
    row: int,
    image: RgbdImage,
    contour: ContourModel,
    step: StepNumbers,
    first_row: int,
    buffers: PoseBuffers,
):
    """The row of one line.

    Args:
        n: Hypothesis.
        row: Which of the lines used.
        image: The image; depth is only asked whether something stands before the contour.
        contour: The object's contour.
        step: The step.
        first_row: Where this term's rows begin.
        buffers: The poses; ``rows`` is written.
    """
    p = row * step.every
    into = row + first_row
    zero = wp.vec3(0.0, 0.0, 0.0)
    write_row(buffers.rows, n, into, zero, zero, 0.0, 0.0)
    T = buffers.poses[n]
    R = rotation_of(T)
    view = buffers.views[n]
    arm = R * contour.points[view, p]
    X = arm + translation_of(T)
    if not X[2] > NEAR_M:
        return
    cam = buffers.camera[0]
    inv_z = 1.0 / X[2]
    u = X[0] * inv_z * cam[0] + cam[2]
    v = X[1] * inv_z * cam[1] + cam[3]
    direction = R * contour.normals[view, p]
    normal = wp.normalize(wp.vec2(direction[0], direction[1]))
    scale = float(step.scale_px)
    # A line is of use if its own side is seen for three segments; else it meets another part of the contour.
    side = contour.distances[view, p] * (cam[0] * inv_z / scale)
    if side[0] < 3.0 or side[1] < 3.0:
        return
    half = 0.5 * float(wp.static(SEGMENT_COUNT)) * scale + 1.0
    if not is_inside(u, v, half, image.rgb.shape[1], image.rgb.shape[0]):
        return
    radius_px = int(0.01 * cam[0] * inv_z)
    nearest_m = X[2] - noise_limit(contour.occlusion_m, contour.noise_per_m, X[2])
    if is_hidden(image.depth, int(v + 0.5), int(u + 0.5), radius_px, nearest_m):
        return

    rgb = image.rgb
    log_odds = contour.log_odds
    scale_px = step.scale_px
    foreground = _vec_segments()
    offset = -0.5 * float(wp.static(SEGMENT_COUNT)) * scale + 0.5
    for j in range(wp.static(SEGMENT_COUNT)):
        odds = float(0.0)
        for _ in range(scale_px):
            x = int(u + offset * normal[0] + 0.5)
            y = int(v + offset * normal[1] + 0.5)
            odds += log_odds[colour_bin(rgb, y, x)]
            offset += 1.0
        foreground[j] = 1.0 / (1.0 + wp.exp(-odds))

    smooth = wp.static(_vec_support(*smoothed_step().tolist()))
    total = float(0.0)
    mean = float(0.0)
    square = float(0.0)
    for i in range(wp.static(DISPLACEMENT_COUNT)):
        likelihood = float(1.0)
        for j in range(wp.static(SUPPORT)):
            pf = foreground[i + j]
            likelihood *= smooth[j] * pf + (1.0 - smooth[j]) * (1.0 - pf)
        d = float(i) - wp.static(0.5 * (DISPLACEMENT_COUNT - 1))
        total += likelihood
        mean += likelihood * d
        square += likelihood * d * d
    mean /= total
    variance = wp.max(square / total - mean * mean, contour.variance_floor)

    # d(contour along the line)/d(point) [px/m], and the residual: where the contour is minus where colours put it.
    g = wp.vec3(
        normal[0] * cam[0] * inv_z,
        normal[1] * cam[1] * inv_z,
        -(normal[0] * cam[0] * X[0] + normal[1] * cam[1] * X[1]) * inv_z * inv_z,
    )
    weight = wp.sqrt(contour.variance_floor / variance) / step.contour_px
    write_row(buffers.rows, n, into, wp.cross(arm, g) * weight, g * weight, -mean * scale * weight, 1.0)


@wp.kernel
def region_rows_kernel(
    image: RgbdImage, contour: ContourModel, step: StepNumbers, first_row: int, buffers: PoseBuffers
):
    """`region_row`, one thread per hypothesis and line used."""
    n, row = wp.tid()
    region_row(n, row, image, contour, step, first_row, buffers)


@wp.func
def count_colours(p: int, image: RgbdImage, known: SparseObject, buffers: PoseBuffers, update: ColourUpdate):
    """Count the colours of object and surroundings at one line and one surface point of hypothesis 0.

    The background comes from the outer half of the lines. The foreground does not come from their inner half, as in
    SRT3D: where a hand covers the object, that half shows the hand, and once its colour counts as the object's the
    pose is drawn under it. It comes from 3x3 patches around surface points where measured depth agrees with the pose;
    no reading agrees too.

    Args:
        p: Which line and point.
        image: The image.
        known: The object.
        buffers: The poses.
        update: ``counts`` are added to.
    """
    T = buffers.poses[0]
    R = rotation_of(T)
    view = buffers.views[0]
    cam = buffers.camera[0]
    height = image.rgb.shape[0]
    width = image.rgb.shape[1]

    Y = R * known.surface.points[view, p] + translation_of(T)
    if Y[2] > NEAR_M:
        x = int(wp.floor(Y[0] / Y[2] * cam[0] + cam[2] + 0.5))
        y = int(wp.floor(Y[1] / Y[2] * cam[1] + cam[3] + 0.5))
        if x > 0 and y > 0 and x < width - 1 and y < height - 1:
            z = image.depth[y, x]
            allowed_m = noise_limit(known.surface.agreement_m, known.surface.noise_per_m, Y[2])
            if not (z > 0.0 and wp.abs(z - Y[2]) > allowed_m):
                for a in range(-1, 2):
                    for b in range(-1, 2):
                        wp.atomic_add(update.counts, 0, colour_bin(image.rgb, y + a, x + b), 1.0)
                wp.atomic_add(update.counts, 0, BIN_COUNT, 9.0)

    X = R * known.contour.points[view, p] + translation_of(T)
    if X[2] > NEAR_M:
        pixels_per_m = cam[0] / X[2]
        u = X[0] / X[2] * cam[0] + cam[2]
        v = X[1] / X[2] * cam[1] + cam[3]
        direction = R * known.contour.normals[view, p]
        normal = wp.normalize(wp.vec2(direction[0], direction[1]))
        end = wp.min(
            known.contour.distances[view, p][1] * pixels_per_m - update.gap_px, update.line_px + update.gap_px
        )
        offset = update.gap_px + 0.5
        while offset < end:
            x = int(wp.floor(u + offset * normal[0] + 0.5))
            y = int(wp.floor(v + offset * normal[1] + 0.5))
            if x >= 0 and y >= 0 and x < width and y < height:
                wp.atomic_add(update.counts, 1, colour_bin(image.rgb, y, x), 1.0)
                wp.atomic_add(update.counts, 1, BIN_COUNT, 1.0)
            offset += 1.0


@wp.kernel
def count_colours_kernel(image: RgbdImage, known: SparseObject, buffers: PoseBuffers, update: ColourUpdate):
    """`count_colours`, one thread per line and surface point."""
    p = wp.tid()
    count_colours(p, image, known, buffers, update)


@wp.kernel
def count_masked_colours_kernel(
    rgb: wp.array3d(dtype=wp.uint8),
    mask: wp.array2d(dtype=wp.uint8),
    top: int,
    left: int,
    counts: wp.array2d(dtype=wp.float32),
):
    """Count colours inside and outside a mask ``(H, W)``; one thread per pixel of a window at ``(top, left)``.

    For a first frame without a pose. The window keeps the background to what is near the object: statistics of the
    whole picture tell the object from most of it and not from what it lies on.
    """
    y, x = wp.tid()
    y += top
    x += left
    side = wp.where(mask[y, x] != wp.uint8(0), 0, 1)
    wp.atomic_add(counts, side, colour_bin(rgb, y, x), 1.0)
    wp.atomic_add(counts, side, BIN_COUNT, 1.0)


@wp.func
def update_colour(
    k: int,
    rate: float,
    counts: wp.array2d(dtype=wp.float32),
    histograms: wp.array2d(dtype=wp.float32),
    log_odds: wp.array(dtype=wp.float32),
):
    """Blend the counts of one colour bin into the histograms, refresh the table, and clear the counts.

    Args:
        k: Which bin.
        rate: Share of the new counts, 1 replaces the histograms.
        counts: As `count_colours_kernel` left them, ``(2, BIN_COUNT + 1)``; bins are cleared, not totals.
        histograms: Foreground and background probability per bin, ``(2, BIN_COUNT)``, in and out.
        log_odds: Output, ``(BIN_COUNT,)``.
    """
    for side in range(2):
        total = counts[side, BIN_COUNT]
        if total > 0.0:
            histograms[side, k] = (1.0 - rate) * histograms[side, k] + rate * counts[side, k] / total
        counts[side, k] = 0.0
    # The floor says how much a never-seen colour is worth: nothing, on both sides, is no evidence.
    floor = wp.static(0.1 / BIN_COUNT)
    log_odds[k] = wp.log((histograms[0, k] + floor) / (histograms[1, k] + floor))


@wp.kernel
def update_colours_kernel(
    rate: float,
    counts: wp.array2d(dtype=wp.float32),
    histograms: wp.array2d(dtype=wp.float32),
    log_odds: wp.array(dtype=wp.float32),
):
    """`update_colour`, one thread per colour bin."""
    k = wp.tid()
    update_colour(k, rate, counts, histograms, log_odds)
