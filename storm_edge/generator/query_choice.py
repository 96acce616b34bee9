"""Which objects the segmenter is asked for, and how they are painted for it.

A third of them are not in the picture: others, others as like in colour as the pool has, objects that are there in
other colours or of another size, and other shapes in the colours of one that is there. Of those that are there, some
are asked for by a model without colour, and some by a model that is paler, darker or of another tint than the thing;
so are some of the absent ones. What is left to tell them apart then is shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import SegmentQueryConfig
from storm_edge.generator.contract import SceneTruth
from storm_edge.generator.mesh_pool import MeshPool

_ORDERS = ((1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2))
"""Exchanges of red, green and blue."""
_GREY = 128.0 / 255.0
"""Colour of a model without one (`geometry.mesh.make_mesh`)."""


@dataclass(frozen=True, kw_only=True)
class Queries:
    """``T`` objects to look for in each of ``B`` pictures."""

    place: Tensor
    """Place in the scene ``(B, T)`` int64; of no meaning where absent."""
    present: Tensor
    """``(B, T)`` bool."""
    slot: Tensor
    """Whose views are shown ``(B, T)`` int64."""
    size: Tensor
    """Factor of its diameter ``(B, T)``."""
    mix: Tensor
    """How its colours are mixed ``(B, T, 3, 3)``: a row per new channel."""
    base: Tensor
    """Colour that is added where it is lit fully ``(B, T, 3)``."""
    repainted: Tensor
    """Whether its colours are not its own ``(B, T)`` bool."""


def choose_queries(
    chance: Chance, truth: SceneTruth, cells: Tensor, pool: MeshPool, config: SegmentQueryConfig
) -> Queries:
    """Choose for a batch of scenes.

    Args:
        chance: What decides.
        truth: What is in the scenes.
        cells: Mask cells that each object covers ``(B, N)``.
        pool: The objects.
        config: Shares of all kinds.
    """
    t = config.targets
    plain = (truth.slot >= 0) & (truth.visible_share >= config.least_visible) & (cells >= config.least_cells)
    score, place = (chance.unit(plain.shape) + plain).topk(t, dim=1)
    kind = chance.unit(place.shape)
    present = (score >= 1.0) & (kind >= config.absent_share)
    # The kinds of absent ones share what is left of [0, 1) evenly with themselves.
    kind = torch.where(kind < config.absent_share, kind / config.absent_share, chance.unit(kind.shape))
    borders = torch.tensor(config.absent_kinds, device=kind.device).cumsum(0)
    kind = torch.bucketize(kind, borders, right=True).masked_fill(present, -1)
    like = _some_that_is_there(chance, truth, t)
    other, similar = _others(chance, truth, like, pool)
    slot = torch.where(kind == 1, similar, other)
    slot = torch.where((kind == 2) | (kind == 3), like, slot)
    slot = torch.where(present, truth.slot.gather(1, place).clamp_min(0), slot)
    mean, wanted = pool.mean_colour[slot], pool.mean_colour[like]
    # Exchanged colours of a grey thing are its own: it gets another size instead.
    order = torch.tensor(_ORDERS, device=slot.device)[chance.integers(slot.shape, len(_ORDERS))]
    vivid = (mean.gather(2, order) - mean).abs().sum(2) >= config.least_exchange
    exchanged = (kind == 2) & vivid
    resized = (kind == 3) | ((kind == 2) & ~vivid)
    size = torch.exp(chance.uniform(slot.shape, *config.resize) * torch.sign(chance.unit(slot.shape) - 0.5))
    paint = chance.unit(slot.shape)
    grey = (paint < config.grey_share) & (kind < 2)
    faded = (paint >= config.grey_share) & (paint < config.grey_share + config.faded_share) & (kind < 2)
    mix, base = _paints(chance, order, exchanged, grey, faded, config)
    alike = kind == 4
    mix = mix.masked_fill(alike[:, :, None, None], 0.0)
    base = torch.where(alike[:, :, None], wanted, base)
    return Queries(
        place=place,
        present=present,
        slot=slot,
        size=torch.where(resized, size, 1.0),
        mix=mix,
        base=base,
        repainted=exchanged | grey | faded | alike,
    )


def _some_that_is_there(chance: Chance, truth: SceneTruth, count: int) -> Tensor:
    """Slots of ``count`` objects of each scene, anew for each, ``(B, count)``."""
    weight = torch.where(truth.slot >= 0, truth.visible_share, 0.0) + 1e-6 * (truth.slot >= 0)
    picked = torch.multinomial(weight + 1e-9, count, True, generator=chance.generator)
    return truth.slot.gather(1, picked).clamp_min(0)


def _others(chance: Chance, truth: SceneTruth, like: Tensor, pool: MeshPool) -> tuple[Tensor, Tensor]:
    """Slots that are not in each scene: any, and of eight the one most like ``like`` in colour; both ``(B, T)``."""
    shape = (*like.shape, pool.object_count)
    there = torch.zeros((len(like), pool.object_count + 1), dtype=torch.bool, device=like.device)
    there.scatter_(1, torch.where(truth.slot >= 0, truth.slot, pool.object_count), True)
    score, order = chance.unit(shape).masked_fill(there[:, None, :-1], -1.0).topk(8, dim=2)
    apart = (pool.mean_colour[order] - pool.mean_colour[like][:, :, None]).abs().sum(3)
    apart = torch.where(score < 0.0, torch.inf, apart)
    nearest = apart.argmin(2, keepdim=True)
    return order[..., 0], order.gather(2, nearest)[..., 0]


def _paints(
    chance: Chance, order: Tensor, exchanged: Tensor, grey: Tensor, faded: Tensor, config: SegmentQueryConfig
) -> tuple[Tensor, Tensor]:
    """Mixes ``(B, T, 3, 3)`` and bases ``(B, T, 3)`` of colours: exchanged, none, faded or as they are."""
    shape = tuple(order.shape[:2])
    own = torch.eye(3, device=order.device)
    saturation = chance.uniform(shape, *config.fade_saturation)[..., None, None]
    gain = torch.exp(config.fade_gain * chance.normal((*shape, 1)) + config.fade_tint * chance.normal((*shape, 3)))
    fade = gain[..., None] * (own * saturation + (1.0 - saturation) / 3.0)
    mix = torch.where(exchanged[..., None, None], own[order], own)
    mix = torch.where(faded[..., None, None], fade, mix)
    level = torch.where(chance.happens(shape, config.usual_grey_share), _GREY, chance.uniform(shape, 0.3, 0.95))
    base = (level * grey)[..., None].expand(*shape, 3)
    return mix.masked_fill(grey[..., None, None], 0.0), base
