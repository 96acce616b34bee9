"""Attention in its plain form, for networks that are exported: product, scale, softmax, product.

Fused kernels are the runtime's business; TensorRT and ONNX Runtime find them by this pattern. Sizes other than the
batch are read as Python numbers, so that a graph traced from these functions does no arithmetic on shapes.

While full networks are trained torch's own fused kernels compute the same: the plain form would keep a matrix of all
tokens against all others for the way back, a gigabyte per picture of the segmenter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

_fused = False


@contextmanager
def fused_attention() -> Iterator[None]:
    """In the block `attend` is torch's fused kernel; never while a network is exported."""
    global _fused
    before, _fused = _fused, True
    try:
        yield
    finally:
        _fused = before


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention, scaled by one over the root of the head's width.

    Args:
        q: Queries, shape ``(N, heads, Tq, D)``.
        k: Keys, shape ``(N, heads, Tk, D)``.
        v: Values, shape ``(N, heads, Tk, D)``.

    Returns:
        Mixed values, shape ``(N, heads, Tq, D)``.
    """
    if _fused:
        return F.scaled_dot_product_attention(q, k, v)
    return torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, dim=-1) @ v


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Tokens ``(N, T, C)`` as heads ``(N, heads, T, C / heads)``."""
    tokens, width = x.shape[1:]
    return x.reshape(-1, tokens, heads, width // heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Heads ``(N, heads, T, D)`` as tokens ``(N, T, heads * D)``."""
    heads, tokens, width = x.shape[1:]
    return x.transpose(1, 2).reshape(-1, tokens, heads * width)
