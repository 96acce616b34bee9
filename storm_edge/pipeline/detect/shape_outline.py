"""What is beside the outline of a model at a pose: does the surface that is measured end there, or go on?"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.pixels import marked_pixels
from storm_edge.pipeline.detect.config import ShapeConfig
from storm_edge.pipeline.detect.shape_crop import ShapeCrop

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def edge_m(z: Float64, diameter_m: float, config: ShapeConfig) -> Float64:
    """By how much depths [m] of two surfaces differ at least, at a depth ``z`` [m]."""
    noise_m = config.noise_m + config.noise_per_m * z
    return np.asarray(np.maximum(config.edge_diameters * diameter_m, config.edge_noises * noise_m))


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The outline's pixels: what is beyond each, and the direction of each from the middle."""

    judged: Bool
    """Those from which the model does not go on at a bend of its outline ``(N,)``."""
    falls_away: Bool
    """The surface inside is where the model is, and what is beside it is farther."""
    fades: Bool
    """The surface inside is where the model is, and beside it there is no reading."""
    goes_on: Bool
    """Beside it the surface goes on at the same depth, off the planes."""
    blocked: Bool
    """Nothing can be said: something in front lies beside it or over it, or the image ends there."""
    angle: Float64
    """Direction from the middle [rad]."""

    def share(self, which: Bool) -> float:
        """Of the outline, as far as it can be judged."""
        return int((which & self.judged).sum()) / max(int(self.judged.sum()), 1)

    def sector_share(self, count: int) -> float:
        """Share of ``count`` directions in which the surface ends at more than half of the outline."""
        ends, _ = self._sectors(self.judged, count)
        return float(ends.mean())

    def open_share(self, which: Bool) -> float:
        """Of the outline that can be judged, what is not blocked."""
        return self.share(which & ~self.blocked)

    def open_sector_shares(self, count: int) -> tuple[float, float]:
        """As `sector_share` of the outline that is not blocked, and the share of directions that have some of it."""
        ends, known = self._sectors(self.judged & ~self.blocked, count)
        return float(ends.mean()), float(known.mean())

    def _sectors(self, among: Bool, count: int) -> tuple[Bool, Bool]:
        """The directions in which the surface ends at more than half of some pixels, and those that have one."""
        turn = self.angle / (2.0 * np.pi) + 0.5
        sector = np.floor(turn * count).astype(np.int64) % count
        all_px = np.bincount(sector[among], minlength=count)
        end_px = np.bincount(sector[among & (self.falls_away | self.fades)], minlength=count)
        return 2 * end_px > all_px, all_px > 0


def outline_of(crop: ShapeCrop, diameter_m: float, config: ShapeConfig) -> Outline:
    """What is beside each pixel of the outline; no pixel where the model fills the window or is not in it."""
    silhouette, size_px = crop.silhouette, len(crop.model_m)
    if silhouette.all() or not silhouette.any():
        nothing = np.zeros(0, dtype=bool)
        return Outline(
            judged=nothing, falls_away=nothing, fades=nothing, goes_on=nothing, blocked=nothing, angle=np.zeros(0)
        )
    byte = silhouette.astype(np.uint8)
    outside, inside = (cv2.distanceTransform(of, cv2.DIST_L2, cv2.DIST_MASK_5) for of in (1 - byte, byte))
    distance = outside - inside
    slope_v, slope_u = np.gradient(cv2.GaussianBlur(distance, (0, 0), config.outline_blur_px))
    v, u = marked_pixels(silhouette & (distance >= -config.outline_px))
    length = np.maximum(np.hypot(slope_u, slope_v)[v, u], 1e-9)
    out_u, out_v = slope_u[v, u] / length, slope_v[v, u] / length

    @functools.cache
    def places(step_px: float) -> tuple[Bool, NDArray[np.int64]]:
        """Whether they are in the window, and their indices there."""
        rows, columns = (np.rint(at + step_px * way).astype(np.int64) for at, way in ((v, out_v), (u, out_u)))
        here = (rows >= 0) & (rows < size_px) & (columns >= 0) & (columns < size_px)
        return here, rows.clip(0, size_px - 1) * size_px + columns.clip(0, size_px - 1)

    def beside(image: NDArray[np.generic], step_px: float, outside: float) -> Float64:
        """Values so far outwards of each pixel."""
        here, index = places(step_px)
        return np.asarray(np.where(here, image.take(index), outside), dtype=np.float64)

    z = np.where(crop.measured_m > 0.0, crop.measured_m, np.nan)
    apart = np.where(silhouette, z - crop.model_m, np.nan)
    model = np.where(silhouette, crop.model_m, np.nan)
    nearest, farthest = config.outside_px
    inner, innermost = config.inside_px
    outside_z = _median([beside(z, step, np.nan) for step in range(nearest, farthest + 1)])
    inside_apart = _median([beside(apart, -step, np.nan) for step in range(inner, innermost + 1)])
    rim_m = beside(model, -1.0, np.nan)
    rim_m = np.where(np.isfinite(rim_m), rim_m, crop.model_m[v, u])
    least_m = edge_m(rim_m, diameter_m, config)
    # Not where the model itself goes on, at a bend of its outline.
    judged = (beside(silhouette, nearest, 1.0) < 0.5) & (beside(silhouette, farthest, 1.0) < 0.5)  # fixed: a flag
    visible = beside(crop.in_image, nearest, 0.0) > 0.5  # fixed: a flag
    step_m = outside_z - rim_m
    known = visible & np.isfinite(step_m)
    apart_m = np.where(np.isfinite(inside_apart), inside_apart, np.inf)
    agrees = np.abs(apart_m) < least_m
    same = known & (np.abs(step_m) <= least_m)
    return Outline(
        judged=judged,
        falls_away=known & (step_m > least_m) & agrees,
        fades=visible & ~known & agrees,
        goes_on=same & ~(beside(crop.on_plane, farthest, 0.0) > 0.5),  # fixed: a flag
        blocked=(apart_m <= -least_m) | (known & (step_m < -least_m)) | ~visible,
        angle=np.arctan2(v - v.mean(), u - u.mean()),
    )


def _median(values: list[Float64]) -> Float64:
    """Median of those that are numbers, ``(N,)``; NaN where none is."""
    stacked = np.sort(np.stack(values), axis=0)  # what is no number comes last
    count = np.isfinite(stacked).sum(axis=0)
    index = np.maximum(count - 1, 0)
    low, high = (np.take_along_axis(stacked, at[None], axis=0)[0] for at in (index // 2, (index + 1) // 2))
    return np.asarray((low + high) / 2.0)
