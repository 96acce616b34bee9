"""Features of a pose that say nothing."""

from __future__ import annotations

from storm_edge.pipeline.detect.pose_features import CandidateFeatures

NEUTRAL = CandidateFeatures(
    visible=0.0,
    pattern=0.0,
    occluded=0.0,
    colour=0.0,
    imbalance=0.0,
    residual=0.0,
    contour=0.0,
    depth=0.0,
    coarse_pattern=0.0,
    coarse_residual=0.0,
    colour_shift=0.0,
    darkness=0.0,
    stands=0.0,
)
