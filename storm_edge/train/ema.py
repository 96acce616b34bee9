"""Weights averaged over the run: steadier than the last step's, at no cost in time."""

from __future__ import annotations

import copy

import torch
from torch import nn


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
        for mean, value in zip(self.module.state_dict().values(), model.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value.detach(), 1.0 - decay)
            else:
                mean.copy_(value)
