"""The source of training batches of each network."""

from __future__ import annotations

from storm_edge.choices import Network
from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.contract import Source
from storm_edge.generator.refine_pairs import RefinePairs
from storm_edge.generator.score_sets import ScoreSets
from storm_edge.generator.segment_queries import SegmentQueries
from storm_edge.generator.verify_groups import VerifyGroups


def make_source(network: Network, *, seed: int, device: str, config: GeneratorConfig | None = None) -> Source:
    """An endless stream of batches.

    Args:
        network: What is to be trained or judged.
        seed: Of the stream; in `splits.STREAMS_TRAIN` for training, in `splits.STREAMS_VAL` for held-out figures.
        device: ``cpu``, ``cuda`` or ``cuda:i``.
        config: What the pictures are like.
    """
    if network is Network.REFINE:
        return RefinePairs(seed, device=device, config=config)
    if network is Network.SCORE:
        return ScoreSets(seed, device=device, config=config)
    if network is Network.SOM:
        return SegmentQueries(seed, device=device, config=config)
    return VerifyGroups(seed, device=device, config=config)
