"""Layers that all nano networks are made of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def conv(cin: int, cout: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution without bias, BatchNorm, ReLU; keeps the size for a stride of 1."""
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape as ``x``, ``(N, channels, H, W)``."""
        return F.relu(x + self.norm2(self.conv2(self.conv1(x))))
