"""The sources that training and held-out evaluation draw from; worker processes import these by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from storm_edge.choices import Network
from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.contract import Batch, Source
from storm_edge.generator.sources import make_source
from storm_edge.synthetic.queries import QuerySampler
from storm_edge.synthetic.verification import GroupSampler

SourceFactory = Callable[[int, torch.device], Source]
"""Makes a source from a seed on a device; importable by name, since worker processes unpickle it."""
_SAMPLED = (Network.SOM, Network.TOM)  # drawn one by one, until the generator has sources for them


class SamplerSource:
    """A sampler of `storm_edge.synthetic`, which draws on the CPU, as a source on a device.

    Args:
        network: What is drawn.
        seed: Of the stream.
        device: Where the batches go.
    """

    def __init__(self, network: Network, seed: int, device: torch.device) -> None:
        self._device = device
        self._draw: Callable[[int], dict[str, NDArray[np.float32]]] = (
            QuerySampler(seed).query_batch if network is Network.SOM else GroupSampler(seed).group_batch
        )

    def batch(self, items: int) -> Batch:
        """The next items, see `generator.contract.Source`."""
        return {key: torch.from_numpy(value).to(self._device) for key, value in self._draw(items).items()}


def source_of(network: Network, config: GeneratorConfig) -> SourceFactory:
    """What ``network`` is trained on, and judged on while it is: the seed decides which meshes it sees."""
    return partial(_made, network, config)


def _made(network: Network, config: GeneratorConfig, seed: int, device: torch.device) -> Source:
    if network in _SAMPLED:
        return SamplerSource(network, seed, device)
    return make_source(network, seed=seed, device=str(device), config=config)
