"""The crop window of each pose, computed on the device so that a pose never has to come back to the host.

Two rules (reference-networks sections 5.5 and 5.6), both only a function of translation, K and diameter. Each gives
the window of the observed crop (see `crop`) and the ``K_crop`` to render the model with.

* plain (ours): the square of half side ``rho`` around the projected object centre, its borders at the crop's borders,
  and the same window for observation and rendering.
* upstream: the square's borders rounded to integers; the observation sampled at kornia 0.7.2's coordinate, the model
  rendered into a box of S-1 pixels. The two differ by up to half a crop pixel, which FoundationPose was trained on.

``rho = diameter * crop_ratio / 2 * max(fx, fy, |skew|) / z`` [px]. Float64 inside, like upstream: rounding to
integers must fall to the same side. `storm_edge.kernels.reference.crop_window` is the same in NumPy.
"""

from typing import Any

import warp as wp

from storm_edge.kernels.device import WpArray
from storm_edge.kernels.launch_cache import LaunchCache

wp.set_module_options({"enable_backward": False})


@wp.struct
class WindowRule:
    """Which rule, and its numbers; see `window_rule`."""

    reach_m: wp.float64
    size_px: int
    image_height: int
    image_width: int
    upstream: int


def window_rule(*, reach_m: float, size_px: int, upstream_image_px: tuple[int, int] | None = None) -> Any:
    """A `WindowRule`; kept by the caller, since making one takes longer than a launch.

    Args:
        reach_m: Half side of the window at the object's distance, ``diameter * crop_ratio / 2`` [m].
        size_px: Side of the crop [px].
        upstream_image_px: Height and width of the image [px] for the upstream rule; None for ours.
    """
    rule: Any = WindowRule()
    rule.reach_m, rule.size_px = reach_m, size_px
    rule.image_height, rule.image_width = upstream_image_px or (0, 0)
    rule.upstream = int(upstream_image_px is not None)
    return rule


@wp.func
def place_window(
    n: int,
    T_cam_obj: wp.array(dtype=wp.mat44f),
    K: wp.array(dtype=wp.mat33d),
    rule: WindowRule,
    windows: wp.array(dtype=wp.vec4f),
    K_crop: wp.array(dtype=wp.mat33f),
):
    """Observed window and rendering intrinsics of pose ``n``."""
    T = T_cam_obj[n]
    k = K[0]
    x = wp.float64(T[0, 3])
    y = wp.float64(T[1, 3])
    z = wp.float64(T[2, 3])
    fx = k[0, 0]
    skew = k[0, 1]
    fy = k[1, 1]
    u = (fx * x + skew * y) / z + k[0, 2]
    v = fy * y / z + k[1, 2]
    rho = rule.reach_m * wp.max(wp.max(fx, fy), wp.abs(skew)) / z
    size = wp.float64(rule.size_px)
    half = wp.float64(0.5)
    left = u - rho
    top = v - rho
    su = wp.float64(2.0) * rho / size
    sv = su
    if rule.upstream != 0:
        left = wp.rint(left)
        top = wp.rint(top)
        su = (wp.rint(u + rho) - left) / size
        sv = (wp.rint(v + rho) - top) / size
    ou = left + half * su
    ov = top + half * sv
    if rule.upstream != 0:
        one = wp.float64(1.0)
        width = wp.float64(rule.image_width)
        height = wp.float64(rule.image_height)
        wide = width / (width - one)
        high = height / (height - one)
        windows[n] = wp.vec4f(
            wp.float32(su * wide),
            wp.float32(left * wide - half),
            wp.float32(sv * high),
            wp.float32(top * high - half),
        )
        shrink = (size - one) / size
        su = su * shrink
        sv = sv * shrink
        ou = left + half * su
        ov = top + half * sv
    else:
        windows[n] = wp.vec4f(wp.float32(su), wp.float32(ou), wp.float32(sv), wp.float32(ov))
    zero = wp.float32(0.0)
    K_crop[n] = wp.mat33f(
        wp.float32(fx / su), wp.float32(skew / su), wp.float32((k[0, 2] - ou) / su),
        zero, wp.float32(fy / sv), wp.float32((k[1, 2] - ov) / sv),
        zero, zero, wp.float32(1.0),
    )  # fmt: skip


@wp.kernel
def place_windows(
    T_cam_obj: wp.array(dtype=wp.mat44f),
    K: wp.array(dtype=wp.mat33d),
    rule: WindowRule,
    windows: wp.array(dtype=wp.vec4f),
    K_crop: wp.array(dtype=wp.mat33f),
):
    """`place_window`, one thread per pose."""
    n = wp.tid()
    place_window(n, T_cam_obj, K, rule, windows, K_crop)


def launch_windows(
    T_cam_obj: WpArray,
    K: WpArray,
    *,
    rule: Any,
    windows: WpArray,
    K_crop: WpArray,
    count: int,
    launch_cache: LaunchCache,
) -> None:
    """Place the windows of the first ``count`` poses. Enqueues only.

    Args:
        T_cam_obj: Poses [m] with ``z > 0``, mat44f.
        K: Intrinsics of the image [px], ``(1,)`` mat33d.
        rule: A `WindowRule`, of `window_rule`.
        windows: Out: window of the observed crop, vec4f ``(su, tu, sv, tv)``.
        K_crop: Out: intrinsics to render the crop with [px], mat33f.
        count: Poses to do.
        launch_cache: The caller's.
    """
    launch_cache.launch(place_windows, count, [T_cam_obj, K, rule, windows, K_crop])
