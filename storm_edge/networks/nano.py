"""The nano tier: RefineNet and ScoreNet small enough for two CPU cores, with the upstream inputs and outputs.

Both read a pair of crops, ``rendered`` (the model at the hypothesis) and ``observed`` (the camera), normalised as
the upstream networks want them, at 80 px instead of 160. One trunk serves both: an encoder shared by the two crops
down to 20 px, then their concatenation down to a 5 px map that is flattened, not averaged. A rotation is flow times
position; a linear layer over the flattened map can weigh flow by position, an average cannot.

Only 3x3 convolutions, BatchNorm (folded at export) and ReLU: what ONNX Runtime and TensorRT both run fastest.
Training is `storm_edge.train`, the ONNX files are written by `storm_edge.export.onnx`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE_PX = 80
"""Side of the crops [px]."""


@dataclass(frozen=True, kw_only=True)
class NanoConfig:
    """Widths of a nano network; the defaults cost 57 million multiply-accumulates per pair."""

    stem: int = 24
    """Channels at 40 px."""
    encoder: int = 32
    """Channels at 20 px, where the two crops are concatenated."""
    middle: int = 96
    """Channels at 10 px."""
    top: int = 128
    """Channels at 5 px."""
    reduced: int = 64
    """Channels of the 5 px map that is flattened."""
    hidden: int = 192
    """Length of the vector that describes a pair."""
    features: int = 96
    """Length of the per-pair feature of ScoreNet."""
    heads: int = 4
    """Attention heads over the hypotheses of a set."""


def _conv(cin: int, cout: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution without bias, BatchNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.conv2(self.conv1(x))))


class PairTrunk(nn.Module):
    """A pair of crops to one vector, and the 10 px map on the way there."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        c = config
        self.encoder = nn.Sequential(
            _conv(6, c.stem, stride=2), _conv(c.stem, c.encoder, stride=2), _Residual(c.encoder)
        )
        self.middle = nn.Sequential(_conv(2 * c.encoder, c.middle, stride=2), _Residual(c.middle))
        self.top = nn.Sequential(
            _conv(c.middle, c.top, stride=2), _Residual(c.top), _conv(c.top, c.reduced, kernel=1)
        )
        self.vector = nn.Linear(c.reduced * (SIZE_PX // 16) ** 2, c.hidden)

    def forward(self, rendered: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Describe pairs of crops.

        Args:
            rendered: Model at the hypothesis, RGB in [0, 1] and normalised xyz, shape ``(N, 6, 80, 80)``.
            observed: Camera, the same channels and window, shape ``(N, 6, 80, 80)``.

        Returns:
            Pair vectors ``(N, hidden)`` and the map they came from ``(N, middle, 10, 10)``.
        """
        both = torch.cat([self.encoder(rendered), self.encoder(observed)], dim=1)
        middle = self.middle(both)
        return F.relu(self.vector(self.top(middle).flatten(1))), middle


class NanoRefineNet(nn.Module):
    """Pose correction of each pair, in the units of the upstream pose update (reference-networks 5.7).

    Applied as ``t += trans * diameter / 2`` and ``R = Exp(tanh(rot) * 0.349)^T R``.
    """

    def __init__(self, config: NanoConfig | None = None) -> None:
        super().__init__()
        self.config = config or NanoConfig()
        self.trunk = PairTrunk(self.config)
        self.pose = nn.Linear(self.config.hidden, 6)
        # Training only: where each visible surface point should move. It teaches the map what the pose head sums up.
        self.flow = nn.Conv2d(self.config.middle, 3, 1)

    def forward(self, rendered: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """``trans (N, 3)`` and ``rot (N, 3)`` before tanh, of pairs ``(N, 6, 80, 80)``."""
        vector, _ = self.trunk(rendered, observed)
        pose = self.pose(vector)
        return pose[:, :3], pose[:, 3:]

    def forward_with_flow(self, rendered: Tensor, observed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `forward`, and the surface motion ``(N, 3, 10, 10)`` in half diameters, for the training loss."""
        vector, middle = self.trunk(rendered, observed)
        pose = self.pose(vector)
        return pose[:, :3], pose[:, 3:], self.flow(middle)


class NanoScoreFeatures(nn.Module):
    """What ScoreNet knows of one hypothesis by itself."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.trunk = PairTrunk(config)
        self.out = nn.Linear(config.hidden, config.features)

    def forward(self, rendered: Tensor, observed: Tensor) -> Tensor:
        """Features ``(N, C)`` of pairs ``(N, 6, 80, 80)``."""
        vector, _ = self.trunk(rendered, observed)
        return torch.as_tensor(self.out(vector))


class NanoScoreAttention(nn.Module):
    """Scores of a set of hypotheses that may look at each other; any count, down to one."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.features)
        self.qkv = nn.Linear(config.features, 3 * config.features)
        self.mix = nn.Linear(config.features, config.features)
        self.score = nn.Sequential(
            nn.LayerNorm(config.features),
            nn.Linear(config.features, config.features),
            nn.ReLU(inplace=True),
            nn.Linear(config.features, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Score hypotheses.

        Args:
            features: One set ``(N, C)``, or sets of equal size ``(S, N, C)``.

        Returns:
            Scores ``(N,)`` or ``(S, N)``: logits of "within a tenth of the diameter", comparable across sets.
        """
        *lead, n, c = features.shape
        qkv = self.qkv(self.norm(features)).reshape(*lead, n, 3, self.heads, c // self.heads)
        q, k, v = qkv.movedim(-3, 0).transpose(-3, -2)  # each (..., heads, N, C / heads)
        weights = torch.softmax(q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5, dim=-1)
        mixed = (weights @ v).transpose(-3, -2).reshape(*lead, n, c)
        return torch.as_tensor(self.score(features + self.mix(mixed)))[..., 0]


class NanoScoreNet(nn.Module):
    """Features and attention in one module, for training; they are exported apart."""

    def __init__(self, config: NanoConfig | None = None) -> None:
        super().__init__()
        self.config = config or NanoConfig()
        self.features = NanoScoreFeatures(self.config)
        self.attention = NanoScoreAttention(self.config)

    def forward(self, rendered: Tensor, observed: Tensor) -> Tensor:
        """Scores ``(S, H)`` of ``S`` sets of ``H`` pairs, shape ``(S, H, 6, 80, 80)``."""
        sets, hypotheses = rendered.shape[:2]
        features = self.features(rendered.flatten(0, 1), observed.flatten(0, 1))
        return torch.as_tensor(self.attention(features.reshape(sets, hypotheses, -1)))
