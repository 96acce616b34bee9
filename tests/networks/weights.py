"""Random weights under which every operation of a network shows in its output."""

from __future__ import annotations

import torch
from torch import nn


def randomised(net: nn.Module, *, seed: int) -> nn.Module:
    """``net`` in eval mode; matrices small enough that softmaxes stay soft, vectors around one or zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if value.ndim == 1 and not name.endswith(("bias", "delta")):
                value.copy_(1 + 0.2 * noise)
            else:
                value.copy_((0.1 if value.ndim == 1 else 0.05) * noise)
    return net.eval()
