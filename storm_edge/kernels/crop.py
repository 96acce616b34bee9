"""Axis-aligned crops of an image: N windows at once, colour bilinear, depth and points from the nearest pixel.

A window is a vec4f ``(su, tu, sv, tv)``: crop pixel (i, j) looks at source pixel ``(u, v) = (su*j + tu, sv*i + tv)``,
pixel centres on integers. That covers every crop rule, upstream's half-pixel one included. Outside the image is 0;
a bilinear sample on the border mixes with that 0, as ``grid_sample(padding_mode="zeros")`` does. Nearest rounds half
to even. `network_input` uses the functions, everyone else the class `Cropper`.
"""

import warp as wp

from storm_edge.errors import InputError, mismatch
from storm_edge.kernels.device import Device, WpArray, thread_span

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


@wp.kernel
def crop_images(
    rgb: wp.array3d(dtype=wp.uint8),
    depth: wp.array2d(dtype=wp.float32),
    K: wp.array(dtype=wp.mat33f),
    windows: wp.array(dtype=wp.vec4f),
    span: int,
    colour: wp.array3d(dtype=wp.vec3f),
    crop_depth: wp.array3d(dtype=wp.float32),
    xyz: wp.array3d(dtype=wp.vec3f),
):
    """Colour, depth and camera-frame points of every crop pixel."""
    n, i, chunk = wp.tid()
    w = windows[n]
    k = K[0]
    v = w[2] * float(i) + w[3]
    row = nearest_index(v, depth.shape[0])
    y = (float(row) - k[1, 2]) / k[1, 1]
    for j in range(chunk * span, wp.min((chunk + 1) * span, colour.shape[2])):
        u = w[0] * float(j) + w[1]
        colour[n, i, j] = bilinear_rgb(rgb, u, v)
        column = nearest_index(u, depth.shape[1])
        z = float(0.0)
        if row >= 0 and column >= 0:
            z = depth[row, column]
        crop_depth[n, i, j] = z
        # The ray of the pixel that was measured, not of the position between pixels.
        x = (float(column) - k[0, 2] - k[0, 1] * y) / k[0, 0]
        xyz[n, i, j] = wp.vec3f(x * z, y * z, z)


class Cropper:
    """Cuts up to ``batch`` square crops per launch; buffers are allocated here, `launch` only launches.

    Attributes:
        colour: RGB in [0, 1], ``(batch, S, S, 3)`` float32.
        depth: z-depth [m] of the nearest pixel, ``(batch, S, S)`` float32, 0 = none.
        xyz: Its camera-frame point [m], ``(batch, S, S, 3)`` float32, 0 = none.
    """

    def __init__(self, *, batch: int, size_px: int, device: Device) -> None:
        self.batch = batch
        self.size_px = size_px
        self._device = device
        shape = (batch, size_px, size_px)
        self._colour: WpArray = wp.empty(shape, dtype=wp.vec3f, device=device)
        self._xyz: WpArray = wp.empty(shape, dtype=wp.vec3f, device=device)
        self.depth: WpArray = wp.empty(shape, dtype=wp.float32, device=device)
        self.colour: WpArray = self._colour.view(wp.float32)
        self.xyz: WpArray = self._xyz.view(wp.float32)

    def launch(self, rgb: WpArray, depth: WpArray, K: WpArray, windows: WpArray, count: int | None = None) -> None:
        """Cut the first ``count`` windows (all when None). Enqueues only.

        Args:
            rgb: Image, ``(H, W, 3)`` uint8.
            depth: z-depth [m], ``(H, W)`` float32, 0 = no reading.
            K: Intrinsics of the image [px], ``(1,)`` mat33f.
            windows: ``(su, tu, sv, tv)`` of each crop, ``(batch,)`` vec4f.
            count: Crops to cut, at most ``batch``.
        """
        count = self.batch if count is None else count
        if not 0 < count <= self.batch:
            raise InputError(mismatch("crop count", count, f"1..{self.batch}", "make the cropper's batch larger"))
        span = thread_span(self._device, self.size_px)
        wp.launch(
            crop_images,
            dim=(count, self.size_px, -(-self.size_px // span)),
            inputs=[rgb, depth, K, windows, span],
            outputs=[self._colour, self.depth, self._xyz],
            device=self._device,
        )
