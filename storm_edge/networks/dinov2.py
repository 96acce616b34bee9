"""DINOv2 ViT-S/14 and ViT-B/14 with registers, written anew from their published shapes (reference-networks 1).

`Dinov2` has the names of the official hub files and computes what they compute at 224 px, step by step.
`FrozenDinov2` is the same function as it is exported: the position embedding resized once, by the rule of its
variant, LayerScale folded into the linear layers, nothing that depends on a shape.

Images are RGB in [0, 1], normalised as `storm_edge.imagenet` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.networks.attention import attend, merge_heads, split_heads
from storm_edge.networks.checkpoints import load_strictly
from storm_edge.networks.linear_folds import scale_output
from storm_edge.networks.published import Published, read_published

SIZE_PX = 224
"""Side of the images [px]."""
PATCH_PX = 14
"""Side of a patch [px]."""
CELLS = SIZE_PX // PATCH_PX
"""Patches along a side."""
PATCHES = CELLS * CELLS
"""Patch tokens of an image, row by row."""

_STORED_CELLS = 37  # the files are of 518 px
_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Dinov2Config:
    """Sizes of one variant."""

    width: int
    """Channels of a token."""
    heads: int
    """Attention heads."""
    depth: int = 12
    """Blocks."""
    registers: int = 0
    """Register tokens, after the CLS token; the variants with and without differ in how positions are resized."""

    @property
    def prefix(self) -> int:
        """Tokens before the patches."""
        return 1 + self.registers


VIT_S14 = Dinov2Config(width=384, heads=6)
"""ViT-S/14 without registers: 22 056 576 parameters, 6.12 GMAC."""
VIT_B14_REG = Dinov2Config(width=768, heads=12, registers=4)
"""ViT-B/14 with registers: 86 583 552 parameters, 23.54 GMAC."""

_ORIGIN = "the model table of the DINOv2 project page (facebookresearch/dinov2)"
_FILES = {
    VIT_S14: Published(file="dinov2_vits14_pretrain.pth", origin=_ORIGIN),
    VIT_B14_REG: Published(file="dinov2_vitb14_reg4_pretrain.pth", origin=_ORIGIN),
}


class _PatchEmbed(nn.Module):
    """Patches to tokens; key ``proj``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_PX, PATCH_PX)

    def forward(self, image: Tensor) -> Tensor:
        """Tokens ``(N, 256, C)`` of images ``(N, 3, 224, 224)``."""
        tokens: Tensor = self.proj(image)
        return tokens.flatten(2).transpose(1, 2)


class _Attention(nn.Module):
    """Self-attention; keys ``qkv``, ``proj``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        mixed: Tensor = self.proj(merge_heads(attend(q, k, v)))
        return mixed

    def first(self, x: Tensor) -> Tensor:
        """``forward(x)[:, :1]`` without the queries of the other tokens."""
        width = x.shape[-1]
        weight, bias = self.qkv.weight, self.qkv.bias
        q = split_heads(F.linear(x[:, :1], weight[:width], bias[:width]), self.heads)
        keys_values = F.linear(x, weight[width:], bias[width:]).chunk(2, dim=-1)
        k, v = (split_heads(part, self.heads) for part in keys_values)
        mixed: Tensor = self.proj(merge_heads(attend(q, k, v)))
        return mixed


class _Mlp(nn.Module):
    """Two linear layers around an exact GELU; keys ``fc1``, ``fc2``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class _LayerScale(nn.Module):
    """A factor per channel; key ``gamma``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class _Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = _Attention(width, heads)
        self.ls1: nn.Module = _LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = _Mlp(width)
        self.ls2: nn.Module = _LayerScale(width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(N, T, C)``."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        y: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return y

    def first(self, x: Tensor) -> Tensor:
        """``forward(x)[:, :1]``: keys and values of all tokens, the rest for the first alone."""
        x = x[:, :1] + self.ls1(self.attn.first(self.norm1(x)))
        y: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return y


class Dinov2(nn.Module):
    """The parameters under their official names: 175 entries, 176 with registers."""

    def __init__(self, config: Dinov2Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _STORED_CELLS**2, width))
        if config.registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, config.registers, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of their training; here so that files load strictly
        self.patch_embed = _PatchEmbed(width)
        self.blocks = nn.ModuleList([_Block(width, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width, eps=_EPS)

    def positions(self) -> Tensor:
        """What is added to the tokens that carry no image, and to the patches: ``(1, prefix + 256, C)``.

        The first rows are the CLS token with its position and the registers, which have none; the others are the
        stored 37 x 37 map resized to 16 x 16. Upstream hands the sampler a target size and antialiasing for the
        variants with registers, and the factor (16 + 0.1) / 37 without antialiasing for the others; on a smooth map
        the two differ by a third.
        """
        stored = self.pos_embed[:, 1:].reshape(1, _STORED_CELLS, _STORED_CELLS, self.config.width)
        grid = stored.permute(0, 3, 1, 2)
        if self.config.registers:
            grid = F.interpolate(grid, size=(CELLS, CELLS), mode="bicubic", antialias=True)
        else:
            factor = (CELLS + 0.1) / _STORED_CELLS
            grid = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
        registers = [self.register_tokens] if self.config.registers else []
        patches = grid.flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token + self.pos_embed[:, :1], *registers, patches], dim=1)

    def forward(self, image: Tensor) -> Tensor:
        """Normed tokens ``(N, prefix + 256, C)`` of images ``(N, 3, 224, 224)``: CLS, registers, patches by rows."""
        x = self.positions() + F.pad(self.patch_embed(image), (0, 0, self.config.prefix, 0))
        for block in self.blocks:
            x = block(x)
        tokens: Tensor = self.norm(x)
        return tokens


class FrozenDinov2(nn.Module):
    """`Dinov2` as it is exported. Takes over the weights that no fold changes.

    Args:
        net: The network with its weights.
    """

    positions: Tensor

    def __init__(self, net: Dinov2) -> None:
        super().__init__()
        self.config = net.config
        self.patch_embed = net.patch_embed
        self.register_buffer("positions", net.positions().detach())
        self.blocks = nn.ModuleList([_without_scales(block) for block in net.blocks])
        self.norm = net.norm

    def embed(self, image: Tensor) -> Tensor:
        """Tokens before the first block, ``(N, prefix + 256, C)``."""
        # Zeros in front of the patches, then one sum: no copy of a constant by the size of the batch.
        return F.pad(self.patch_embed(image), (0, 0, self.config.prefix, 0)) + self.positions

    def forward(self, image: Tensor) -> Tensor:
        """Normed tokens; see `Dinov2.forward`."""
        x = self.embed(image)
        for block in self.blocks:
            x = block(x)
        tokens: Tensor = self.norm(x)
        return tokens

    def patches(self, image: Tensor) -> Tensor:
        """Normed patch tokens ``(N, 256, C)`` of images ``(N, 3, 224, 224)``."""
        return self.forward(image)[:, self.config.prefix :]

    def cls(self, image: Tensor) -> Tensor:
        """Normed CLS token ``(N, C)`` of images ``(N, 3, 224, 224)``; the last block works for it alone."""
        x = self.embed(image)
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x)
        assert isinstance(last, _Block)
        token: Tensor = self.norm(last.first(x))
        return token[:, 0]


def _without_scales(block: nn.Module) -> _Block:
    """A block whose LayerScales are in the rows of the layers before them."""
    assert isinstance(block, _Block)
    assert isinstance(block.ls1, _LayerScale)
    assert isinstance(block.ls2, _LayerScale)
    folded = _Block(block.attn.proj.in_features, block.attn.heads)
    folded.norm1, folded.norm2 = block.norm1, block.norm2
    folded.attn.qkv, folded.attn.proj = block.attn.qkv, scale_output(block.attn.proj, block.ls1.gamma)
    folded.mlp.fc1, folded.mlp.fc2 = block.mlp.fc1, scale_output(block.mlp.fc2, block.ls2.gamma)
    folded.ls1 = folded.ls2 = nn.Identity()
    return folded


def load_dinov2(path: Path, config: Dinov2Config) -> Dinov2:
    """The network of an official hub file, in eval mode.

    Args:
        path: ``dinov2_vits14_pretrain.pth`` or ``dinov2_vitb14_reg4_pretrain.pth``.
        config: `VIT_S14` or `VIT_B14_REG`.

    Raises:
        CheckpointError: No such file, or an entry is missing, unknown or of another shape.
    """
    net = Dinov2(config)
    other = Published(file="the encoder's own weights", origin=_ORIGIN)
    load_strictly(net, read_published(path, _FILES.get(config, other)), path)
    return net.eval()
