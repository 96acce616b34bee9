"""Colour modality: the model's own texture at its surface points against the image, as a direct alignment.

Depth and contour do not hold a mug about its axis, its texture does. Colours are compared as *tones*: along the one
direction in RGB in which the object's colours differ most, so that a green pattern on a red ground counts although
both are equally bright. The image is taken to be ``gain * model + bias`` in tone; both numbers are learned at
trusted poses (`update_exposure_kernel`), so that lamp and exposure do not count as an error. Called by
`pipeline.refine.launches`.
"""

import warp as wp

from storm_edge.kernels import evidence as ev
from storm_edge.kernels.contour_region import is_inside
from storm_edge.kernels.depth_noise import noise_limit
from storm_edge.kernels.descent_structs import PoseBuffers, StepNumbers, SurfaceModel
from storm_edge.kernels.gauss_newton import NEAR_M, rotation_of, translation_of
from storm_edge.kernels.image_descriptor import RgbdImage
from storm_edge.kernels.point_to_plane import write_row

wp.set_module_options({"enable_backward": False})

LEAST_GAIN, MOST_GAIN = 0.3, 1.2
"""Limits of the learned contrast: a pose that is slightly off sees too little of it, glare too much."""


@wp.func
def tone_at(rgb: wp.array3d(dtype=wp.uint8), axis: wp.vec3, y: int, x: int) -> float:
    """Tone of a pixel."""
    return axis[0] * float(rgb[y, x, 0]) + axis[1] * float(rgb[y, x, 1]) + axis[2] * float(rgb[y, x, 2])


@wp.func
def tone(rgb: wp.array3d(dtype=wp.uint8), axis: wp.vec3, v: float, u: float) -> float:
    """Tone at a position at least one pixel inside the image, bilinear, RGB counted from 0 to 1."""
    x = int(u)
    y = int(v)
    a = u - float(x)
    b = v - float(y)
    top = (1.0 - a) * tone_at(rgb, axis, y, x) + a * tone_at(rgb, axis, y, x + 1)
    bottom = (1.0 - a) * tone_at(rgb, axis, y + 1, x) + a * tone_at(rgb, axis, y + 1, x + 1)
    return ((1.0 - b) * top + b * bottom) / 255.0


@wp.func
def photometric_row(
    n: int,
    row: int,
    image: RgbdImage,
    surface: SurfaceModel,
    step: StepNumbers,
    first_row: int,
    buffers: PoseBuffers,
):
    """The row of one surface point.

    Args:
        n: Hypothesis.
        row: Which of the points used.
        image: The image.
        surface: The object's surface.
        step: The step.
        first_row: Where this term's rows begin.
        buffers: The poses; ``rows`` is written.
    """
    p = row * step.every
    rgb = image.rgb
    axis = surface.axis
    blur_px = step.blur_px
    deviation = step.texture_deviation
    into = row + first_row
    zero = wp.vec3(0.0, 0.0, 0.0)
    write_row(buffers.rows, n, into, zero, zero, 0.0, 0.0)
    T = buffers.poses[n]
    R = rotation_of(T)
    arm = R * surface.points[buffers.views[n], p]
    X = arm + translation_of(T)
    if not X[2] > NEAR_M:
        return
    cam = buffers.camera[0]
    inv_z = 1.0 / X[2]
    u = X[0] * inv_z * cam[0] + cam[2]
    v = X[1] * inv_z * cam[1] + cam[3]
    if not is_inside(u, v, blur_px + 2.0, rgb.shape[1], rgb.shape[0]):
        return
    z = image.depth[int(v + 0.5), int(u + 0.5)]
    if z > 0.0 and wp.abs(z - X[2]) > noise_limit(surface.agreement_m, surface.noise_per_m, X[2]):
        return
    right = tone(rgb, axis, v, u + blur_px)
    left = tone(rgb, axis, v, u - blur_px)
    below = tone(rgb, axis, v + blur_px, u)
    above = tone(rgb, axis, v - blur_px, u)
    seen = 0.5 * tone(rgb, axis, v, u) + 0.125 * (right + left + below + above)
    model = surface.exposure[0][0] * surface.tones[buffers.views[n], p] + surface.exposure[0][1]

    r = (seen - model) / deviation
    weight = 1.0 / wp.sqrt(1.0 + 0.25 * r * r)
    slope_x = (right - left) / (2.0 * blur_px) * cam[0] * inv_z
    slope_y = (below - above) / (2.0 * blur_px) * cam[1] * inv_z
    g = wp.vec3(slope_x, slope_y, -(slope_x * X[0] + slope_y * X[1]) * inv_z) * (weight / deviation)
    write_row(buffers.rows, n, into, wp.cross(arm, g), g, r * weight, 1.0)


@wp.kernel
def photometric_rows_kernel(
    image: RgbdImage, surface: SurfaceModel, step: StepNumbers, first_row: int, buffers: PoseBuffers
):
    """`photometric_row`, one thread per hypothesis and surface point used."""
    n, row = wp.tid()
    photometric_row(n, row, image, surface, step, first_row, buffers)


@wp.func
def update_exposure(
    rate: float,
    sums: wp.array2d(dtype=wp.float32),
    exposure: wp.array(dtype=wp.vec2),
):
    """Regress the image's tones on the model's from the moments of hypothesis 0 and blend the line into ``exposure``.

    Args:
        rate: Share of the new line.
        sums: Of `kernels.evidence` at a trusted pose, ``(N, SUM_COUNT)``.
        exposure: Gain and bias, ``(1,)``, in and out.
    """
    n = sums[0, ev.INLIERS]
    if n < 16.0:
        return
    model = sums[0, ev.MODEL_SUM] / n
    image = sums[0, ev.IMAGE_SUM] / n
    variance = sums[0, ev.MODEL_SQUARE] / n - model * model
    covariance = sums[0, ev.PRODUCT] / n - model * image
    gain = wp.clamp(covariance / wp.max(variance, 1.0e-4), LEAST_GAIN, MOST_GAIN)
    exposure[0] = (1.0 - rate) * exposure[0] + rate * wp.vec2(gain, image - gain * model)


@wp.kernel
def update_exposure_kernel(
    rate: float,
    sums: wp.array2d(dtype=wp.float32),
    exposure: wp.array(dtype=wp.vec2),
):
    """`update_exposure` in one thread."""
    update_exposure(rate, sums, exposure)
