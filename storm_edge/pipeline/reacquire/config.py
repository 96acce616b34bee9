"""Tuned numbers of finding a lost object again: the search around its last pose, and regions that are left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from storm_edge.config import Config, tuned


@dataclass(frozen=True, kw_only=True)
class LocalSearchConfig(Config):
    """Where a lost object is searched for first, and what counts as a mask of it."""

    reach_diameters: float = tuned(2.0, unit="diameters", low=0.1, high=100.0)
    """Half side of the window around the last pose, and of the depth range."""
    smooth_px: int = tuned(5, unit="px", low=1, high=101)
    """Colours are averaged over a square of this side: single pixels say little."""
    min_area_share: float = tuned(0.05, unit="1", low=0.0, high=1.0)
    """Least area of the mask, as a share of the disc with the object's diameter."""
    joint_gap_diameters: float = tuned(0.1, unit="diameters", low=0.0, high=10.0)
    """Connected parts nearer to the largest one than this belong to it."""


@dataclass(frozen=True, kw_only=True)
class RejectedRegionsConfig(Config):
    """How long a rejected region is left out, and when it counts as unchanged."""

    memory_s: float = tuned(2.0, unit="s", low=0.0, high=3600.0)
    """A region is tried again after this time even if nothing changed there: noise differs, and an answer was wrong
    now and then."""
    max_count: int = tuned(32, unit="regions", low=1, high=10_000)
    """Regions that are remembered; the oldest is forgotten first."""
    max_px: int = tuned(10_000, unit="px", low=1, high=100_000_000)
    """Pixels kept of a region; of a larger one every so manieth row and column."""
    min_iou: float = tuned(0.5, unit="1", low=0.0, high=1.0)
    """Intersection over union from which two masks are of one region: those of one thing in two images differ."""
    min_unchanged_share: float = tuned(0.8, unit="1", low=0.0, high=1.0)
    """Share of the pixels of both masks that must be as they were."""
    depth_tolerance_share: float = tuned(0.02, unit="1", low=0.0, high=1.0)
    """Depth that differs by no more than this share is as it was, or ..."""
    depth_tolerance_m: float = tuned(0.01, unit="m", low=0.0, high=10.0)
    """... by no more than this, a depth camera's noise."""
    colour_tolerance: float = tuned(30.0, unit="of 255", low=0.0, high=255.0)
    """So is colour with a mean difference of red, green and blue of no more than this."""


@dataclass(frozen=True, kw_only=True)
class ReacquireConfig(Config):
    """Finding an object again that was lost."""

    local_search: LocalSearchConfig = field(default_factory=LocalSearchConfig)
    """The search around the last trusted pose."""
    rejected_regions: RejectedRegionsConfig = field(default_factory=RejectedRegionsConfig)
    """Regions that searches rejected, and that are left out for a while."""
