"""Random numbers per scene and smooth random fields over its image: what the two cameras are made of.

Everything is drawn for all scenes at once from one generator on the device; no value comes back to the host.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from storm_edge.generator.chance import Chance

REFERENCE_WIDTH_PX = 640
"""Lengths of the cameras' configurations are pixels of images this wide; other images scale them."""


class PerScene:
    """Draws one number per scene.

    Args:
        count: Scenes.
        generator: Source of chance; its device is used.
    """

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count, self._chance = count, Chance(generator)

    def uniform(self, span: tuple[float, float], *more: int) -> Tensor:
        """Evenly between both ends, ``(count, *more)``."""
        return self._chance.uniform((self.count, *more), *span)

    def log_uniform(self, span: tuple[float, float]) -> Tensor:
        """Evenly in the logarithm between two positive ends, ``(count,)``."""
        return self._chance.log_uniform((self.count,), *span)

    def normal(self, deviation: float, *more: int) -> Tensor:
        """Gaussian of mean 0, ``(count, *more)``."""
        return self._chance.normal((self.count, *more)).mul_(deviation)

    def occurs(self, share: float) -> Tensor:
        """True in that share of the scenes, ``(count,)`` bool."""
        return self._chance.happens((self.count,), share)

    def sometimes(self, share: float, span: tuple[float, float]) -> Tensor:
        """Evenly between both ends in that share of the scenes, 0 in the others, ``(count,)``."""
        return self.uniform(span) * self.occurs(share)

    def sign(self) -> Tensor:
        """-1 or 1, ``(count,)``."""
        return 1.0 - 2.0 * self.occurs(0.5).to(torch.float32)

    def white(self, size_px: tuple[int, int], *channels: int) -> Tensor:
        """Independent Gaussian pixels of unit variance, ``(count, *channels, H, W)``."""
        return self.normal(1.0, *channels, *size_px)

    def field(self, size_px: tuple[int, int], scale_px: Tensor, finest_px: float) -> Tensor:
        """Smooth noise of zero mean and unit variance everywhere, ``(count, H, W)``.

        A random lattice, interpolated linearly between its knots; two products of matrices per scene. The weights are
        divided by their root sum of squares, so that places between knots vary as much as knots do.

        Args:
            size_px: Height and width [px].
            scale_px: Distance between knots [px], ``(count,)``.
            finest_px: Least of them; sets the size of the lattice.
        """
        down, across = (int(side / max(finest_px, 1.0)) + 3 for side in size_px)
        lattice = self.normal(1.0, down, across)
        offset = self.uniform((0.0, 1.0), 2)
        scale = scale_px.clamp_min(max(finest_px, 1.0))
        rows = _weights(size_px[0], scale, offset[:, 0], down)
        columns = _weights(size_px[1], scale, offset[:, 1], across)
        return rows @ lattice @ columns.transpose(1, 2)


def _weights(count: int, scale: Tensor, offset: Tensor, knots: int) -> Tensor:
    """How much each pixel takes from each knot, ``(B, count, knots)``."""
    pixel = torch.arange(count, device=scale.device, dtype=torch.float32)
    knot = torch.arange(knots, device=scale.device, dtype=torch.float32)
    at = pixel / scale[:, None] + offset[:, None]
    weight = (1.0 - (at[:, :, None] - knot).abs()).clamp_min_(0.0)
    return weight / weight.square().sum(2, keepdim=True).sqrt()


def per_pixel(value: Tensor) -> Tensor:
    """One number per scene ``(B,)``, to be used with images ``(B, H, W)``."""
    return value[:, None, None]


def binomial(x: Tensor, reach: int = 1) -> Tensor:
    """Average with neighbours ``reach`` away by weights 1 2 1 along both image axes; the border is repeated.

    It adds a variance of half of ``reach`` squared.
    """
    x = x.clone()
    for dim in (-1, -2):
        size = x.shape[dim]
        first, last = x.narrow(dim, 0, 1).clone(), x.narrow(dim, size - 1, 1).clone()
        pairs = x.narrow(dim, 0, size - reach) + x.narrow(dim, reach, size - reach)
        x.narrow(dim, 0, reach).add_(pairs.narrow(dim, 0, reach)).add_(first)
        x.narrow(dim, size - reach, reach).add_(pairs.narrow(dim, size - 2 * reach, reach)).add_(last)
        inner = x.narrow(dim, reach, size - 2 * reach)
        torch.add(pairs.narrow(dim, 0, size - 2 * reach), pairs.narrow(dim, reach, size - 2 * reach), out=inner)
    return x.mul_(1.0 / 16.0)


def nearest_of_3x3(z: Tensor) -> Tensor:
    """Least value of every 3x3 window, ``(..., H, W)``."""
    z = z.clone()
    for dim in (-1, -2):
        size = z.shape[dim] - 1
        pairs = torch.minimum(z.narrow(dim, 0, size), z.narrow(dim, 1, size))
        z.narrow(dim, 0, 1).copy_(pairs.narrow(dim, 0, 1))
        z.narrow(dim, size, 1).copy_(pairs.narrow(dim, size - 1, 1))
        inner = z.narrow(dim, 1, size - 1)
        torch.minimum(pairs.narrow(dim, 0, size - 1), pairs.narrow(dim, 1, size - 1), out=inner)
    return z


def farthest_of_3x3(z: Tensor) -> Tensor:
    """Greatest value of every 3x3 window, ``(..., H, W)``."""
    return nearest_of_3x3(-z).neg_()


def halved(x: Tensor) -> Tensor:
    """Means of blocks of 2x2 pixels, ``(..., H, W)`` with even sides."""
    rows = x[..., 0::2, :] + x[..., 1::2, :]
    return (rows[..., 0::2] + rows[..., 1::2]).mul_(0.25)


def enlarged(x: Tensor, size_px: tuple[int, int]) -> Tensor:
    """``(B, C, h, w)`` interpolated linearly to ``size_px``; each channel by itself, which is fastest on a CPU."""
    b, c = x.shape[:2]
    out = F.interpolate(x.flatten(0, 1)[:, None], size=size_px, mode="bilinear")
    return out.reshape(b, c, *size_px)


def looked_up(x: Tensor, du: Tensor, dv: Tensor) -> Tensor:
    """The value nearest to each pixel moved by ``(du, dv)`` [px]; the border is repeated.

    Args:
        x: Images ``(B, H, W)`` or ``(B, C, H, W)``.
        du: How far to the right to look, ``(B, H, W)``.
        dv: How far down, ``(B, H, W)``.
    """
    height, width = x.shape[-2:]
    u = torch.arange(width, device=x.device, dtype=torch.float32)
    v = torch.arange(height, device=x.device, dtype=torch.float32)[:, None]
    column = (du + u).round_().clamp_(0, width - 1)
    row = (dv + v).round_().clamp_(0, height - 1)
    index = row.mul_(width).add_(column).long().flatten(1)
    if x.dim() == 3:
        return x.flatten(1).gather(1, index).reshape(x.shape)
    return x.flatten(2).gather(2, index[:, None].expand(-1, x.shape[1], -1)).reshape(x.shape)
