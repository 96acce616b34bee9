"""From correlations of edges to an offset of depth, where it is large and sure enough to be told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.depth_offset.config import DepthOffsetConfig
from storm_edge.pipeline.depth_offset.correlation import EdgeCorrelation

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DepthOffset:
    """Where depth lies beside colour."""

    right_px: float
    """To the right [px]; negative to the left."""
    down_px: float
    """Downwards [px]; negative upwards."""
    contrast: float
    """How far the agreement there is above that of any offset, by edge point; colour steps are 0..1."""
    gain: float
    """How far it is above that without an offset, in standard deviations of what chance does."""
    votes: float
    """Share of tiles that agree better there than without, 0..1."""
    tile_count: int
    """Tiles that have a vote."""

    @property
    def size_px(self) -> float:
        """Length of the offset [px]."""
        return float(np.hypot(self.right_px, self.down_px))

    @property
    def words(self) -> str:
        """As in "8 px to the right and 3 px down"."""
        least = self.size_px / 3.0  # fixed: a component that changes the direction by less than 20 degrees
        parts = []
        if abs(self.right_px) > least:
            parts.append(f"{abs(self.right_px):.0f} px to the {'right' if self.right_px > 0.0 else 'left'}")
        if abs(self.down_px) > least:
            parts.append(f"{abs(self.down_px):.0f} px {'down' if self.down_px > 0.0 else 'up'}")
        return " and ".join(parts)


def measure_offset(correlation: EdgeCorrelation, image_count: int, config: DepthOffsetConfig) -> DepthOffset:
    """The offset at which edges agree best.

    Args:
        correlation: Sum over the images.
        image_count: How many they were.
        config: As they were made with.
    """
    total = correlation.sums.sum(axis=0)
    middle = config.reach
    down, right = (int(i) for i in np.unravel_index(np.argmax(total), total.shape))
    rows, columns = np.indices(total.shape)
    from_best, from_none = np.hypot(rows - down, columns - right), np.hypot(rows - middle, columns - middle)
    at_best, at_none = from_best <= config.peak_radius, from_none <= config.peak_radius
    chance = total[from_best > config.far_radius]
    deviation = max(float(chance.std()), 1e-9)
    voting = correlation.counts >= config.min_tile_points * image_count
    tiles = correlation.sums[voting]
    votes = [tile[at_best].max() > tile[at_none].max() for tile in tiles]
    return DepthOffset(
        right_px=config.binning * (right - middle + _between(total[down], right)),
        down_px=config.binning * (down - middle + _between(total[:, right], down)),
        gain=(float(total.max()) - float(total[at_none].max())) / deviation,
        contrast=(float(total.max()) - float(np.median(chance))) / max(int(correlation.counts.sum()), 1),
        votes=float(np.mean(votes)) if votes else 0.0,
        tile_count=len(votes),
    )


def is_sure(offset: DepthOffset, image_count: int, config: DepthOffsetConfig) -> bool:
    """Whether an offset is large and clear enough to be told; one of few images must be a little larger."""
    is_clear = offset.contrast >= config.clear_contrast
    is_large = is_clear and image_count >= config.least_images
    low_px = config.min_offset_px if is_large else config.faint_min_offset_px
    high_px = config.max_offset_px if is_clear else config.faint_max_offset_px
    gain, votes = (config.min_gain, config.min_votes) if is_clear else (config.faint_min_gain, config.faint_min_votes)
    return (
        offset.contrast >= config.faint_contrast
        and low_px <= offset.size_px <= high_px
        and offset.gain >= gain
        and offset.votes >= votes
        and offset.tile_count >= config.least_vote_tiles
    )


def _between(values: Float64, best: int) -> float:
    """Where the top of a parabola through a maximum and its neighbours is, beside the maximum."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, at, after = values[best - 1 : best + 2]
    bend = before - 2.0 * at + after
    return 0.0 if bend >= 0.0 else float(0.5 * (before - after) / bend)
