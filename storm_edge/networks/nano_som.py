"""The nano segmenter: which pixels of an RGB-D image show the object, told by 16 views of it.

Three parts, exported apart, so that nothing is computed twice:

- `NanoSomReference`, once per object: views to keys and values of every block;
- `NanoSomQuery`, once per image: feature maps at 1/2, 1/4 and 1/8 of the working size, for any object;
- `NanoSomHead`, once per image and object: the maps attend to the object's keys and values, and become a mask.

As in STORM's SOM, the reference branch never sees the query. Beside the views the head reads five channels that
need no learning: how well each colour fits the object, how large it would be there, how far each place stands out
from the table; with them a network this small, trained on so little, finds things. All inputs are made by
`kernels.segment_inputs`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.networks.nano_blocks import Residual, conv

IMAGE_CHANNELS = 8
OBJECT_CHANNELS = 5
VIEW_CHANNELS = 8
TOKENS_PER_VIEW = 16


@dataclass(frozen=True, kw_only=True)
class NanoSomConfig:
    """Widths of the nano segmenter."""

    half: int = 8
    """Channels of the image at half the working size."""
    quarter: int = 16
    """Channels at a quarter."""
    eighth: int = 40
    """Channels at an eighth."""
    view_stem: int = 8
    """Channels of the views at half their size; they double twice."""
    dim: int = 32
    """Length of tokens, keys and values."""
    heads: int = 4
    """Attention heads."""
    blocks: int = 2
    """Cross-attention blocks."""
    decoder: tuple[int, int] = (16, 8)
    """Channels of the decoder at a quarter and at half."""
    fit: tuple[int, int, int] = (8, 16, 16)
    """Channels made of the object channels at half, a quarter and an eighth."""


class NanoSomReference(nn.Module):
    """Views of an object to what the head attends to."""

    def __init__(self, config: NanoSomConfig) -> None:
        super().__init__()
        c = config
        self.blocks, self.dim = c.blocks, c.dim
        self.encoder = nn.Sequential(
            conv(VIEW_CHANNELS, c.view_stem, stride=2),
            conv(c.view_stem, 2 * c.view_stem, stride=2),
            conv(2 * c.view_stem, 4 * c.view_stem, stride=2),
            Residual(4 * c.view_stem),
        )
        self.keys = nn.Linear(4 * c.view_stem, c.blocks * c.dim)
        self.values = nn.Linear(4 * c.view_stem, c.blocks * c.dim)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values ``(N, blocks, 16 V, dim)`` of views ``(N, V, 8, 32, 32)``."""
        n, count = views.shape[:2]
        tokens = self.encoder(views.flatten(0, 1)).flatten(2).transpose(1, 2)  # (N V, 16, C)
        tokens = tokens.reshape(n, count * TOKENS_PER_VIEW, -1)
        keys = self.keys(tokens).reshape(n, count * TOKENS_PER_VIEW, self.blocks, self.dim)
        values = self.values(tokens).reshape(n, count * TOKENS_PER_VIEW, self.blocks, self.dim)
        return keys.transpose(1, 2), values.transpose(1, 2)


class NanoSomQuery(nn.Module):
    """An image to feature maps."""

    def __init__(self, config: NanoSomConfig) -> None:
        super().__init__()
        c = config
        self.to_half = nn.Sequential(conv(IMAGE_CHANNELS, c.half, stride=2), conv(c.half, c.half))
        self.to_quarter = nn.Sequential(conv(c.half, c.quarter, stride=2), Residual(c.quarter))
        self.to_eighth = nn.Sequential(conv(c.quarter, c.eighth, stride=2), Residual(c.eighth))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps ``(N, half, 60, 80)``, ``(N, quarter, 30, 40)``, ``(N, eighth, 15, 20)`` of ``(N, 8, 120, 160)``."""
        half = self.to_half(image)
        quarter = self.to_quarter(half)
        return half, quarter, self.to_eighth(quarter)


class _CrossAttention(nn.Module):
    """Cross-attention of the image's tokens to the object's, then a convolution."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.around = Residual(dim)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """``x (N, dim, h, w)``; keys and values ``(N, L, dim)``."""
        n, dim, height, width = x.shape
        each = dim // self.heads
        q = self.query(self.norm(x.flatten(2).transpose(1, 2))).reshape(n, height * width, self.heads, each)
        k = keys.reshape(n, keys.shape[1], self.heads, each).permute(0, 2, 3, 1)
        v = values.reshape(n, values.shape[1], self.heads, each).transpose(1, 2)
        weights = torch.softmax((q.transpose(1, 2) * each**-0.5) @ k, dim=-1)
        seen = self.out((weights @ v).transpose(1, 2).reshape(n, height * width, dim))
        return torch.as_tensor(self.around(x + seen.transpose(1, 2).reshape(n, dim, height, width)))


class NanoSomHead(nn.Module):
    """Feature maps of an image and an object's cache to its mask there."""

    def __init__(self, config: NanoSomConfig) -> None:
        super().__init__()
        c = config
        self.fit_half = conv(OBJECT_CHANNELS, c.fit[0])
        self.fit_quarter = conv(c.fit[0], c.fit[1], stride=2)
        self.fit_eighth = conv(c.fit[1], c.fit[2], stride=2)
        self.tokens = conv(c.eighth + c.fit[2], c.dim, kernel=1)
        self.blocks = nn.ModuleList(_CrossAttention(c.dim, c.heads) for _ in range(c.blocks))
        self.up_quarter = conv(c.dim, c.decoder[0], kernel=1)
        self.join_quarter = conv(c.decoder[0] + c.quarter + c.fit[1], c.decoder[0])
        self.up_half = conv(c.decoder[0], c.decoder[1], kernel=1)
        self.join_half = conv(c.decoder[1] + c.half + c.fit[0], c.decoder[1])
        self.mask = nn.Conv2d(c.decoder[1], 1, 3, 1, 1)
        self.present = nn.Sequential(
            nn.Linear(c.decoder[0] + c.dim + 1, c.dim), nn.ReLU(inplace=True), nn.Linear(c.dim, 1)
        )
        self.trust = nn.Parameter(torch.ones(1))
        # The head begins as the guess from colour and relief, and learns what that gets wrong.
        nn.init.zeros_(self.mask.weight)
        nn.init.zeros_(self.mask.bias)  # type: ignore[arg-type]

    def forward(
        self, half: Tensor, quarter: Tensor, eighth: Tensor, objects: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Segment one object in each image.

        Args:
            half: From `NanoSomQuery`, shape ``(N, half, 60, 80)``.
            quarter: From `NanoSomQuery`, shape ``(N, quarter, 30, 40)``.
            eighth: From `NanoSomQuery`, shape ``(N, eighth, 15, 20)``.
            objects: Object channels, shape ``(N, 5, 60, 80)``.
            keys: From `NanoSomReference`, shape ``(N, blocks, L, dim)``.
            values: From `NanoSomReference`, shape ``(N, blocks, L, dim)``.

        Returns:
            Logits of the mask ``(N, 60, 80)``, and of the object being there at all ``(N,)``.
        """
        fit_half = self.fit_half(objects)
        fit_quarter = self.fit_quarter(fit_half)
        x = self.tokens(torch.cat([eighth, self.fit_eighth(fit_quarter)], dim=1))
        for index, block in enumerate(self.blocks):
            x = block(x, keys[:, index], values[:, index])
        up = F.interpolate(self.up_quarter(x), scale_factor=2.0, mode="nearest")
        at_quarter = self.join_quarter(torch.cat([up, quarter, fit_quarter], dim=1))
        up = F.interpolate(self.up_half(at_quarter), scale_factor=2.0, mode="nearest")
        at_half = self.join_half(torch.cat([up, half, fit_half], dim=1))
        mask = self.mask(at_half)[:, 0] + self.trust * guess_from_colour(objects)
        # What the marked region looks like decides whether it is the object; gradients leave the mask alone.
        weight = F.avg_pool2d(torch.sigmoid(mask.detach())[:, None], 2)
        marked = (at_quarter * weight).sum((2, 3)) / (weight.sum((2, 3)) + 1.0)
        seen = torch.cat([marked, x.amax((2, 3)), mask.detach().amax((1, 2))[:, None]], dim=1)
        return mask, self.present(seen)[:, 0]


def guess_from_colour(objects: Tensor) -> Tensor:
    """Mask logits ``(N, 60, 80)`` that need no learning: colours of the object rather than the scene, off the planes.

    Args:
        objects: Object channels ``(N, 5, 60, 80)``.
    """
    bits = 4.0 * objects[:, 1] + 2.0 * objects[:, 2]
    off_plane = (objects[:, 4] / 0.08).clamp(0.0, 1.0)
    return 1.5 * (bits - 1.0) - 4.0 * (1.0 - off_plane)


class NanoSom(nn.Module):
    """The three parts in one module, for training."""

    def __init__(self, config: NanoSomConfig | None = None) -> None:
        super().__init__()
        self.config = config or NanoSomConfig()
        self.reference = NanoSomReference(self.config)
        self.query = NanoSomQuery(self.config)
        self.head = NanoSomHead(self.config)

    def forward(self, image: Tensor, objects: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
        """Segment ``T`` objects in each image.

        Args:
            image: Image channels ``(N, 8, 120, 160)``.
            objects: Object channels ``(N, T, 5, 60, 80)``.
            views: View channels ``(N, T, V, 8, 32, 32)``.

        Returns:
            Mask logits ``(N, T, 60, 80)`` and presence logits ``(N, T)``.
        """
        n, t = objects.shape[:2]
        keys, values = self.reference(views.flatten(0, 1))
        maps = [m.repeat_interleave(t, dim=0) for m in self.query(image)]
        mask, present = self.head(*maps, objects.flatten(0, 1), keys, values)
        return mask.reshape(n, t, *mask.shape[1:]), present.reshape(n, t)
