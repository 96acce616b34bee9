"""Which graphs of a bundle are its ScoreNet: two, or one as NVIDIA publishes it. A bundle need not have any."""

from __future__ import annotations

from collections.abc import Collection

SPLIT = ("score_features", "score_attention")
"""A ScoreNet in two graphs."""
_SCORERS = (frozenset({"score"}), frozenset(SPLIT))


def scorer_of(networks: Collection[str]) -> frozenset[str]:
    """The graphs of the ScoreNet among ``networks``, by name; empty where there is no complete one."""
    given = frozenset(networks)
    return next((scorer for scorer in _SCORERS if scorer <= given), frozenset())


def scores_lone_poses(tier: str, networks: Collection[str]) -> bool:
    """Whether a bundle's ScoreNet says of a single pose if it is right: ours is trained to, upstream's only ranks."""
    return tier == "nano" and bool(scorer_of(networks))
