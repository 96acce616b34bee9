"""The synthetic pairs that training and held-out evaluation draw from; worker processes import these by name."""

from __future__ import annotations

from storm_edge.choices import Network
from storm_edge.networks.nano import SIZE_PX
from storm_edge.synthetic.pairs import PairConfig, PairSampler
from storm_edge.synthetic.queries import QuerySampler
from storm_edge.synthetic.verification import GroupSampler
from storm_edge.train.pool import PairSource, SourceFactory


def training_source(seed: int) -> PairSource:
    """Pairs of meshes for training; ``seed`` in `STREAMS_TRAIN`.

    Four wrong poses per scene: a scene costs more than a pose, and mirroring sets its views apart.
    """
    return PairSampler(seed, size_px=SIZE_PX, config=PairConfig(poses_per_scene=4))


def held_out_source(seed: int) -> PairSource:
    """Pairs of meshes that are never trained on; ``seed`` in `STREAMS_VAL`."""
    return PairSampler(seed, size_px=SIZE_PX, config=PairConfig(poses_per_scene=1))


def query_source(seed: int) -> QuerySampler:
    """Pictures for the segmenter, to train on or held out by ``seed``."""
    return QuerySampler(seed)


def group_source(seed: int) -> GroupSampler:
    """Groups of crops for the verifier, to train on or held out by ``seed``."""
    return GroupSampler(seed)


_OWN: dict[Network, SourceFactory] = {Network.SOM: query_source, Network.TOM: group_source}


def training_source_of(network: Network) -> SourceFactory:
    """What ``network`` is trained on."""
    return _OWN.get(network, training_source)


def held_out_source_of(network: Network) -> SourceFactory:
    """What ``network`` is judged on while it is trained."""
    return _OWN.get(network, held_out_source)
