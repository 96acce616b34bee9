"""Network crops out of batches: of pictures, and of meshes of a pool; the run-time kernels with an index in front.

Called by `storm_edge.generator.crops`. Pixels are those of `kernels.network_input`: the same windows, the same
rounding, the same lighting.
"""

import warp as wp

from storm_edge.generator.raster import Draws, PoolArrays, mesh_of
from storm_edge.kernels.crop import nearest_index
from storm_edge.kernels.network_input import InputRule, write_pixel
from storm_edge.kernels.shading import Surface, surface_at

wp.set_module_options({"enable_backward": False, "fuse_fp": False})


@wp.struct
class Views:
    """Batches of pictures; crop ``n`` is of picture ``image[n]``."""

    rgb: wp.array4d(dtype=wp.float32)
    depth_m: wp.array3d(dtype=wp.float32)
    K: wp.array(dtype=wp.mat33f)
    image: wp.array(dtype=wp.int32)


@wp.func
def pixel_of(rgb: wp.array4d(dtype=wp.float32), image: int, row: int, column: int) -> wp.vec3f:
    """One pixel; black outside."""
    if row < 0 or column < 0 or row >= rgb.shape[2] or column >= rgb.shape[3]:
        return wp.vec3f()
    return wp.vec3f(rgb[image, 0, row, column], rgb[image, 1, row, column], rgb[image, 2, row, column])


@wp.func
def bilinear(rgb: wp.array4d(dtype=wp.float32), image: int, u: float, v: float) -> wp.vec3f:
    """Colour at a position between pixels; as `kernels.crop.bilinear_rgb`."""
    u0 = wp.floor(u)
    v0 = wp.floor(v)
    if not (u0 >= -1.0 and v0 >= -1.0 and u0 < float(rgb.shape[3]) and v0 < float(rgb.shape[2])):
        return wp.vec3f()
    fu = u - u0
    fv = v - v0
    column = int(u0)
    row = int(v0)
    if column >= 0 and row >= 0 and column + 1 < rgb.shape[3] and row + 1 < rgb.shape[2]:
        # Nearly always, and without a check for each of the four.
        out = wp.vec3f()
        for k in range(3):
            plane = rgb[image, k]
            upper_k = plane[row, column] * (1.0 - fu) + plane[row, column + 1] * fu
            below_k = plane[row + 1, column] * (1.0 - fu) + plane[row + 1, column + 1] * fu
            out[k] = upper_k * (1.0 - fv) + below_k * fv
        return out
    upper = pixel_of(rgb, image, row, column) * (1.0 - fu) + pixel_of(rgb, image, row, column + 1) * fu
    below = pixel_of(rgb, image, row + 1, column) * (1.0 - fu) + pixel_of(rgb, image, row + 1, column + 1) * fu
    return upper * (1.0 - fv) + below * fv


@wp.func
def rule_of(radius_m: float) -> InputRule:
    """How points become numbers; the limits of reference-networks section 5.4."""
    rule = InputRule()
    rule.radius_m = radius_m
    rule.min_z_m = 0.001
    rule.limit = 2.0
    return rule


@wp.kernel
def write_observed_crops(
    views: Views,
    windows: wp.array(dtype=wp.vec4f),
    T_cam_obj: wp.array(dtype=wp.mat44f),
    radius_m: wp.array(dtype=wp.float32),
    span: int,
    tensor: wp.array4d(dtype=wp.float32),
):
    """`kernels.network_input.write_observed` of pictures in [0, 1]."""
    n, row, chunk = wp.tid()
    T = T_cam_obj[n]
    w = windows[n]
    image = views.image[n]
    k = views.K[image]
    rule = rule_of(radius_m[n])
    v = w[2] * float(row) + w[3]
    source_row = nearest_index(v, views.depth_m.shape[1])
    y = (float(source_row) - k[1, 2]) / k[1, 1]
    for column in range(chunk * span, wp.min((chunk + 1) * span, tensor.shape[3])):
        u = w[0] * float(column) + w[1]
        source_column = nearest_index(u, views.depth_m.shape[2])
        z = float(0.0)
        if source_row >= 0 and source_column >= 0:
            z = views.depth_m[image, source_row, source_column]
        x = (float(source_column) - k[0, 2] - k[0, 1] * y) / k[0, 0]
        surface = Surface()
        surface.point = wp.vec3f(x * z, y * z, z)
        surface.colour = bilinear(views.rgb, image, u, v)
        write_pixel(tensor, n, row, column, surface, T, rule)


@wp.kernel
def write_rendered_crops(
    keys: wp.array3d(dtype=wp.uint64),
    screen: wp.array2d(dtype=wp.vec4f),
    pool: PoolArrays,
    draws: Draws,
    radius_m: wp.array(dtype=wp.float32),
    span: int,
    tensor: wp.array4d(dtype=wp.float32),
):
    """`kernels.network_input.write_rendered` of meshes of a pool, one draw per crop."""
    n, row, chunk = wp.tid()
    slot = draws.slot[n]
    T = draws.T_cam_obj[n]
    k = draws.K[n]
    rule = rule_of(radius_m[n])
    mesh = mesh_of(pool, wp.max(slot, 0))
    for column in range(chunk * span, wp.min((chunk + 1) * span, tensor.shape[3])):
        key = keys[n, row, column]
        surface = Surface()
        if key != wp.uint64(0):
            surface = surface_at(key, float(column), float(row), n, k, screen, mesh)
        write_pixel(tensor, n, row, column, surface, T, rule)
