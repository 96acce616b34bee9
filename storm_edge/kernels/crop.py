"""Sampling of axis-aligned crops: colour bilinear, depth from the nearest pixel. Called by `network_input`.

A window is a vec4f ``(su, tu, sv, tv)``: crop pixel (i, j) is source pixel ``(u, v) = (su*j + tu, sv*i + tv)``,
pixel centres on integers. That covers every crop rule, upstream's half-pixel one included. Outside the image is 0;
a bilinear sample on the border mixes with that 0, as ``grid_sample(padding_mode="zeros")`` does. Nearest rounds half
to even.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def pixel_rgb(rgb: wp.array3d(dtype=wp.uint8), row: int, column: int) -> wp.vec3f:
    """One pixel as floats 0..255; black outside."""
    if row < 0 or column < 0 or row >= rgb.shape[0] or column >= rgb.shape[1]:
        return wp.vec3f()
    return wp.vec3f(float(rgb[row, column, 0]), float(rgb[row, column, 1]), float(rgb[row, column, 2]))


@wp.func
def bilinear_rgb(rgb: wp.array3d(dtype=wp.uint8), u: float, v: float) -> wp.vec3f:
    """Colour at a position between pixels, in [0, 1]."""
    u0 = wp.floor(u)
    v0 = wp.floor(v)
    # Also false for NaN, and keeps int() within range for windows far outside.
    if not (u0 >= -1.0 and v0 >= -1.0 and u0 < float(rgb.shape[1]) and v0 < float(rgb.shape[0])):
        return wp.vec3f()
    fu = u - u0
    fv = v - v0
    column = int(u0)
    row = int(v0)
    upper = pixel_rgb(rgb, row, column) * (1.0 - fu) + pixel_rgb(rgb, row, column + 1) * fu
    below = pixel_rgb(rgb, row + 1, column) * (1.0 - fu) + pixel_rgb(rgb, row + 1, column + 1) * fu
    return (upper * (1.0 - fv) + below * fv) * wp.static(1.0 / 255.0)


@wp.func
def nearest_index(x: float, count: int) -> int:
    """Index of the pixel nearest to x (half to even), or -1 outside 0..count-1."""
    nearest = wp.rint(x)
    if nearest >= 0.0 and nearest < float(count):
        return int(nearest)
    return -1
