"""STORM's segmenter, verifier and their losses once more, written from their formulas in a few lines of torch.

Nothing of `storm_edge` is used here: weights come as a dictionary of official names. The segmenter begins where its
frozen encoder ends.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Weights = dict[str, Tensor]


def positions(width: int, cells: int = 16) -> Tensor:
    """DETR's code: y half before x half, sines and cosines in turn, ``(width, cells, cells)``."""
    half, at = width // 2, torch.arange(1, cells + 1, dtype=torch.float64) / (cells + 1e-6) * 2 * math.pi
    code = torch.zeros(half, cells, dtype=torch.float64)
    for i in range(half):
        angle = at / 10000 ** (2 * (i // 2) / half)
        code[i] = angle.cos() if i % 2 else angle.sin()
    return torch.cat([code[:, :, None].expand(-1, -1, cells), code[:, None, :].expand(-1, cells, -1)])


def _linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _norm(w: Weights, name: str, x: Tensor, weight: str = "weight", bias: str = "bias") -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return (
        centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.{weight}"]
        + w[f"{name}.{bias}"]
    )


def _attention(w: Weights, name: str, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (heads, -1)).transpose(-3, -2)

    q, k, v = (split(_linear(w, f"{name}.{part}_proj", x)) for part, x in (("q", q), ("k", k), ("v", v)))
    weight = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
    return _linear(w, f"{name}.out_proj", (weight @ v).transpose(-3, -2).flatten(-2))


def som_logits(w: Weights, x: Tensor, r: Tensor, *, depth: int, heads: int) -> Tensor:
    """Logits ``(B, 64, 64)`` of tokens ``(B, 256, C)`` and of views ``(B, V, 256, C)``."""
    batch, _, width = x.shape
    place = positions(width).flatten(1).T.to(x.dtype)
    for layer in range(depth):
        b = f"hsfa.layers.{layer}"

        def step(number: int, name: str, q: Tensor, k: Tensor, v: Tensor, b: str = b) -> Tensor:
            q, k = _norm(w, f"{b}.norm_q{number}", q), _norm(w, f"{b}.norm_k{number}", k)
            return w[f"{b}.layer_scale_{number}"] * _attention(w, f"{b}.{name}", q, k, v, heads)

        flat, seen = r.flatten(1, 2), (r + place).flatten(1, 2)
        y = step(1, "query_self_attn", x + place, x + place, x)
        x = _norm(w, f"{b}.query_norm1", x + y, "gamma", "delta")
        y = step(2, "cross_attn", x + place, seen, flat)
        x = _norm(w, f"{b}.query_norm2", x + y, "gamma", "delta")
        y = _linear(w, f"{b}.mlp.lin2", F.gelu(_linear(w, f"{b}.mlp.lin1", x)))
        x = _norm(w, f"{b}.query_norm3", x + w[f"{b}.layer_scale_3"] * y, "gamma", "delta")
        r = r + step(4, "ref_view_self_attn", r + place, r + place, r)
        seen = (r + place).flatten(1, 2)
        r = r + step(5, "ref_global_self_attn", seen, seen, r.flatten(1, 2)).reshape(r.shape)
    d = "decoder"
    features = x.transpose(1, 2).reshape(batch, width, 16, 16)
    for at in (0, 3):
        n = f"{d}.output_upscaling"
        features = F.conv_transpose2d(features, w[f"{n}.{at}.weight"], w[f"{n}.{at}.bias"], stride=2)
        mean, var = features.mean(1, keepdim=True), features.var(1, keepdim=True, unbiased=False)
        features = (features - mean) / (var + 1e-6).sqrt()
        features = features * w[f"{n}.{at + 1}.weight"][:, None, None] + w[f"{n}.{at + 1}.bias"][:, None, None]
        features = F.gelu(features)
    hyper = x.mean(1)
    for at in (0, 2, 4):
        hyper = _linear(w, f"{d}.hyper_net.{at}", hyper)
        hyper = hyper.relu() if at < 4 else hyper
    kernels = _norm(w, f"{d}.hyper_norm", hyper).reshape(batch, 2, -1)
    dynamic = torch.einsum("bkc,bchw->bkhw", kernels, features)
    maps = F.conv2d(features, w[f"{d}.skip_proj.weight"], w[f"{d}.skip_proj.bias"]) + w[f"{d}.gamma"] * dynamic
    maps = F.conv2d(maps, w[f"{d}.refine_head.0.weight"], w[f"{d}.refine_head.0.bias"], padding=1).relu()
    return F.conv2d(maps, w[f"{d}.refine_head.2.weight"], w[f"{d}.refine_head.2.bias"], padding=1)[:, 0]


def som_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """20 focal + dice + iou + 0.1 tversky, the numbers of upstream's configuration."""
    p = F.interpolate(logits[:, None], size=mask.shape[1:], mode="bilinear", align_corners=False)[:, 0].sigmoid()
    p, m = p.flatten(1), mask.flatten(1)
    right = torch.where(m > 0.5, p, 1 - p)
    focal = (torch.where(m > 0.5, 0.25, 0.75) * (1 - right) ** 2 * -right.log()).mean()
    shared = (p * m).sum(1)
    dice = 1 - (2 * shared + 1) / (p.sum(1) + m.sum(1) + 1)
    tversky = 1 - (shared + 1e-6) / (shared + 0.5 * ((1 - p) * m).sum(1) + 0.5 * (p * (1 - m)).sum(1) + 1e-6)
    found, wanted = p > 0.5, m > 0.5
    iou = 1 - ((found & wanted).sum(1) + 1e-6) / ((found | wanted).sum(1) + 1e-6)
    return 20 * focal + dice.mean() + iou.mean() + 0.1 * tversky.mean()


class TorchTom(nn.Module):
    """The head of the verifier of torch's own layers, in upstream's names, on features ``(B, C)`` of both crops."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.attn_blocks = nn.ModuleList(
            [nn.TransformerEncoderLayer(d_model=2 * width, nhead=8, dropout=0.0) for _ in range(layers)]
        )
        self.classifier = nn.Linear(2 * width, 1)

    def forward(self, current: Tensor, memory: Tensor) -> Tensor:
        x = torch.cat([current, memory], dim=1)
        for block in self.attn_blocks:
            x = block(x[None])[0]
        return self.classifier(x)[:, 0]


def adamw(
    weights: Weights,
    gradients: Weights,
    moments: dict[str, tuple[Tensor, Tensor]],
    step: int,
    *,
    rate: float,
    decay: float,
) -> Weights:
    """One step of AdamW with the usual 0.9, 0.999 and 1e-8; ``moments`` is changed."""
    moved = {}
    for name, gradient in gradients.items():
        first, second = moments.get(name, (torch.zeros_like(gradient), torch.zeros_like(gradient)))
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        moments[name] = first, second
        update = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        moved[name] = weights[name] * (1 - rate * decay) - rate * update
    return {**weights, **moved}


def shortened(gradients: Weights, longest: float) -> Weights:
    """Gradients no longer together than ``longest``."""
    length = torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt()
    return {name: g * min(longest / (float(length) + 1e-6), 1.0) for name, g in gradients.items()}
