"""The synthetic pairs that training and held-out evaluation draw from; worker processes import these by name."""

from __future__ import annotations

from storm_edge.data.synthetic.pairs import PairConfig, PairSampler
from storm_edge.networks.nano import SIZE_PX
from storm_edge.train.pool import PairSource

HELD_OUT_SEED = 1_000_000
"""First seed whose meshes are never trained on."""


def training_source(seed: int) -> PairSource:
    """Pairs of meshes for training; ``seed`` below `HELD_OUT_SEED`.

    Four wrong poses per scene: a scene costs more than a pose, and mirroring sets its views apart.
    """
    return PairSampler(seed, size_px=SIZE_PX, config=PairConfig(poses_per_scene=4))


def held_out_source(seed: int) -> PairSource:
    """Pairs of meshes that are never trained on; ``seed`` from `HELD_OUT_SEED`."""
    return PairSampler(seed, size_px=SIZE_PX, config=PairConfig(poses_per_scene=1))
