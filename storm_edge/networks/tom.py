"""TOM, STORM's tracking verifier, written anew from its published shapes (reference-networks 3).

It says whether the crop at the current pose shows the same object, rightly placed, as a crop remembered from a
verified pose. `Tom` has the names of the official checkpoints. It is used in two parts:

- `TomEncode`, once per crop: what the crop says as the current one, and what it will say once it is remembered. A
  crop that is accepted into memory has been encoded already;
- `TomCompare`, once per pair of such vectors: 3.4 M multiply-accumulates.

Upstream feeds each pair through transformer layers as a sequence of one token. Softmax over one key is 1, so
attention is the linear map ``W_o W_v``; queries and keys are dead weights. The first layer's map is split by crop,
which is what makes the memory's half a vector that can be kept.

`Similarity` is upstream's variant without training: how alike two crops look to the pretrained encoder.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.errors import CheckpointError, mismatch
from storm_edge.networks.checkpoints import load_strictly
from storm_edge.networks.dinov2 import VIT_S14, Dinov2, Dinov2Config, FrozenDinov2
from storm_edge.networks.linear_folds import linear
from storm_edge.networks.published import Published, read_published

SAME_LOGIT = math.log(9.0)
"""Upstream's threshold, a probability of 0.9: at or above it both crops show the object rightly placed."""
HIDDEN = 2048
"""Hidden channels of a layer."""

_FILE = Published(
    file="tom1_epoch10.pth of STORM's TOM",
    origin="the STORM project page (dengyufuqin/Storm), or train one with its trainer",
)


class _OneTokenAttention(nn.Module):
    """Attention over a sequence of one token, in the names of ``nn.MultiheadAttention``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor) -> Tensor:
        """Pairs ``(N, C)``: the value projection, then the output projection."""
        mixed: Tensor = self.out_proj(
            F.linear(x, self.in_proj_weight[2 * self.width :], self.in_proj_bias[2 * self.width :])
        )
        return mixed

    def with_residual(self) -> nn.Linear:
        """``x + forward(x)`` as one layer, multiplied out in float64."""
        value = self.in_proj_weight[2 * self.width :].double()
        out = self.out_proj.weight.double()
        bias = out @ self.in_proj_bias[2 * self.width :].double() + self.out_proj.bias.double()
        return linear(torch.eye(self.width, dtype=torch.float64) + out @ value, bias)


class Layer(nn.Module):
    """Transformer encoder layer on one token, post-norm, ReLU, in the names of ``nn.TransformerEncoderLayer``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = _OneTokenAttention(width)
        self.linear1 = nn.Linear(width, HIDDEN)
        self.linear2 = nn.Linear(HIDDEN, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def rest(self, x: Tensor) -> Tensor:
        """What follows attention and its residual, on ``(N, C)``."""
        x = self.norm1(x)
        y: Tensor = self.norm2(x + self.linear2(F.relu(self.linear1(x))))
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Pairs ``(N, C)``."""
        return self.rest(x + self.self_attn(x))


class Tom(nn.Module):
    """The parameters under their official names: 189, 201 or 213 entries for 1, 2 or 3 layers.

    Args:
        layers: Of them.
        encoder: ViT-S/14; its weights are TOM's own, fine-tuned.
    """

    def __init__(self, layers: int = 1, encoder: Dinov2Config = VIT_S14) -> None:
        super().__init__()
        width = 2 * encoder.width
        self.backbone = Dinov2(encoder)
        self.attn_blocks = nn.ModuleList([Layer(width) for _ in range(layers)])
        self.classifier = nn.Linear(width, 1)

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return [layer for layer in self.attn_blocks if isinstance(layer, Layer)]

    def forward(self, current: Tensor, memory: Tensor) -> Tensor:
        """Logits ``(N,)`` of "the same object, rightly placed".

        Args:
            current: Crops at the current pose, normalised as DINOv2 wants it, shape ``(N, 3, 224, 224)``.
            memory: Remembered crops, likewise. The order matters.
        """
        x = torch.cat([self.backbone(current)[:, 0], self.backbone(memory)[:, 0]], dim=1)
        for layer in self.attn_blocks:
            x = layer(x)
        logits: Tensor = self.classifier(x)
        return logits[:, 0]


class TomEncode(nn.Module):
    """Crops to the two vectors that `TomCompare` adds; 6.1 GMAC per crop.

    Args:
        net: The network with its weights.
    """

    def __init__(self, net: Tom) -> None:
        super().__init__()
        self.dino = FrozenDinov2(net.backbone)
        half = net.backbone.config.width
        first = net.layers[0].self_attn.with_residual()
        self.current = linear(first.weight[:, :half], torch.zeros_like(first.bias))
        self.memory = linear(first.weight[:, half:], first.bias)

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """What crops ``(N, 3, 224, 224)`` say as ``current`` and as ``memory``, each ``(N, 768)``."""
        features = self.dino.cls(crop)
        return self.current(features), self.memory(features)


class TomCompare(nn.Module):
    """Pairs of vectors to logits.

    Args:
        net: The network with its weights.
    """

    def __init__(self, net: Tom) -> None:
        super().__init__()
        self.layers = nn.ModuleList(net.layers)
        self.attention = nn.ModuleList([layer.self_attn.with_residual() for layer in net.layers[1:]])
        self.classifier = net.classifier

    def forward(self, current: Tensor, memory: Tensor) -> Tensor:
        """Logits ``(N,)`` of ``current`` and ``memory``, each ``(N, 768)``; see `SAME_LOGIT`."""
        x = current + memory
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            x = layer.rest(self.attention[i - 1](x) if i else x)
        logits: Tensor = self.classifier(x)
        return logits[:, 0]


class Similarity(nn.Module):
    """Crops to unit vectors; the product of two is the cosine of their features, at 0.2 or more "the same" upstream.

    Args:
        net: The pretrained ViT-S/14.
    """

    def __init__(self, net: Dinov2) -> None:
        super().__init__()
        self.dino = FrozenDinov2(net)

    def forward(self, crop: Tensor) -> Tensor:
        """Unit vectors ``(N, 384)`` of crops ``(N, 3, 224, 224)``, normalised as DINOv2 wants them."""
        features = self.dino.cls(crop)
        return features * features.square().sum(-1, keepdim=True).rsqrt()


def load_tom(path: Path, encoder: Dinov2Config = VIT_S14) -> Tom:
    """The network of a checkpoint of STORM's trainer, in eval mode; the number of layers is read from its keys.

    Args:
        path: STORM's ``tom1_epoch10.pth``, or any file of its trainer.
        encoder: Sizes of its encoder, if not the official ones.

    Raises:
        CheckpointError: No such file, or an entry is missing, unknown or of another shape.
    """
    weights = read_published(path, _FILE)
    found = {key.split(".")[1] for key in weights if key.startswith("attn_blocks.")}
    if not found:
        raise CheckpointError(mismatch(path, "no attn_blocks", _FILE.file, f"see {_FILE.origin}"))
    net = Tom(len(found), encoder)
    load_strictly(net, weights, path)
    return net.eval()
