"""Weights averaged over the run: steadier than the last step's, at no cost in time."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class AveragedModel:
    """Exponential moving average of a module's parameters and BatchNorm statistics.

    The decay grows from zero, ``(1 + step) / (10 + step)``, so that early averages forget the random start.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` optimiser steps."""
        decay = min(self._decay, (1.0 + step) / (10.0 + step))
        means, values = _floats(self.module), _floats(model)
        torch._foreach_lerp_(means, values, 1.0 - decay)
        for mean, value in zip(self.module.buffers(), model.buffers(), strict=True):
            if not mean.is_floating_point():
                mean.copy_(value)


def _floats(module: nn.Module) -> list[Tensor]:
    """Parameters and floating-point buffers, always in one order."""
    return [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
