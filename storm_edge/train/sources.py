"""The sources that training and held-out evaluation draw from; worker processes import these by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from storm_edge.choices import Network
from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.contract import Source
from storm_edge.generator.sources import make_source

SourceFactory = Callable[[int, torch.device], Source]
"""Makes a source from a seed on a device; importable by name, since worker processes unpickle it."""


def source_of(network: Network, config: GeneratorConfig) -> SourceFactory:
    """What ``network`` is trained on, and judged on while it is: the seed decides which meshes it sees."""
    return partial(_made, network, config)


def _made(network: Network, config: GeneratorConfig, seed: int, device: torch.device) -> Source:
    return make_source(network, seed=seed, device=str(device), config=config)
