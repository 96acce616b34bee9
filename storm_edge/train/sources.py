"""The sources that training and held-out evaluation draw from; worker processes import these by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from storm_edge.choices import Network
from storm_edge.generator.contract import Batch, Source
from storm_edge.networks.nano import SIZE_PX
from storm_edge.synthetic.pairs import PairConfig, PairSampler
from storm_edge.synthetic.queries import QuerySampler
from storm_edge.synthetic.verification import GroupSampler

SourceFactory = Callable[[int, torch.device], Source]
"""Makes a source from a seed on a device; importable by name, since worker processes unpickle it."""
_POSES_PER_SCENE = 4  # a scene costs more than a pose, and mirroring sets its views apart


class SamplerSource:
    """A sampler of `storm_edge.synthetic`, which draws on the CPU, as a source on a device.

    Args:
        network: What is drawn.
        hypotheses: Hypotheses per set of ScoreNet.
        poses_per_scene: Wrong poses of RefineNet in one scene.
        seed: Of the stream.
        device: Where the batches go.
    """

    def __init__(
        self, network: Network, hypotheses: int, poses_per_scene: int, seed: int, device: torch.device
    ) -> None:
        self._device = device
        if network is Network.SOM:
            self._draw: Callable[[int], dict[str, NDArray[np.float32]]] = QuerySampler(seed).query_batch
        elif network is Network.TOM:
            self._draw = GroupSampler(seed).group_batch
        else:
            sampler = PairSampler(seed, size_px=SIZE_PX, config=PairConfig(poses_per_scene=poses_per_scene))
            sets = partial(sampler.score_batch, hypotheses=hypotheses)
            self._draw = sampler.refine_batch if network is Network.REFINE else sets

    def batch(self, items: int) -> Batch:
        """The next items, see `generator.contract.Source`."""
        return {key: torch.from_numpy(value).to(self._device) for key, value in self._draw(items).items()}


def training_source_of(network: Network, hypotheses: int) -> SourceFactory:
    """What ``network`` is trained on; its seeds are in `STREAMS_TRAIN`."""
    return partial(SamplerSource, network, hypotheses, _POSES_PER_SCENE)


def held_out_source_of(network: Network, hypotheses: int) -> SourceFactory:
    """What ``network`` is judged on while it is trained: other meshes; its seeds are in `STREAMS_VAL`."""
    return partial(SamplerSource, network, hypotheses, 1)
