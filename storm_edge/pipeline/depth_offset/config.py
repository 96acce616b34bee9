"""Tuned numbers of the check that depth lies on colour.

They were set by hand on 12 real recordings and 6 synthetic ones whose depth was shifted by 0, 3, 6, 8 and 10 px in
several directions. Depth and colour of the real ones lie up to 3 px beside each other as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from storm_edge.config import Config, tuned


@dataclass(frozen=True, kw_only=True)
class DepthOffsetConfig(Config):
    """How the offset between depth and colour is measured, and when it is told."""

    enabled: bool = tuned(True, unit="")
    """Whether it is measured at all."""
    binning: int = tuned(2, unit="px", low=1, high=16)
    """Images are reduced by this: edges are no sharper."""
    reach: int = tuned(8, unit="reduced px", low=2, high=64)
    """Offsets are tried up to this in either direction."""
    max_points: int = tuned(1500, unit="points", low=10, high=1_000_000)
    """Edge points of depth that are used of one image, half of them of vertical edges."""
    min_points: int = tuned(200, unit="points", low=1, high=1_000_000)
    """An image with fewer says nothing."""
    depth_jump: float = tuned(0.04, unit="1", low=0.001, high=1.0)
    """Relative step of depth between neighbours that is an edge; flat surfaces seen at a slant have less."""
    fill_px: int = tuned(9, unit="reduced px", low=1, high=99)
    """Depth without a reading is taken as the farthest within this window: holes are mostly behind an edge."""
    faint_step: float = tuned(8.0, unit="grey levels", low=0.1, high=255.0)
    """Step of colour that counts half as much as the sharpest one: print and shadows are not to outweigh outlines."""
    tiles: int = tuned(3, unit="1", low=1, high=16)
    """The image has so many tiles in either direction; an offset is the same in all of them, and chance is not."""
    min_tile_points: int = tuned(40, unit="points", low=1, high=1_000_000)
    """A tile with fewer edge points per image has no vote."""
    rows_per_chunk: int = tuned(2, unit="rows", low=1, high=129)
    """Rows of offsets that are tried in one chunk, which is what a frame of a live loop pays."""
    pause: int = tuned(10, unit="frames", low=0, high=10_000)
    """Frames between two images that are looked at."""
    max_images: int = tuned(12, unit="images", low=1, high=10_000)
    """When so many were looked at, that was all."""
    least_images: int = tuned(5, unit="images", low=1, high=10_000)
    """Fewer tell it from ``faint_min_offset_px`` on, and tell a faint one only at the end of a recording."""
    peak_radius: float = tuned(1.5, unit="reduced px", low=0.0, high=16.0)
    """What is this near to an offset is taken as the same."""
    far_radius: float = tuned(4.0, unit="reduced px", low=1.0, high=64.0)
    """What is farther from the best offset than this tells what chance does."""
    least_vote_tiles: int = tuned(3, unit="tiles", low=1, high=256)
    """Fewer tiles with a vote decide nothing."""
    min_offset_px: float = tuned(4.9, unit="px", low=0.5, high=100.0)
    """Offset from which on it is told. 6 px measure 5.0 or more, 3 px at most 3.8; what cameras have of their own is
    added to it."""
    max_offset_px: float = tuned(13.0, unit="px", low=1.0, high=1000.0)
    """A larger one, near the end of the reach, is mostly chance."""
    clear_contrast: float = tuned(0.065, unit="1", low=0.0, high=1.0)
    """`DepthOffset.contrast` from which the offset is clear. Depth of one recording on colours of another, 150 pairs,
    had at most 0.063; recordings have 0.07 and more, but for two of 24, which are blurred or cluttered."""
    min_gain: float = tuned(0.25, unit="deviations", low=0.0, high=100.0)
    """By so much the best offset must agree better than none, in standard deviations of what chance does."""
    min_votes: float = tuned(0.5, unit="1", low=0.0, high=1.0)
    """Share of tiles that must agree better with the offset than with none."""
    faint_contrast: float = tuned(0.025, unit="1", low=0.0, high=1.0)
    """With less contrast than ``clear_contrast``, and at least this, the offset is told where the following hold. So
    was one of 50 of those pairs."""
    faint_min_offset_px: float = tuned(5.5, unit="px", low=0.5, high=100.0)
    """It is at least this, ..."""
    faint_max_offset_px: float = tuned(11.0, unit="px", low=1.0, high=1000.0)
    """... and at most this; single blurred images had 13 to 16 px, ..."""
    faint_min_gain: float = tuned(0.5, unit="deviations", low=0.0, high=100.0)
    """... agrees so much better than none, ..."""
    faint_min_votes: float = tuned(0.77, unit="1", low=0.0, high=1.0)
    """... and in this share of the tiles."""
