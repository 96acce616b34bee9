"""The nano verifier: do two crops show the same object, cut out where it should be?

As in STORM's TOM, the current crop is compared with crops of frames that were verified before. `NanoTomEncode`
describes a crop, as the current one and as one to remember; `NanoTomCompare` compares two descriptions, so those of
the memory are computed once. A crop is what RefineNet observes: RGB, and xyz relative to the pose in half diameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from storm_edge.networks.nano_blocks import Residual, conv

SIZE_PX = 80
"""Side of the crops [px]."""
CHANNELS = 6
"""RGB in [0, 1] and normalised xyz."""


@dataclass(frozen=True, kw_only=True)
class NanoTomConfig:
    """Widths of the nano verifier."""

    stem: int = 24
    """Channels at 40 px."""
    encoder: int = 32
    """Channels at 20 px."""
    middle: int = 64
    """Channels at 10 px."""
    top: int = 96
    """Channels at 5 px."""
    reduced: int = 48
    """Channels of the 5 px map that is flattened."""
    features: int = 96
    """Length of the description of a crop."""
    hidden: int = 96
    """Width of the comparison."""


class NanoTomEncode(nn.Module):
    """A crop to its description."""

    def __init__(self, config: NanoTomConfig) -> None:
        super().__init__()
        c = config
        self.encoder = nn.Sequential(
            conv(CHANNELS, c.stem, stride=2),
            conv(c.stem, c.encoder, stride=2),
            Residual(c.encoder),
            conv(c.encoder, c.middle, stride=2),
            Residual(c.middle),
            conv(c.middle, c.top, stride=2),
            conv(c.top, c.reduced, kernel=1),
        )
        # Flattened, not averaged: an object that slid to the edge of its crop is a bad sign.
        self.describe = nn.Linear(c.reduced * (SIZE_PX // 16) ** 2, 2 * c.features)
        self.features = c.features

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptions as current crop and for the memory, both ``(N, features)``, of crops ``(N, 6, 80, 80)``."""
        both = self.describe(self.encoder(crop).flatten(1))
        return both[:, : self.features], both[:, self.features :]


class NanoTomCompare(nn.Module):
    """Two descriptions to "the same object, well cut out"."""

    def __init__(self, config: NanoTomConfig) -> None:
        super().__init__()
        self.compare = nn.Sequential(
            nn.Linear(4 * config.features, config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.hidden, 1),
        )

    def forward(self, current: Tensor, memory: Tensor) -> Tensor:
        """Logits ``(N,)`` of pairs of descriptions ``(N, features)``: the current crop and a remembered one."""
        both = torch.cat([current, memory, (current - memory).abs(), current * memory], dim=-1)
        return torch.as_tensor(self.compare(both))[..., 0]


class NanoTom(nn.Module):
    """Both parts in one module, for training."""

    def __init__(self, config: NanoTomConfig | None = None) -> None:
        super().__init__()
        self.config = config or NanoTomConfig()
        self.encode = NanoTomEncode(self.config)
        self.compare = NanoTomCompare(self.config)

    def forward(self, crops: Tensor) -> Tensor:
        """Compare every crop of a group with every other.

        Args:
            crops: Groups of crops ``(N, G, 6, 80, 80)``.

        Returns:
            Logits ``(N, G, G)``: entry ``[n, i, j]`` compares the current crop ``i`` with the remembered crop ``j``.
        """
        n, g = crops.shape[:2]
        current, memory = (d.reshape(n, g, -1) for d in self.encode(crops.flatten(0, 1)))
        pairs = current[:, :, None].expand(n, g, g, -1), memory[:, None, :].expand(n, g, g, -1)
        return torch.as_tensor(self.compare(*pairs))
