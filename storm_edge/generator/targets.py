"""Which objects of a batch of scenes serve as targets: seen well enough to learn from, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.contract import SceneTruth
from storm_edge.generator.mesh_pool import MeshPool


@dataclass(frozen=True, kw_only=True)
class Targets:
    """``n`` objects of a batch of scenes."""

    image: Tensor
    """Scene of each, ``(n,)`` int64."""
    place: Tensor
    """Its place there, ``(n,)`` int64."""
    slot: Tensor
    """Its mesh, ``(n,)`` int64."""
    K: Tensor
    """Intrinsics of its scene [px], ``(n, 3, 3)``."""
    T_cam_obj: Tensor
    """Its pose [m], ``(n, 4, 4)``."""
    diameter_m: Tensor
    """Its diameter [m], ``(n,)``."""
    weight: Tensor
    """1 in full view, less where much is hidden, 0 where no object was good enough, ``(n,)``."""

    def repeated(self, count: int) -> Targets:
        """Each one ``count`` times in a row."""
        return Targets(**{name: value.repeat_interleave(count, dim=0) for name, value in vars(self).items()})


def pick_targets(
    chance: Chance, truth: SceneTruth, pool: MeshPool, count: int, *, least_visible: float, least_px: float
) -> Targets:
    """``count`` targets, as different ones as there are; none is read back from the device.

    Args:
        chance: Which.
        truth: What is in the scenes.
        pool: The meshes.
        count: How many.
        least_visible: Least visible part of an object's silhouette.
        least_px: Fewest pixels of it.
    """
    n = truth.slot.shape[1]
    good = (truth.slot >= 0) & (truth.visible_share >= least_visible) & (truth.silhouette_px >= least_px)
    good = good.flatten()
    order = (chance.unit((len(good),)) + good).argsort(descending=True)
    # Once round all good ones, then again.
    turn = torch.arange(count, device=order.device) % good.sum().clamp_min(1)
    picked = order[turn]
    image, place = picked // n, picked % n
    slot = truth.slot[image, place].clamp_min(0)
    share = truth.visible_share[image, place]
    return Targets(
        image=image,
        place=place,
        slot=slot,
        K=truth.K[image],
        T_cam_obj=truth.T_cam_obj[image, place],
        diameter_m=pool.diameter_m[slot],
        weight=torch.where(good[picked], 0.5 + 0.5 * share, 0.0),
    )
