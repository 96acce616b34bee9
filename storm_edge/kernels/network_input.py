"""The two crops a pose network compares, written straight into its input tensors (reference-networks 5.4).

Both are ``(N, 6, S, S)`` float32: RGB in [0, 1], then the camera-frame point minus the pose's translation over half
the diameter. All three are 0 where there is no surface or it is nearer than ``min_z_m``; and each one on its own
where it is not below ``limit`` in size. `rendered` is the model at the pose, `observed` the image.

FoundationPose's ScoreNet has observed points of its own (``resampled``): upstream crops the depth, puts the crop back
into an image of full size, makes points there, and crops those. Each step takes the nearest pixel, so that a point's
depth is that of a pixel up to one of the crop away (`TripletH5Dataset.transform_depth_to_xyzmap`).
`pipeline.inputs.network_inputs.PairInputs` owns the buffers and launches these.
"""

import warp as wp

from storm_edge.kernels.crop import bilinear_rgb, nearest_index
from storm_edge.kernels.mesh_buffers import MeshArrays
from storm_edge.kernels.shading import Surface, surface_at

# fuse_fp as in `raster`, so that weights are those the pixel was won with.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})


@wp.struct
class InputRule:
    """How pixels become numbers, and how many columns one thread writes."""

    radius_m: float
    min_z_m: float
    limit: float
    span: int
    resampled: int


@wp.func
def within(x: float, limit: float) -> float:
    """x, or 0 where it reaches the limit (or is NaN)."""
    return wp.where(wp.abs(x) < limit, x, 0.0)


@wp.func
def write_pixel(
    tensor: wp.array4d(dtype=wp.float32),
    n: int,
    row: int,
    column: int,
    surface: Surface,
    T: wp.mat44f,
    rule: InputRule,
):
    """Six channels of one pixel; a point with z = 0 is none."""
    colour = surface.colour
    point = surface.point
    tensor[n, 0, row, column] = colour[0]
    tensor[n, 1, row, column] = colour[1]
    tensor[n, 2, row, column] = colour[2]
    scale = wp.where(point[2] >= rule.min_z_m, 1.0 / rule.radius_m, 0.0)
    tensor[n, 3, row, column] = within((point[0] - T[0, 3]) * scale, rule.limit)
    tensor[n, 4, row, column] = within((point[1] - T[1, 3]) * scale, rule.limit)
    tensor[n, 5, row, column] = within((point[2] - T[2, 3]) * scale, rule.limit)


@wp.func
def resampled_index(index: int, scale: float, offset: float, count: int, size: int) -> int:
    """The pixel whose depth upstream's full-size image has at pixel ``index``, or -1 where it has none.

    That image is sampled from the crop at ``(index - left) / s * size / (size - 1) - 0.5``, with left and s of the
    window before `crop_window` shifts it: there ``scale`` is s and ``offset`` left times count / (count - 1), the
    latter less a half.
    """
    if index < 0:
        return -1
    wide = wp.float64(count) / wp.float64(count - 1)
    extent = wp.float64(size)
    left = wp.rint((wp.float64(offset) + wp.float64(0.5)) / wide)  # whole pixels, which single precision blurs
    s = wp.rint(wp.float64(scale) / wide * extent) / extent
    position = (wp.float64(index) - left) / s * extent / (extent - wp.float64(1.0)) - wp.float64(0.5)
    column = nearest_index(wp.float32(position), size)
    if column < 0:
        return -1
    return nearest_index(scale * float(column) + offset, count)


@wp.kernel
def write_rendered(
    keys: wp.array3d(dtype=wp.uint64),
    T_cam_obj: wp.array(dtype=wp.mat44f),
    K_crop: wp.array(dtype=wp.mat33f),
    screen: wp.array2d(dtype=wp.vec4f),
    mesh: MeshArrays,
    rule: InputRule,
    tensor: wp.array4d(dtype=wp.float32),
):
    """Shade a `raster.Visibility` into the tensor."""
    n, row, chunk = wp.tid()
    T = T_cam_obj[n]
    k = K_crop[n]
    for column in range(chunk * rule.span, wp.min((chunk + 1) * rule.span, tensor.shape[3])):
        key = keys[n, row, column]
        surface = Surface()
        if key != wp.uint64(0):
            surface = surface_at(key, float(column), float(row), n, k, screen, mesh)
        write_pixel(tensor, n, row, column, surface, T, rule)


@wp.kernel
def write_observed(
    rgb: wp.array3d(dtype=wp.uint8),
    depth: wp.array2d(dtype=wp.float32),
    K: wp.array(dtype=wp.mat33d),
    windows: wp.array(dtype=wp.vec4f),
    T_cam_obj: wp.array(dtype=wp.mat44f),
    rule: InputRule,
    tensor: wp.array4d(dtype=wp.float32),
):
    """Crop the image into the tensor; depth is back-projected at the pixel it was measured in."""
    n, row, chunk = wp.tid()
    T = T_cam_obj[n]
    w = windows[n]
    k = K[0]
    inverse_fx = 1.0 / float(k[0, 0])
    skew = float(k[0, 1])
    cx = float(k[0, 2])
    v = w[2] * float(row) + w[3]
    source_row = nearest_index(v, depth.shape[0])
    y = (float(source_row) - float(k[1, 2])) / float(k[1, 1])
    depth_row = source_row
    if rule.resampled != 0:
        depth_row = resampled_index(source_row, w[2], w[3], depth.shape[0], tensor.shape[2])
    for column in range(chunk * rule.span, wp.min((chunk + 1) * rule.span, tensor.shape[3])):
        u = w[0] * float(column) + w[1]
        source_column = nearest_index(u, depth.shape[1])
        depth_column = source_column
        if rule.resampled != 0:
            depth_column = resampled_index(source_column, w[0], w[1], depth.shape[1], tensor.shape[3])
        z = float(0.0)
        if depth_row >= 0 and depth_column >= 0:
            z = depth[depth_row, depth_column]
        x = (float(source_column) - cx - skew * y) * inverse_fx
        surface = Surface()
        surface.point = wp.vec3f(x * z, y * z, z)
        surface.colour = bilinear_rgb(rgb, u, v)
        write_pixel(tensor, n, row, column, surface, T, rule)
