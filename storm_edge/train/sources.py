"""The synthetic pairs that training and held-out evaluation draw from; worker processes import these by name."""

from __future__ import annotations

from storm_edge.networks.nano import SIZE_PX
from storm_edge.train.pool import PairSource


def training_source(seed: int) -> PairSource:
    """Pairs of meshes for training; ``seed`` below 1 000 000."""
    from storm_edge.data.synthetic.pairs import PairSampler

    return PairSampler(seed, size_px=SIZE_PX)


def held_out_source(seed: int) -> PairSource:
    """Pairs of meshes that are never trained on; ``seed`` from 1 000 000."""
    from storm_edge.data.synthetic.pairs import PairSampler

    return PairSampler(seed, size_px=SIZE_PX)
