"""The colours of a model and of an image, compared by large cells of the model's box.

Pixel by pixel a right pose that is off by a few pixels looks wrong where a print is fine. Cells are the same then,
and a thing of other paint differs in them as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.pixels import marked_pixels
from storm_edge.pipeline.detect.config import CoarseColourConfig

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class CoarseColours:
    """How well the colours of cells agree."""

    pattern: float = 0.0
    """Correlation over cells and channels, -1..1, times how much the model has of a pattern, 0..1."""
    residual: float = 0.0
    """Root mean square of what channel gains leave of the image's cells, over that of the cells, limited."""


@dataclass(frozen=True, kw_only=True)
class ColourCells:
    """Mean colours of the model and of the image by cell, RGB in [0, 1]."""

    weight: Float64
    """Share of the pixels ``(C,)``."""
    rendered: Float64
    """Of the model ``(C, 3)``."""
    observed: Float64
    """Of the image ``(C, 3)``."""

    @staticmethod
    def of(
        silhouette: Bool, agrees: Bool, rendered: Float32, observed: Float32, config: CoarseColourConfig
    ) -> ColourCells | None:
        """Cells of the square box of a silhouette; None where nothing agrees.

        Args:
            silhouette: Where the model is ``(H, W)``.
            agrees: Where it is seen ``(H, W)``, P pixels.
            rendered: Colours of the model there, RGB in [0, 1] ``(P, 3)``.
            observed: Of the image ``(P, 3)``.
            config: How many cells, and how full they are.
        """
        rows, columns = np.flatnonzero(silhouette.any(axis=1)), np.flatnonzero(silhouette.any(axis=0))
        v, u = marked_pixels(agrees)
        if not len(v):
            return None
        side_px, n = max(np.ptp(rows), np.ptp(columns)) + 1, config.cells
        cell = (v - rows[0]) * n // side_px * n + (u - columns[0]) * n // side_px
        count = np.bincount(cell, minlength=n * n)
        kept = count >= max(config.min_fill * (side_px / n) ** 2, 1.0)
        if not kept.any():
            return None

        def mean(colours: Float32) -> Float64:
            sums = [np.bincount(cell, channel, minlength=n * n) for channel in colours.T]
            return np.asarray(np.stack(sums, axis=1)[kept] / count[kept, None])

        return ColourCells(weight=count[kept] / count[kept].sum(), rendered=mean(rendered), observed=mean(observed))


def compare_cells(cells: ColourCells | None, gain_floor: float, config: CoarseColourConfig) -> CoarseColours:
    """How well cells agree; nothing said for or against where there is none.

    Args:
        cells: Of a pose.
        gain_floor: As of `pose_features.compare_colours`.
        config: What counts as a pattern.
    """
    if cells is None:
        return CoarseColours(residual=config.max_residual)
    weight, model, image = cells.weight[:, None], cells.rendered, cells.observed
    apart_m, apart_i = (of - (weight * of).sum(axis=0) for of in (model, image))
    contrast_m, contrast_i, product = (
        float((weight * of).sum()) for of in (apart_m**2, apart_i**2, apart_m * apart_i)
    )
    correlation = product / (np.sqrt(contrast_m * contrast_i) + config.contrast_floor)
    gains = ((weight * model * image).sum(axis=0) + gain_floor) / ((weight * model**2).sum(axis=0) + gain_floor)
    left, all_there_is = (
        float(np.sqrt((weight * of**2).sum(axis=0).mean())) for of in (image - gains * model, image)
    )
    return CoarseColours(
        pattern=correlation * min(float(np.sqrt(contrast_m)) / config.full_contrast, 1.0),
        residual=min(left / (all_there_is + config.brightness_floor), config.max_residual),
    )
