"""Random numbers on the device, all from one `torch.Generator`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Shape = tuple[int, ...]


class Chance:
    """Draws of one generator.

    Args:
        generator: Its device is where all draws are.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def unit(self, shape: Shape) -> Tensor:
        """Even in [0, 1)."""
        return torch.rand(shape, generator=self.generator, device=self.device)

    def uniform(self, shape: Shape, low: float, high: float) -> Tensor:
        """Even in [low, high)."""
        return self.unit(shape) * (high - low) + low

    def log_uniform(self, shape: Shape, low: float, high: float) -> Tensor:
        """Even in the logarithm."""
        return torch.exp(self.uniform(shape, math.log(low), math.log(high)))

    def normal(self, shape: Shape) -> Tensor:
        """Of mean 0 and variance 1."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def integers(self, shape: Shape, end: int) -> Tensor:
        """0 .. end - 1, int64."""
        return torch.randint(end, shape, generator=self.generator, device=self.device)

    def happens(self, shape: Shape, share: float) -> Tensor:
        """True in ``share`` of all cases."""
        return self.unit(shape) < share

    def directions(self, shape: Shape) -> Tensor:
        """Unit vectors ``(*shape, 3)``, evenly over the sphere."""
        v = self.normal((*shape, 3))
        length: Tensor = v.norm(dim=-1, keepdim=True)
        return v / length.clamp_min(1e-9)

    def rotations(self, shape: Shape) -> Tensor:
        """Rotations ``(*shape, 3, 3)``, evenly over all of them: of normalised Gaussian quaternions."""
        q = self.normal((*shape, 4))
        w, x, y, z = (q / q.norm(dim=-1, keepdim=True).clamp_min(1e-9)).unbind(-1)
        rows = [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
            torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
            torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
        ]
        return torch.stack(rows, dim=-2)
