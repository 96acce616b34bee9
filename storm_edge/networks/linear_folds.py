"""Elementwise scales that sit beside a linear layer, moved into its weights: the same function, fewer operations.

All results are new layers in float32; what they were made from stays as it was.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer with these weights, shape ``(out, in)`` and ``(out,)``."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def scale_output(layer: nn.Linear, scale: Tensor) -> nn.Linear:
    """``scale * layer(x)`` as one layer; ``scale`` is a LayerScale of shape ``(out,)``."""
    return linear(scale[:, None] * layer.weight, scale * layer.bias)


def absorb_affine(norm: nn.LayerNorm, layer: nn.Linear) -> nn.Linear:
    """``layer(norm(x))`` as a layer on what ``norm`` would give without its weight and bias.

    Several layers that read norms of the same input then share one normalisation. Computed in float64: the bias sums
    over the input width.
    """
    weight, bias = layer.weight.double(), layer.bias.double()
    return linear(weight * norm.weight.double(), bias + weight @ norm.bias.double())
