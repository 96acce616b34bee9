"""How well rendered poses agree with the observed image: pixel classes by depth and mask, and colour moments.

One pass over N rendered crops gives everything a hypothesis can be judged by without a network;
`pipeline.refine.judge` turns the sums into scores. The classes of a pixel that the model covers, with ``dz =
observed - rendered`` depth and
a gate ``tau``, which is never less than the depth noise there (`kernels.depth_noise`):

=========  ==========================================  ==============================================
class      condition                                   meaning
=========  ==========================================  ==============================================
GOOD       in mask, ``|dz| < tau``                     the surface is where the model says
CONFLICT   in mask, ``|dz| >= tau``                    the object's pixel at another depth
SPILL      outside the mask, ``dz > -tau``             the model shows where the object is not seen
OCCLUDED   outside the mask, ``dz <= -tau``            something stands in front; says nothing
UNKNOWN    no depth reading, in the mask               says nothing about depth
=========  ==========================================  ==============================================

Without a mask, "in mask" is ``|dz| < tau``: CONFLICT vanishes and SPILL is what the camera sees through the model.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from storm_edge.kernels.depth_noise import noise_limit
from storm_edge.kernels.device import WpArray
from storm_edge.kernels.image_descriptor import RgbdImage
from storm_edge.kernels.launch_cache import LaunchCache

GOOD, GOOD_WEIGHT, CONFLICT, SPILL, OCCLUDED, UNKNOWN = range(6)
MODEL_SUM, OBSERVED_SUM, MODEL_SQUARE, OBSERVED_SQUARE, PRODUCT = 6, 9, 12, 15, 18
SUM_COUNT = 21
"""Columns of the sums: six classes (GOOD_WEIGHT is ``sum(1 - (dz/tau)^2)`` over GOOD), then five RGB moments."""


@wp.struct
class RenderedCrops:
    """The model at N poses, and how it is compared; see `rendered_crops`."""

    depth: wp.array3d(dtype=wp.float32)
    colour: wp.array4d(dtype=wp.float32)
    window: wp.array(dtype=wp.vec4f)
    tau_m: float
    noise_per_m: float


def rendered_crops(
    depth: WpArray, colour: WpArray, window: WpArray, *, tau_m: float, noise_per_m: float = 0.0
) -> Any:
    """A `RenderedCrops`; kept by the caller, since making one takes longer than a launch.

    Args:
        depth: Rendered depth [m], 0 = background, ``(N, S, S)`` float32.
        colour: Rendered RGB in [0, 1], ``(N, S, S, 3)`` float32.
        window: Per crop ``(su, tu, sv, tv)``: source pixel ``u = su * j + tu``, ``v = sv * i + tv``, ``(N,)`` vec4f.
        tau_m: Depth gate [m].
        noise_per_m: What depth noise allows, see `kernels.depth_noise` [1/m].
    """
    crops: Any = RenderedCrops()
    crops.depth, crops.colour, crops.window = depth, colour, window
    crops.tau_m, crops.noise_per_m = tau_m, noise_per_m
    return crops


@wp.func
def agreement_row(
    n: int,
    i: int,
    crops: RenderedCrops,
    image: RgbdImage,
    mask: wp.array2d(dtype=wp.uint8),
    mask_given: int,
    sums: wp.array2d(dtype=wp.float32),
):
    """Add row ``i`` of crop ``n`` to its sums; the other arguments as of `launch_agreement`."""
    width = crops.depth.shape[2]
    w = crops.window[n]  # u_src = w[0] * j + w[1], v_src = w[2] * i + w[3]
    v = int(wp.rint(w[2] * float(i) + w[3]))
    if v < 0 or v >= image.depth.shape[0]:
        return
    good = float(0.0)
    good_weight = float(0.0)
    conflict = float(0.0)
    spill = float(0.0)
    occluded = float(0.0)
    unknown = float(0.0)
    model_sum = wp.vec3f()
    observed_sum = wp.vec3f()
    model_square = wp.vec3f()
    observed_square = wp.vec3f()
    product = wp.vec3f()
    for j in range(width):
        z = crops.depth[n, i, j]
        if z > 0.0:
            u = int(wp.rint(w[0] * float(j) + w[1]))
            if u >= 0 and u < image.depth.shape[1]:
                z_observed = image.depth[v, u]
                dz = z_observed - z
                tau = noise_limit(crops.tau_m, crops.noise_per_m, z)
                near = z_observed > 0.0 and wp.abs(dz) < tau
                inside = near
                if mask_given != 0:
                    inside = mask[v, u] != wp.uint8(0)
                if z_observed <= 0.0:
                    if inside or mask_given == 0:
                        unknown += 1.0
                elif inside:
                    if near:
                        good += 1.0
                        good_weight += 1.0 - (dz / tau) * (dz / tau)
                        m = wp.vec3f(crops.colour[n, i, j, 0], crops.colour[n, i, j, 1], crops.colour[n, i, j, 2])
                        red = float(image.rgb[v, u, 0])
                        green = float(image.rgb[v, u, 1])
                        blue = float(image.rgb[v, u, 2])
                        o = wp.vec3f(red, green, blue) / 255.0
                        model_sum += m
                        observed_sum += o
                        model_square += wp.cw_mul(m, m)
                        observed_square += wp.cw_mul(o, o)
                        product += wp.cw_mul(m, o)
                    else:
                        conflict += 1.0
                elif dz > -tau:
                    spill += 1.0
                else:
                    occluded += 1.0
    if good + conflict + spill + occluded + unknown == 0.0:
        return
    wp.atomic_add(sums, n, 0, good)
    wp.atomic_add(sums, n, 1, good_weight)
    wp.atomic_add(sums, n, 2, conflict)
    wp.atomic_add(sums, n, 3, spill)
    wp.atomic_add(sums, n, 4, occluded)
    wp.atomic_add(sums, n, 5, unknown)
    for c in range(3):
        wp.atomic_add(sums, n, 6 + c, model_sum[c])
        wp.atomic_add(sums, n, 9 + c, observed_sum[c])
        wp.atomic_add(sums, n, 12 + c, model_square[c])
        wp.atomic_add(sums, n, 15 + c, observed_square[c])
        wp.atomic_add(sums, n, 18 + c, product[c])


@wp.kernel
def _agreement(
    crops: RenderedCrops,
    observed_depth: wp.array2d(dtype=wp.float32),
    observed_rgb: wp.array3d(dtype=wp.uint8),
    mask: wp.array2d(dtype=wp.uint8),
    mask_given: int,
    sums: wp.array2d(dtype=wp.float32),
):
    n, i = wp.tid()
    image = RgbdImage()
    image.rgb = observed_rgb
    image.depth = observed_depth
    agreement_row(n, i, crops, image, mask, mask_given, sums)


def launch_agreement(
    crops: Any,
    observed: tuple[WpArray, WpArray],
    mask: WpArray,
    *,
    mask_given: bool,
    sums: WpArray,
    count: int,
    launch_cache: LaunchCache,
) -> None:
    """Fill ``sums[:count]``; launches only.

    Args:
        crops: `RenderedCrops`, of `rendered_crops`.
        observed: The image: depth [m], 0 = no reading, ``(H, W)`` float32; and colour, ``(H, W, 3)`` uint8.
        mask: Object mask, non-zero = object, ``(H, W)`` uint8; ignored unless ``mask_given``.
        mask_given: Whether ``mask`` means anything.
        sums: Output ``(N, SUM_COUNT)`` float32, see the column names of this module.
        count: How many of the N crops are filled.
        launch_cache: The caller's.
    """
    sums.zero_()
    launch_cache.launch(
        _agreement,
        (count, crops.depth.shape[1]),
        [crops, *observed, mask, int(mask_given), sums],
        changing=(1, 2, 3),
    )
