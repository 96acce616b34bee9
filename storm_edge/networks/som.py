"""SOM, STORM's segmenter by reference views, written anew from its published shapes (reference-networks 2).

It marks, in one image, the object that sixteen views show. `Som` has the names of the official checkpoints (572
entries) and computes image and views together, as upstream does. It is used in three parts, which give the same mask:

- `SomReference`, once per object: the views become keys and values for each block. Nothing in them depends on the
  image that is searched, and they are 94 % of the work;
- `SomQuery`, once per image: the image becomes tokens, which all objects share;
- `SomHead`, once per image and object: tokens, keys and values become mask logits.

In the parts scales are folded into linear layers, the last block's update of the views (which nothing reads) is left
out, and so are the second mask channel and the IoU head, which was never trained. Logits above zero are object; there
is no score of presence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.errors import CheckpointError, mismatch
from storm_edge.networks.attention import attend, merge_heads, split_heads
from storm_edge.networks.channel_norm import ChannelNorm
from storm_edge.networks.checkpoints import load_strictly
from storm_edge.networks.dinov2 import CELLS, PATCHES, VIT_B14_REG, Dinov2, Dinov2Config, FrozenDinov2
from storm_edge.networks.linear_folds import absorb_affine, scale_output
from storm_edge.networks.published import Published, read_published

MASK_PX = 4 * CELLS
"""Side of the logit map [px]."""

_EPS = 1e-5
_FILE = Published(
    file="best.pth of STORM's SOM", origin="the STORM project page (dengyufuqin/Storm), or train one with its trainer"
)
_QUERY_COPY = "query_encoder.dino."
_VIEW_COPY = "prompt_encoder.view_encoder.dino."
_CONTEXT_KEY = "hsfa.layers.0.query_norm1.ctx_proj.0.weight"


@dataclass(frozen=True, kw_only=True)
class SomConfig:
    """Sizes of a SOM; the defaults are those of the official training configuration."""

    encoder: Dinov2Config = VIT_B14_REG
    """Encoder of image and views."""
    depth: int = 3
    """Blocks."""
    heads: int = 8
    """Attention heads of a block."""
    hidden: int = 2048
    """Hidden channels of a block's MLP."""
    cross_factor: int = 3
    """By how much the cross-attention is narrower than the tokens."""
    iou_hidden: int = 384
    """Hidden channels of the IoU head, which is loaded and not used."""
    views: int = 16
    """Reference views."""
    context: int | None = None
    """Length of the language context, for checkpoints trained with one (``cond_dim``)."""


def sine_positions(width: int) -> Tensor:
    """Where a patch is, ``(1, 256, width)``, by rows: half the channels for y, then half for x.

    Each half is sine and cosine, interleaved, of the cell's number from 1 to 16, scaled so that 16 is 2 pi, at
    wavelengths from 2 pi to 10000 * 2 pi (the code of DETR).
    """
    half = width // 2
    cell = torch.arange(1, CELLS + 1) / (CELLS + 1e-6) * (2 * math.pi)
    wavelength = 10000.0 ** (torch.arange(0, half, 2) / half)
    angle = cell[:, None] / wavelength
    code = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)  # (16, half)
    y = code[:, None].expand(CELLS, CELLS, half)
    x = code[None].expand(CELLS, CELLS, half)
    return torch.cat([y, x], dim=-1).reshape(1, PATCHES, 2 * half)


class Attention(nn.Module):
    """Attention of one set of tokens over another, inside maybe narrower than outside."""

    def __init__(self, width: int, heads: int, *, inner: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        inner = inner or width
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def keys(self, k: Tensor) -> Tensor:
        """Keys by head ``(N, heads, T, D)`` of tokens ``(N, T, C)``."""
        return split_heads(self.k_proj(k), self.heads)

    def values(self, v: Tensor) -> Tensor:
        """Values by head ``(N, heads, T, D)`` of tokens ``(N, T, C)``."""
        return split_heads(self.v_proj(v), self.heads)

    def over(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """What tokens ``q`` of shape ``(N, Tq, C)`` gather from keys and values that are ready."""
        mixed: Tensor = self.out_proj(merge_heads(attend(split_heads(self.q_proj(q), self.heads), keys, values)))
        return mixed

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What ``q`` gathers from ``v`` by likeness to ``k``, all tokens ``(N, T, C)``."""
        return self.over(q, self.keys(k), self.values(v))

    def folded(self, norm_q: nn.LayerNorm, norm_k: nn.LayerNorm, scale: Tensor) -> Attention:
        """The same for tokens that are normalised without weight and bias, its output multiplied by ``scale``."""
        attention = Attention(self.q_proj.in_features, self.heads, inner=self.q_proj.out_features)
        attention.q_proj = absorb_affine(norm_q, self.q_proj)
        attention.k_proj = absorb_affine(norm_k, self.k_proj)
        attention.v_proj = self.v_proj
        attention.out_proj = scale_output(self.out_proj, scale)
        return attention


class AdaNorm(nn.Module):
    """LayerNorm whose weight and bias a language context may shift; without one it is LayerNorm."""

    def __init__(self, width: int, context: int | None) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.delta = nn.Parameter(torch.zeros(width))
        self.ctx_proj = None
        if context is not None:
            self.ctx_proj = nn.Sequential(
                nn.Linear(context, 2 * width), nn.ReLU(inplace=True), nn.Linear(2 * width, 2 * width)
            )

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Normed tokens ``(N, T, C)``; ``context`` is ``(N, length)`` or absent."""
        if self.ctx_proj is None or context is None:
            return F.layer_norm(x, x.shape[-1:], self.gamma, self.delta, _EPS)
        shifts: Tensor = self.ctx_proj(context)[:, None]
        gamma, delta = shifts.chunk(2, dim=-1)
        return F.layer_norm(x, x.shape[-1:], eps=_EPS) * (self.gamma + gamma) + (self.delta + delta)


class _Mlp(nn.Module):
    """Two linear layers around an exact GELU; keys ``lin1``, ``lin2``."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin2(F.gelu(self.lin1(x)))
        return y


class Block(nn.Module):
    """One block: the image's tokens attend to each other and to the views', then the views' to each other.

    Queries and keys are norms of tokens plus positions, values the bare tokens. The image's residuals are normed
    after the sum, the views' not at all.
    """

    def __init__(self, config: SomConfig) -> None:
        super().__init__()
        width, heads = config.encoder.width, config.heads
        for i in (1, 2, 4, 5):
            setattr(self, f"norm_q{i}", nn.LayerNorm(width, eps=_EPS))
            setattr(self, f"norm_k{i}", nn.LayerNorm(width, eps=_EPS))
        for i in range(1, 6):
            setattr(self, f"layer_scale_{i}", nn.Parameter(torch.full((width,), 1e-4)))
        self.query_self_attn = Attention(width, heads)
        self.cross_attn = Attention(width, heads, inner=width // config.cross_factor)
        self.mlp = _Mlp(width, config.hidden)
        self.ref_view_self_attn = Attention(width, heads)
        self.ref_global_self_attn = Attention(width, heads)
        self.query_norm1 = AdaNorm(width, config.context)
        self.query_norm2 = AdaNorm(width, config.context)
        self.query_norm3 = AdaNorm(width, config.context)

    def norms(self, i: int) -> tuple[nn.LayerNorm, nn.LayerNorm]:
        """Norms of queries and keys of step ``i``."""
        q, k = getattr(self, f"norm_q{i}"), getattr(self, f"norm_k{i}")
        assert isinstance(q, nn.LayerNorm)
        assert isinstance(k, nn.LayerNorm)
        return q, k

    def scale(self, i: int) -> Tensor:
        """LayerScale of step ``i``."""
        scale: Tensor = getattr(self, f"layer_scale_{i}")
        return scale

    def query(self, x: Tensor, r: Tensor, position: Tensor, context: Tensor | None) -> Tensor:
        """The images' tokens ``(N, 256, C)`` after the block, given their views' ``(N V, 256, C)`` before it."""
        views = r.reshape(x.shape[0], -1, r.shape[-1])
        tiled = (r + position).reshape(views.shape)
        q, k = self.norms(1)
        y = self.query_self_attn(q(x + position), k(x + position), x)
        x = self.query_norm1(x + self.scale(1) * y, context)
        q, k = self.norms(2)
        y = self.cross_attn(q(x + position), k(tiled), views)
        x = self.query_norm2(x + self.scale(2) * y, context)
        out: Tensor = self.query_norm3(x + self.scale(3) * self.mlp(x), context)
        return out

    def reference(self, r: Tensor, position: Tensor, *, objects: int = 1) -> Tensor:
        """The views' tokens ``(objects V, 256, C)`` after the block: each view over itself, then an object's all."""
        q, k = self.norms(4)
        r = r + self.scale(4) * self.ref_view_self_attn(q(r + position), k(r + position), r)
        seen = (r + position).reshape(objects, -1, r.shape[-1])
        q, k = self.norms(5)
        y: Tensor = self.ref_global_self_attn(q(seen), k(seen), r.reshape(seen.shape))
        return r + self.scale(5) * y.reshape(r.shape)


class Decoder(nn.Module):
    """Tokens of the image to two maps of logits; their mean decides what the maps weigh."""

    def __init__(self, config: SomConfig) -> None:
        super().__init__()
        width, masks = config.encoder.width, 2
        self.width, self.masks, self.top = width, masks, width // 8
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            ChannelNorm(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            ChannelNorm(width // 8),
            nn.GELU(),
        )
        self.hyper_net = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, masks * self.top)
        )
        self.hyper_norm = nn.LayerNorm(masks * self.top, eps=_EPS)
        self.gamma = nn.Parameter(torch.full((1,), 1e-3))
        self.skip_proj = nn.Conv2d(self.top, masks, 1)
        self.refine_head = nn.Sequential(
            nn.Conv2d(masks, masks, 3, padding=1), nn.ReLU(), nn.Conv2d(masks, masks, 3, padding=1)
        )
        hidden = config.iou_hidden
        self.iou_head = nn.Sequential(
            nn.LayerNorm(width),
            nn.Dropout(0.1),
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, masks),
        )

    def maps(self, tokens: Tensor) -> Tensor:
        """Both maps before they are refined, ``(N, 2, 64, 64)``, of tokens ``(N, 256, C)``."""
        kernels = self.hyper_norm(self.hyper_net(tokens.mean(1))).reshape(-1, self.masks, self.top)
        features = self.output_upscaling(tokens.transpose(1, 2).reshape(-1, self.width, CELLS, CELLS))
        # The fixed and the image's own 1x1 convolution of the same map, as one product.
        weight = self.skip_proj.weight.reshape(1, self.masks, self.top) + self.gamma * kernels
        maps: Tensor = (weight @ features.flatten(2)).reshape(-1, self.masks, MASK_PX, MASK_PX)
        assert self.skip_proj.bias is not None
        return maps + self.skip_proj.bias[:, None, None]

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits ``(N, 2, 64, 64)`` of tokens ``(N, 256, C)``; upstream uses the first map."""
        logits: Tensor = self.refine_head(self.maps(tokens))
        return logits


class _FirstMap(nn.Module):
    """A `Decoder` that computes the first map alone, ``(1, 1, 64, 64)``."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder
        mix, _, last = decoder.refine_head
        assert isinstance(mix, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        self.mix, self.first = mix, nn.Conv2d(decoder.masks, 1, 3, padding=1)
        assert last.bias is not None
        assert self.first.bias is not None
        with torch.no_grad():
            self.first.weight.copy_(last.weight[:1])
            self.first.bias.copy_(last.bias[:1])

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.first(F.relu(self.mix(self.decoder.maps(tokens))))
        return logits


class _Holder(nn.Module):
    """A level of the official names."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class Som(nn.Module):
    """The parameters under their official names, 572 entries; the encoder appears twice in them and is held once.

    Parameters that nothing reads, or whose output nothing reads, are not computed with: the last block's update of
    the views and the IoU head.
    """

    def __init__(self, config: SomConfig | None = None) -> None:
        super().__init__()
        self.config = config or SomConfig()
        dino = Dinov2(self.config.encoder)
        self.query_encoder = _Holder(dino=dino)
        self.prompt_encoder = _Holder(view_encoder=_Holder(dino=dino))
        self.hsfa = _Holder(layers=nn.ModuleList([Block(self.config) for _ in range(self.config.depth)]))
        self.decoder = Decoder(self.config)

    @property
    def dino(self) -> Dinov2:
        """The encoder of image and views."""
        dino = self.query_encoder.dino
        assert isinstance(dino, Dinov2)
        return dino

    @property
    def blocks(self) -> list[Block]:
        """The blocks, in order."""
        layers = self.hsfa.layers
        assert isinstance(layers, nn.ModuleList)
        return [block for block in layers if isinstance(block, Block)]

    def forward(self, image: Tensor, views: Tensor, context: Tensor | None = None) -> Tensor:
        """Everything at once, in the order of upstream.

        Args:
            image: The image to search, normalised as DINOv2 wants it, shape ``(1, 3, 224, 224)``.
            views: The object, likewise, shape ``(V, 3, 224, 224)``.
            context: Language context, shape ``(1, length)``, for checkpoints trained with one.

        Returns:
            Logits of "this cell shows the object", shape ``(1, 1, 64, 64)``.
        """
        return self.masks(self.tokens(image), self.tokens(views), context=context)

    def tokens(self, image: Tensor) -> Tensor:
        """Tokens ``(N, 256, C)`` of images ``(N, 3, 224, 224)``."""
        tokens: Tensor = self.dino(image)[:, self.config.encoder.prefix :]
        return tokens

    def masks(
        self, x: Tensor, r: Tensor, *, objects: int = 1, shown: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Logits ``(N, 1, 64, 64)`` of tokens, for several images and objects at a time.

        Args:
            x: Tokens of the images, shape ``(N, 256, C)``.
            r: Tokens of the views of the objects, one object after the other, shape ``(objects V, 256, C)``.
            objects: How many objects these are.
            shown: Which object each image is searched for ``(N,)``; the first by the first where it is left out.
            context: Language context of each image's object, shape ``(N, length)``.
        """
        position = sine_positions(self.config.encoder.width).to(x)
        for i, block in enumerate(self.blocks):
            views = r if shown is None else r.reshape(objects, -1, *r.shape[1:])[shown].flatten(0, 1)
            x = block.query(x, views, position, context)
            if i + 1 < len(self.blocks):
                r = block.reference(r, position, objects=objects)
        logits: Tensor = self.decoder(x)
        return logits[:, :1]


class SomReference(nn.Module):
    """Views to keys and values; 474.9 GMAC, once per object.

    Args:
        net: The network with its weights.
    """

    position: Tensor

    def __init__(self, net: Som) -> None:
        super().__init__()
        blocks = net.blocks
        self.dino = FrozenDinov2(net.dino)
        self.register_buffer("position", sine_positions(net.config.encoder.width))
        self.cross = nn.ModuleList([b.cross_attn.folded(*b.norms(2), b.scale(2)) for b in blocks])
        # What the last block would make of the views, nothing reads.
        self.within = nn.ModuleList([b.ref_view_self_attn.folded(*b.norms(4), b.scale(4)) for b in blocks[:-1]])
        self.across = nn.ModuleList([b.ref_global_self_attn.folded(*b.norms(5), b.scale(5)) for b in blocks[:-1]])

    def forward(self, views: Tensor) -> tuple[Tensor, ...]:
        """Keys and values of each block, ``k0, v0, k1, v1, ...``, each ``(1, heads, V * 256, D)``.

        Args:
            views: The object, normalised as DINOv2 wants it, shape ``(V, 3, 224, 224)``.
        """
        r = self.dino.patches(views)
        count, tokens, width = r.shape
        flat = (1, count * tokens, width)
        found: list[Tensor] = []
        for i, cross in enumerate(self.cross):
            assert isinstance(cross, Attention)
            seen = F.layer_norm((r + self.position).reshape(flat), (width,), eps=_EPS)
            found += [cross.keys(seen), cross.values(r.reshape(flat))]
            if i < len(self.within):
                seen = F.layer_norm(r + self.position, (width,), eps=_EPS)
                r = r + self.within[i](seen, seen, r)
                seen = F.layer_norm((r + self.position).reshape(flat), (width,), eps=_EPS)
                r = r + self.across[i](seen, seen, r.reshape(flat)).reshape(count, tokens, width)
        return tuple(found)


class SomQuery(nn.Module):
    """Image to tokens; 23.5 GMAC, once per image.

    Args:
        net: The network with its weights.
    """

    def __init__(self, net: Som) -> None:
        super().__init__()
        self.dino = FrozenDinov2(net.dino)

    def forward(self, image: Tensor) -> Tensor:
        """Tokens ``(N, 256, C)`` of images ``(N, 3, 224, 224)``."""
        return self.dino.patches(image)


class _QueryBlock(nn.Module):
    """The image's half of a `Block`, on keys and values that are ready."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.self_attn = block.query_self_attn.folded(*block.norms(1), block.scale(1))
        self.cross_attn = block.cross_attn.folded(*block.norms(2), block.scale(2))
        self.lin1, self.lin2 = block.mlp.lin1, scale_output(block.mlp.lin2, block.scale(3))
        self.norm1, self.norm2, self.norm3 = block.query_norm1, block.query_norm2, block.query_norm3

    def forward(self, x: Tensor, position: Tensor, k: Tensor, v: Tensor, context: Tensor | None) -> Tensor:
        width = x.shape[-1:]
        seen = F.layer_norm(x + position, width, eps=_EPS)
        x = self.norm1(x + self.self_attn(seen, seen, x), context)
        x = self.norm2(x + self.cross_attn.over(F.layer_norm(x + position, width, eps=_EPS), k, v), context)
        x = self.norm3(x + self.lin2(F.gelu(self.lin1(x))), context)
        return x


class SomHead(nn.Module):
    """Tokens of the image, keys and values of the object to logits; 6.7 GMAC, once per image and object.

    Args:
        net: The network with its weights.
    """

    position: Tensor

    def __init__(self, net: Som) -> None:
        super().__init__()
        self.register_buffer("position", sine_positions(net.config.encoder.width))
        self.blocks = nn.ModuleList([_QueryBlock(block) for block in net.blocks])
        self.decoder = _FirstMap(net.decoder)

    def forward(self, tokens: Tensor, *cache: Tensor) -> Tensor:
        """Logits ``(1, 1, 64, 64)``.

        Args:
            tokens: Of `SomQuery`, shape ``(1, 256, C)``.
            cache: Of `SomReference`, ``k0, v0, k1, v1, ...``; a language context ``(1, length)`` may follow.
        """
        pairs = len(self.blocks)
        context = cache[2 * pairs] if len(cache) > 2 * pairs else None
        x = tokens
        for i, block in enumerate(self.blocks):
            x = block(x, self.position, cache[2 * i], cache[2 * i + 1], context)
        logits: Tensor = self.decoder(x)
        return logits


def load_som(path: Path, config: SomConfig | None = None) -> Som:
    """The network of a checkpoint of STORM's trainers, in eval mode.

    Args:
        path: STORM's ``best.pth``, or any file of its trainers.
        config: Sizes, if not the official ones; whether there is a language context is read from the file.

    Raises:
        CheckpointError: No such file; an entry is missing, unknown or of another shape; or the encoders of image and
            views, which are one and the same pretrained network, differ.
    """
    weights = read_published(path, _FILE)
    context = weights[_CONTEXT_KEY].shape[1] if _CONTEXT_KEY in weights else None
    net = Som(replace(config or SomConfig(), context=context))
    load_strictly(net, weights, path)
    _check_encoders(weights, path)
    return net.eval()


def _check_encoders(weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights whose two encoders are not copies of one.

    Raises:
        CheckpointError: Names the first entry that differs.
    """
    for key, value in weights.items():
        if key.startswith(_QUERY_COPY):
            other = _VIEW_COPY + key.removeprefix(_QUERY_COPY)
            if not torch.equal(value, weights[other]):
                expected = f"the values of {other}"
                remedy = "use a checkpoint trained with frozen encoders, as STORM's are"
                raise CheckpointError(mismatch(path, f"other values in {key}", expected, remedy))
