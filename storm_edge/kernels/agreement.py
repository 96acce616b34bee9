"""How well rendered poses agree with the observed image: pixel classes by depth and mask, and colour moments.

One pass over N rendered crops gives everything a hypothesis can be judged by without a network;
`pipeline.refine.judge` turns the sums into scores. The classes of a pixel that the model covers, with ``dz =
observed - rendered`` depth and
a gate ``tau``:

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

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.kernels.launch_cache import LaunchCache

GOOD, GOOD_WEIGHT, CONFLICT, SPILL, OCCLUDED, UNKNOWN = range(6)
MODEL_SUM, OBSERVED_SUM, MODEL_SQUARE, OBSERVED_SQUARE, PRODUCT = 6, 9, 12, 15, 18
SUM_COUNT = 21
"""Columns of the sums: six classes (GOOD_WEIGHT is ``sum(1 - (dz/tau)^2)`` over GOOD), then five RGB moments."""


@wp.func
def agreement_row(
    n: int,
    i: int,
    depth: wp.array3d(dtype=wp.float32),
    colour: wp.array4d(dtype=wp.float32),
    window: wp.array(dtype=wp.vec4f),
    observed_depth: wp.array2d(dtype=wp.float32),
    observed_rgb: wp.array3d(dtype=wp.uint8),
    mask: wp.array2d(dtype=wp.uint8),
    mask_given: int,
    tau: float,
    sums: wp.array2d(dtype=wp.float32),
):
    """Add row ``i`` of crop ``n`` to its sums; arguments as those of `launch_agreement`."""
    width = depth.shape[2]
    w = window[n]  # u_src = w[0] * j + w[1], v_src = w[2] * i + w[3]
    v = int(wp.rint(w[2] * float(i) + w[3]))
    if v < 0 or v >= observed_depth.shape[0]:
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
        z = depth[n, i, j]
        if z > 0.0:
            u = int(wp.rint(w[0] * float(j) + w[1]))
            if u >= 0 and u < observed_depth.shape[1]:
                z_observed = observed_depth[v, u]
                dz = z_observed - z
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
                        m = wp.vec3f(colour[n, i, j, 0], colour[n, i, j, 1], colour[n, i, j, 2])
                        red = float(observed_rgb[v, u, 0])
                        green = float(observed_rgb[v, u, 1])
                        blue = float(observed_rgb[v, u, 2])
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
    depth: wp.array3d(dtype=wp.float32),
    colour: wp.array4d(dtype=wp.float32),
    window: wp.array(dtype=wp.vec4f),
    observed_depth: wp.array2d(dtype=wp.float32),
    observed_rgb: wp.array3d(dtype=wp.uint8),
    mask: wp.array2d(dtype=wp.uint8),
    mask_given: int,
    tau: float,
    sums: wp.array2d(dtype=wp.float32),
):
    n, i = wp.tid()
    agreement_row(n, i, depth, colour, window, observed_depth, observed_rgb, mask, mask_given, tau, sums)


def launch_agreement(
    depth: Any,
    colour: Any,
    window: Any,
    observed_depth: Any,
    observed_rgb: Any,
    mask: Any,
    *,
    mask_given: bool,
    tau_m: float,
    sums: Any,
    count: int,
    device: Any,
    commands: LaunchCache | None = None,
) -> None:
    """Fill ``sums[:count]``; launches only.

    Args:
        depth: Rendered depth [m], 0 = background, ``(N, S, S)`` float32.
        colour: Rendered RGB in [0, 1], ``(N, S, S, 3)`` float32.
        window: Per crop ``(su, tu, sv, tv)``: source pixel ``u = su * j + tu``, ``v = sv * i + tv``, ``(N,)`` vec4f.
        observed_depth: Depth image [m], 0 = no reading, ``(H, W)`` float32.
        observed_rgb: Colour image, ``(H, W, 3)`` uint8.
        mask: Object mask, non-zero = object, ``(H, W)`` uint8; ignored unless ``mask_given``.
        mask_given: Whether ``mask`` means anything.
        tau_m: Depth gate [m].
        sums: Output ``(N, SUM_COUNT)`` float32, see the column names of this module.
        count: How many of the N crops are filled.
        device: Warp device of all arrays.
        commands: The caller's, where it comes with the same arrays again.
    """
    sums.zero_()
    (commands or LaunchCache(device)).launch(
        _agreement,
        (count, depth.shape[1]),
        [depth, colour, window, observed_depth, observed_rgb, mask, int(mask_given), tau_m, sums],
        changing=(3, 4, 5),
    )


def agreement_reference(
    depth: NDArray[np.float32],
    colour: NDArray[np.float32],
    window: NDArray[np.float32],
    observed_depth: NDArray[np.float32],
    observed_rgb: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None,
    *,
    tau_m: float,
) -> NDArray[np.float64]:
    """`launch_agreement` in plain NumPy; returns the sums ``(N, SUM_COUNT)``."""
    N, S = depth.shape[:2]
    H, W = observed_depth.shape
    sums = np.zeros((N, SUM_COUNT))
    for n in range(N):
        u = np.rint(window[n, 0] * np.arange(S, dtype=np.float32) + window[n, 1]).astype(int)
        v = np.rint(window[n, 2] * np.arange(S, dtype=np.float32) + window[n, 3]).astype(int)
        uu, vv = np.meshgrid(u, v)
        seen = (depth[n] > 0) & (uu >= 0) & (uu < W) & (vv >= 0) & (vv < H)
        uu, vv, z = uu[seen], vv[seen], depth[n][seen]
        z_observed = observed_depth[vv, uu]
        dz = z_observed - z
        reading = z_observed > 0
        near = reading & (np.abs(dz) < tau_m)
        inside = near if mask is None else mask[vv, uu] != 0
        good = reading & inside & near
        sums[n, GOOD] = good.sum()
        sums[n, GOOD_WEIGHT] = (1.0 - (dz[good] / tau_m) ** 2).sum()
        sums[n, CONFLICT] = (reading & inside & ~near).sum()
        sums[n, SPILL] = (reading & ~inside & (dz > -tau_m)).sum()
        sums[n, OCCLUDED] = (reading & ~inside & (dz <= -tau_m)).sum()
        sums[n, UNKNOWN] = (~reading & (inside if mask is not None else True)).sum()
        m = colour[n][seen][good].astype(np.float64)
        o = observed_rgb[vv, uu][good] / 255.0
        for column, moment in (
            (MODEL_SUM, m),
            (OBSERVED_SUM, o),
            (MODEL_SQUARE, m * m),
            (OBSERVED_SQUARE, o * o),
            (PRODUCT, m * o),
        ):
            sums[n, column : column + 3] = moment.sum(axis=0)
    return sums
