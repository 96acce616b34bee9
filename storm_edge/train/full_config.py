"""What a training run of a full network is asked to do: STORM's segmenter or its verifier, at their own size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storm_edge.choices import Network
from storm_edge.errors import ConfigError, mismatch
from storm_edge.generator.config import GeneratorConfig
from storm_edge.networks.dinov2 import VIT_S14, Dinov2Config
from storm_edge.networks.som import SomConfig
from storm_edge.train.config import RunConfig
from storm_edge.train.som_loss import SomLoss
from storm_edge.training_data.som_augment import SomAugment

UPSTREAM: dict[Network, dict[str, Any]] = {
    Network.SOM: {
        "learning_rate": 2e-4,
        "warmup_steps": 4000,
        "weight_decay": 0.01,
        "longest_gradient": 0.1,
        "items": 32,  # 256 on eight GPUs
        "steps": 80_000,
    },
    Network.TOM: {
        "learning_rate": 1e-4,
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "longest_gradient": math.inf,
        "items": 64,
        "steps": None,  # ten times through the pairs
    },
}
"""What upstream's trainers take, by network."""
EPOCHS = 10
"""How often upstream's trainer goes through the pairs of the verifier."""


@dataclass(frozen=True, kw_only=True)
class FullTrainConfig(RunConfig):
    """A run of a full network; `full_config` makes one with upstream's numbers."""

    data: tuple[Path, ...] = ()
    """Folders of `data prepare` (segmenter), or files or folders of pairs (verifier)."""
    held_out_data: tuple[Path, ...] = ()
    """The same to be judged by; without any, every tenth picture or pair of ``data`` is."""
    synthetic: bool = False
    """Whether the segmenter is trained on generated pictures in place of ``data``."""
    encoder: Path | None = None
    """Official DINOv2 file that the encoder starts with."""
    random_encoder: bool = False
    """Whether the encoder starts with random weights, which is for trials: the segmenter's is not trained."""
    start_from: Path | None = None
    """Checkpoint of the whole network to start with, official or of a run; no encoder is needed then."""
    layers: int = 1
    """Transformer layers of the verifier: 1 in the published file, 2 in upstream's trainer."""
    language: bool = False
    """Whether the segmenter takes descriptions; its folders must have them (`data describe`)."""
    items: int = 1
    """Pictures or pairs of a step and process."""
    longest_gradient: float = math.inf
    """Norm of all gradients together beyond which they are shortened."""
    loss: SomLoss = field(default_factory=SomLoss)
    """The segmenter's."""
    augment: SomAugment = field(default_factory=SomAugment)
    """How the segmenter's pictures are changed."""
    view_cache_mib: int = 4096
    """Memory of encoded views, which the frozen encoder makes once per object [MiB]; those beyond are made anew."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """What generated pictures are like."""
    som: SomConfig = field(default_factory=SomConfig)
    """Sizes of the segmenter."""
    tom: Dinov2Config = VIT_S14
    """Sizes of the verifier's encoder."""

    @property
    def items_per_step(self) -> int:
        """Items of a batch of one process."""
        return self.items if self.batch is None else self.batch


def full_config(network: Network, out: Path, **given: Any) -> FullTrainConfig:
    """A run with upstream's numbers where none are given.

    Args:
        network: Segmenter or verifier.
        out: Folder of the run.
        given: Fields of `FullTrainConfig`; those that are None count as not given.

    Raises:
        ConfigError: A full network that is not trained here, or options that contradict each other.
    """
    if network not in UPSTREAM:
        remedy = "train its nano form, or use the official checkpoint"
        raise ConfigError(mismatch("--tier full", network.value, "som or tom", remedy))
    own = dict(UPSTREAM[network])
    if given.get("minutes") is not None:
        own.pop("steps")  # time alone ends it
    config = FullTrainConfig(network=network, out=out, **{**own, **{k: v for k, v in given.items() if v is not None}})
    _check(config)
    return config


def _check(config: FullTrainConfig) -> None:
    """Refuse options that do not go together.

    Raises:
        ConfigError: Names them.
    """
    is_som = config.network is Network.SOM
    if bool(config.data) == config.synthetic:
        expected = "--data, or --synthetic for som" if is_som else "--data with pairs"
        got = "both" if config.data else "neither"
        raise ConfigError(mismatch("--data and --synthetic", got, expected, "give one"))
    for name, value in (("--synthetic", config.synthetic), ("--language", config.language)):
        if value and not is_som:
            raise ConfigError(mismatch(name, "train tom", "train som", "leave it out"))
    if config.language and config.synthetic:
        raise ConfigError(mismatch("--language", "--synthetic", "--data with descriptions", "leave one out"))
    starts = [config.encoder is not None, config.random_encoder, config.start_from is not None]
    if sum(starts) != 1 and not config.resume:
        file = "dinov2_vitb14_reg4_pretrain.pth" if is_som else "dinov2_vits14_pretrain.pth"
        expected = f"--encoder {file}, --start-from CHECKPOINT or --random-encoder"
        raise ConfigError(mismatch("the encoder", f"{sum(starts)} starts", expected, "give one of them"))
    for name, least, number in (("--batch", config.items_per_step, 1), ("--layers", config.layers, 1)):
        if least < number:
            raise ConfigError(mismatch(name, least, "at least 1", "raise it"))
