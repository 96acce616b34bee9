"""RefineNet and ScoreNet of FoundationPose, written anew from their published shapes (reference-networks 5.2, 5.3).

The names of the parameters are those of the official checkpoints, so that these load without translation: 134 entries
and 116. The code is ours; where a simplification is exact it is taken:

- the heads' last linear layer and the mean over tokens commute, so the mean comes first;
- ScoreNet reads its pair attention only through the mean over queries, so attention rows are averaged first and the
  value and output projections act on one vector per head (a test compares with the plain form);
- ScoreNet is two modules, features of a pair (any batch) and attention over the set of hypotheses (its true size).

Rotations and translations come out as the upstream pose update wants them (5.7). The checkpoints are the user's:
their licence is research-only, and none comes with this project.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.networks.checkpoints import load_strictly
from storm_edge.networks.published import Published, read_published

SIZE_PX = 160
"""Side of the crops [px]."""
TOKENS = 400
"""Cells of the 20 px map that the heads attend over, row by row."""
WIDTH = 512
"""Channels of a token."""
HEADS = 4
"""Attention heads."""


class _ConvNormRelu(nn.Module):
    """Convolution, BatchNorm, ReLU; keys ``net.0``, ``net.1``."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(cin, cout, kernel, stride, (kernel - 1) // 2), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.net(x))


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm around a plain shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(x + self.bn2(self.conv2(y)))


def _encode_one() -> nn.Sequential:
    """One crop ``(N, 6, 160, 160)`` to ``(N, 128, 40, 40)``."""
    return nn.Sequential(_ConvNormRelu(6, 64, 7, 2), _ConvNormRelu(64, 128, 3, 2), _BasicBlock(128), _BasicBlock(128))


def _encode_pair() -> nn.Sequential:
    """Both maps ``(N, 256, 40, 40)`` to ``(N, 512, 20, 20)``."""
    return nn.Sequential(
        _BasicBlock(256), _BasicBlock(256), _ConvNormRelu(256, WIDTH, 3, 2), _BasicBlock(WIDTH), _BasicBlock(WIDTH)
    )


def sine_positions(tokens: int = TOKENS, width: int = WIDTH) -> Tensor:
    """The standard one-dimensional sine and cosine code ``(1, tokens, width)``, interleaved, base 10000."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(tokens)[:, None] * rate
    return torch.stack([torch.sin(angle), torch.cos(angle)], dim=-1).reshape(1, tokens, width)


class _Positions(nn.Module):
    """Adds `sine_positions`; a buffer, since the checkpoints hold it as ``pos_embed.pe``."""

    pe: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pe", sine_positions())

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.pe


class Attention(nn.Module):
    """Multi-head self-attention with the parameter names of ``nn.MultiheadAttention``.

    Written out, so that it exports to plain matrix products and softmax, whatever fused path torch would take.
    """

    def __init__(self) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * WIDTH, WIDTH))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * WIDTH))
        self.out_proj = nn.Linear(WIDTH, WIDTH)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def heads(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values ``(N, heads, T, width / heads)`` of tokens ``(N, T, width)``."""
        n, t, _ = tokens.shape
        qkv = F.linear(tokens, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.reshape(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def weights(self, q: Tensor, k: Tensor) -> Tensor:
        """Attention rows ``(N, heads, T, T)``, each summing to one."""
        return torch.softmax(q @ k.transpose(-2, -1) * (WIDTH // HEADS) ** -0.5, dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(N, T, width)`` after attention; no residual."""
        n, t, _ = tokens.shape
        q, k, v = self.heads(tokens)
        mixed = (self.weights(q, k) @ v).transpose(1, 2).reshape(n, t, WIDTH)
        return torch.as_tensor(self.out_proj(mixed))

    def mean(self, tokens: Tensor) -> Tensor:
        """``forward(tokens).mean(1)``, shape ``(N, width)``, at half the cost."""
        n, t, _ = tokens.shape
        weight, bias = self.in_proj_weight, self.in_proj_bias
        qk = F.linear(tokens, weight[: 2 * WIDTH], bias[: 2 * WIDTH])
        q, k = qk.reshape(n, t, 2, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        # Averaging over queries commutes with everything after the softmax.
        share = self.weights(q, k).mean(2)  # (N, heads, T): how much of each token the mean takes
        gathered = share @ tokens  # (N, heads, width)
        per_head = weight[2 * WIDTH :].reshape(HEADS, WIDTH // HEADS, WIDTH)
        values = (per_head[None] @ gathered[..., None])[..., 0] + bias[2 * WIDTH :].reshape(HEADS, -1)
        return torch.as_tensor(self.out_proj(values.reshape(n, WIDTH)))


class _EncoderLayer(nn.Module):
    """Transformer encoder layer, post-norm, ReLU, in the names of ``nn.TransformerEncoderLayer``."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = Attention()
        self.linear1 = nn.Linear(WIDTH, WIDTH)
        self.linear2 = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.self_attn(x))
        return torch.as_tensor(self.norm2(x + self.linear2(F.relu(self.linear1(x)))))


class RefineNet(nn.Module):
    """Pose correction of each pair: 16 830 406 parameters, 11.97 GMAC."""

    def __init__(self) -> None:
        super().__init__()
        self.encodeA = _encode_one()
        self.encodeAB = _encode_pair()
        self.pos_embed = _Positions()
        self.trans_head = nn.Sequential(_EncoderLayer(), nn.Linear(WIDTH, 3))
        self.rot_head = nn.Sequential(_EncoderLayer(), nn.Linear(WIDTH, 3))

    def forward(self, rendered: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """``trans (N, 3)`` and ``rot (N, 3)`` before tanh, of pairs ``(N, 6, 160, 160)``."""
        both = torch.cat([self.encodeA(rendered), self.encodeA(observed)], dim=1)
        tokens = self.pos_embed(self.encodeAB(both).flatten(2).transpose(1, 2))
        trans, rot = (head[1](head[0](tokens).mean(1)) for head in (self.trans_head, self.rot_head))
        return trans, rot


class ScoreFeatures(nn.Module):
    """What ScoreNet knows of one hypothesis by itself: 10.68 GMAC per pair.

    Shares its modules with the `ScoreNet` it is made from.
    """

    def __init__(self, net: ScoreNet) -> None:
        super().__init__()
        self.encoderA, self.encoderAB, self.pos_embed, self.att = net.encoderA, net.encoderAB, net.pos_embed, net.att

    def forward(self, rendered: Tensor, observed: Tensor) -> Tensor:
        """Features ``(N, 512)`` of pairs ``(N, 6, 160, 160)``."""
        both = torch.cat([self.encoderA(rendered), self.encoderA(observed)], dim=1)
        return self.att.mean(self.pos_embed(self.encoderAB(both).flatten(2).transpose(1, 2)))


class ScoreAttention(nn.Module):
    """Scores of a set of hypotheses from their features; every one counts, so the set must not be padded."""

    def __init__(self, net: ScoreNet) -> None:
        super().__init__()
        self.att_cross, self.linear = net.att_cross, net.linear

    def forward(self, features: Tensor) -> Tensor:
        """Scores ``(N,)`` of one set ``(N, 512)``."""
        return torch.as_tensor(self.linear(self.att_cross(features[None])[0]))[:, 0]


class ScoreNet(nn.Module):
    """The parameters of ScoreNet under their official names: 15 773 121. It runs in its two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.encoderA = _encode_one()
        self.encoderAB = _encode_pair()
        self.pos_embed = _Positions()
        self.att = Attention()
        self.att_cross = Attention()
        self.linear = nn.Linear(WIDTH, 1)

    @property
    def features(self) -> ScoreFeatures:
        """The part that sees one pair at a time."""
        return ScoreFeatures(self)

    @property
    def attention(self) -> ScoreAttention:
        """The part that sees the whole set."""
        return ScoreAttention(self)

    def forward(self, rendered: Tensor, observed: Tensor) -> Tensor:
        """Scores ``(N,)`` of one set of pairs ``(N, 6, 160, 160)``."""
        return torch.as_tensor(self.attention(self.features(rendered, observed)))


Net = TypeVar("Net", RefineNet, ScoreNet)

_ORIGIN = "the weights folder that the README of NVlabs/FoundationPose links to"
_FILES: dict[type[nn.Module], Published] = {
    RefineNet: Published(file="2023-10-28-18-33-37/model_best.pth of FoundationPose", origin=_ORIGIN),
    ScoreNet: Published(file="2024-01-11-20-02-45/model_best.pth of FoundationPose", origin=_ORIGIN),
}


def load_official(net: Net, path: Path) -> Net:
    """Load an official checkpoint into ``net``, strictly, and put it in eval mode.

    Raises:
        CheckpointError: The file cannot be read (says which one is wanted and where it is published), or an entry is
            missing, unknown or of another shape.
    """
    load_strictly(net, read_published(path, _FILES[type(net)]), path)
    return net.eval()
