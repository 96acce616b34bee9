"""Pairs whose image shows another object than the model: what a search comes to where its object is not there.

Two kinds, both made of pairs that are there already. A look-alike is what another pair observes: of the same apparent
size and at the same distance, with the model's colours drawn towards those that are seen, as a search tries the
places that are most like its object. A twin has the same shape and side, and other colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance

ERROR = 1.0
"""Error that such a pair counts as [diameters]: far from any right pose."""
_ORDERS = torch.tensor([[1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]])  # all but the usual one
_LEAST_CHANGE = 0.1  # mean change of a colour from which two prints are told apart at all
_MOST_GAIN = 5.0
_MOST_SHIFT = 1.5  # [half diameters]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """``n`` pairs of crops."""

    rendered: Tensor
    """The model at the hypothesis ``(n, 6, S, S)``."""
    observed: Tensor
    """What the camera saw there ``(n, 6, S, S)``."""
    error: Tensor
    """How far the hypothesis is from the truth [diameters] ``(n,)``."""


def with_lookalikes(chance: Chance, pairs: Pairs, others: Tensor, share: float) -> Pairs:
    """The pairs, of which a share observes what another pair does.

    Args:
        chance: Which, and how far colours are drawn together.
        pairs: Pairs.
        others: For each the number of a pair with another object ``(n,)``, or its own where there is none.
        share: Share of the pairs.
    """
    n = len(pairs.error)
    swapped = chance.happens((n,), share) & (others != torch.arange(n, device=others.device))
    model, seen = pairs.rendered, pairs.observed[others]
    on_model = _has_point(model)
    strength = chance.unit((n, 1, 1, 1)).sqrt()
    gain = (_mean(seen[:, :3], on_model) + 0.05) / (_mean(model[:, :3], on_model) + 0.05)
    tinted = (model[:, :3] * gain.clamp(1.0 / _MOST_GAIN, _MOST_GAIN) ** strength).clamp(0.0, 1.0)
    tinted = torch.where(on_model > 0.0, tinted, model[:, :3])
    on_both = on_model * _has_point(seen)
    shift = _mean(model[:, 5:] - seen[:, 5:], on_both).clamp(-_MOST_SHIFT, _MOST_SHIFT)
    moved = torch.cat([seen[:, :5], seen[:, 5:] + shift * _has_point(seen)], dim=1)
    which = swapped[:, None, None, None]
    return Pairs(
        rendered=torch.where(which, torch.cat([tinted, model[:, 3:]], dim=1), model),
        observed=torch.where(which, moved, pairs.observed),
        error=torch.where(swapped, ERROR, pairs.error),
    )


def with_twins(chance: Chance, pairs: Pairs, share: float) -> Pairs:
    """The pairs, of which a share renders the model in other colours; grey models stay.

    Args:
        chance: Which, and in what colours.
        pairs: Pairs.
        share: Share of the pairs.
    """
    n = len(pairs.error)
    order = _ORDERS.to(pairs.error.device)[chance.integers((n,), len(_ORDERS))]
    rgb = pairs.rendered[:, :3]
    other = rgb.gather(1, order[:, :, None, None].expand_as(rgb))
    change = _mean((other - rgb).abs().mean(dim=1, keepdim=True), _has_point(pairs.rendered)).flatten()
    swapped = chance.happens((n,), share) & (change > _LEAST_CHANGE)
    rendered = torch.cat([other, pairs.rendered[:, 3:]], dim=1)
    return Pairs(
        rendered=torch.where(swapped[:, None, None, None], rendered, pairs.rendered),
        observed=pairs.observed,
        error=torch.where(swapped, ERROR, pairs.error),
    )


def _has_point(crop: Tensor) -> Tensor:
    """1 where a crop ``(n, 6, S, S)`` has a surface point, 0 elsewhere ``(n, 1, S, S)``."""
    return (crop[:, 3:].abs().sum(dim=1, keepdim=True) > 0.0).to(crop.dtype)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of ``(n, C, S, S)`` where ``(n, 1, S, S)`` is 1, ``(n, C, 1, 1)``; 0 where nothing is."""
    return (values * where).sum(dim=(2, 3), keepdim=True) / where.sum(dim=(2, 3), keepdim=True).clamp_min(1.0)
