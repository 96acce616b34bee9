"""LayerNorm over the channels of a map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelNorm(nn.Module):
    """Normalises ``(N, C, H, W)`` over C, in place of the ``LayerNorm2d`` of SAM and SOM; keys ``weight``, ``bias``.

    Written with the channels last, so that it is exported as one normalisation, which a runtime computes in float32
    whatever the precision around it; a mean of squares on its own overflows in float16.
    """

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normed map, of the same shape."""
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps).permute(0, 3, 1, 2)
