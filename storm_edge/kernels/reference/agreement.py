"""Agreement sums in NumPy, see `storm_edge.kernels.agreement`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.agreement import (
    CONFLICT,
    GOOD,
    GOOD_WEIGHT,
    MODEL_SQUARE,
    MODEL_SUM,
    OBSERVED_SQUARE,
    OBSERVED_SUM,
    OCCLUDED,
    PRODUCT,
    SPILL,
    SUM_COUNT,
    UNKNOWN,
)
from storm_edge.kernels.depth_noise import depth_limits


def agreement_sums(
    depth: NDArray[np.float32],
    colour: NDArray[np.float32],
    window: NDArray[np.float32],
    observed_depth: NDArray[np.float32],
    observed_rgb: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None,
    *,
    tau_m: float,
    noise_per_m: float = 0.0,
) -> NDArray[np.float64]:
    """The sums ``(N, SUM_COUNT)``; arguments as of `rendered_crops` and `launch_agreement`, no mask is None."""
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
        tau = depth_limits(tau_m, noise_per_m, z)
        near = reading & (np.abs(dz) < tau)
        inside = near if mask is None else mask[vv, uu] != 0
        good = reading & inside & near
        sums[n, GOOD] = good.sum()
        sums[n, GOOD_WEIGHT] = (1.0 - (dz[good] / tau[good]) ** 2).sum()
        sums[n, CONFLICT] = (reading & inside & ~near).sum()
        sums[n, SPILL] = (reading & ~inside & (dz > -tau)).sum()
        sums[n, OCCLUDED] = (reading & ~inside & (dz <= -tau)).sum()
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
