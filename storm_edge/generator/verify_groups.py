"""Groups of crops of one object, good and bad: what the verifier is trained and judged on.

A crop is what RefineNet observes at a pose. It depends on where the pose is, and not on how it is turned: what can be
asked of two crops is whether they show the same side of the same object. So a present crop has to be compared with
remembered ones whose pose was near to the one in question (`VerifyConfig.near_deg`). Good crops of a group are cut at
the object's place in pictures that show it from about one side; bad ones are

* the same object from another side, or rolled in the picture: what a turned pose is compared with;
* the object beside its place, another object, or nothing in particular.

Every picture has its own room, light and cameras: what is behind the object tells nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import GeneratorConfig, VerifyGroupConfig
from storm_edge.generator.contract import Batch
from storm_edge.generator.crops import SIZE_PX, observed_crops, windows_of
from storm_edge.generator.group_scenes import GroupScenes, make_group_scenes, turned_by
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.motions import about_z, rigid
from storm_edge.generator.observe import observe
from storm_edge.generator.scenes import SceneGenerator

GOOD_COUNT = 4
"""Good crops of a group; they come first."""
BAD_COUNT = 4
"""Bad crops of a group."""
_NEAREST_M = 0.1  # of a crop's pose


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """Which crops are made: ``n`` groups of ``k``."""

    picture: Tensor
    """Number of the picture within its series ``(n, k)``."""
    place: Tensor
    """Place in the scene of what they are cut at ``(n, k)``."""
    shift: Tensor
    """How far beside it [diameters of the group's object] ``(n, k, 3)``."""
    quarters: Tensor
    """Quarter turns of the crop, against the clock ``(n, k)``."""


class VerifyGroups:
    """An endless, seeded stream of groups.

    Args:
        seed: Seed of the stream; from `EVALUATION_FROM` on the objects are those of evaluation.
        device: ``cpu``, ``cuda`` or ``cuda:i``.
        config: What pictures and groups are like.
        size_px: Side of the crops [px].
    """

    def __init__(
        self, seed: int, *, device: str = "cpu", config: GeneratorConfig | None = None, size_px: int = SIZE_PX
    ) -> None:
        config = config or GeneratorConfig()
        c = config.verify
        layout = replace(
            config.layout,
            object_count=c.object_count,
            close_up_share=c.close_up_share,
            apparent_share=c.apparent_share,
            gap_diameters=c.gap_diameters,
        )
        self.config = replace(config, layout=layout)
        self.scenes = SceneGenerator(seed, device, self.config)
        self.size_px = size_px

    @torch.no_grad()
    def batch(self, items: int) -> Batch:
        """``items`` groups of `GOOD_COUNT` good and `BAD_COUNT` bad crops, in this order; see `contract.Source`."""
        scenes, pool, c = self.scenes, self.scenes.pool, self.config.verify
        chance = Chance(scenes.generator)
        series_count = -(-items // c.targets)
        made = make_group_scenes(scenes, series_count, GOOD_COUNT, c)
        seen = observe(made.rendered, scenes.generator, self.config)
        series = torch.arange(series_count, device=pool.device).repeat_interleave(c.targets)[:items]
        place = _best_places(made, c).flatten()[:items]
        cuts = _cuts(chance, pool, made, series, place, c)
        image = (series[:, None] * made.pictures + cuts.picture).flatten()
        diameter_m = pool.diameter_m[made.slot[series, place].clamp_min(0)].repeat_interleave(GOOD_COUNT + BAD_COUNT)
        T = seen.truth.T_cam_obj[image, cuts.place.flatten()]
        t = T[:, :3, 3] + cuts.shift.flatten(0, 1) * diameter_m[:, None]
        T = rigid(T[:, :3, :3], torch.cat([t[:, :2], t[:, 2:].clamp_min(_NEAREST_M)], dim=1))
        windows, _ = windows_of(T, seen.truth.K[image], diameter_m, self.size_px)
        crops = observed_crops(seen, image, windows, T, 0.5 * diameter_m, self.size_px)
        crops = quarter_turned(crops, cuts.quarters.flatten())
        pool.renew_for(items * (GOOD_COUNT + BAD_COUNT))
        good = torch.arange(GOOD_COUNT + BAD_COUNT, device=pool.device) < GOOD_COUNT
        return {
            "crops": crops.reshape(items, GOOD_COUNT + BAD_COUNT, *crops.shape[1:]),
            "good": good.to(torch.float32).expand(items, -1).contiguous(),
        }


def _best_places(made: GroupScenes, config: VerifyGroupConfig) -> Tensor:
    """The objects of each series that most pictures show well ``(G, targets)``; the best again where too few are."""
    well = (made.share >= config.least_visible).to(torch.float32)
    score = well[:, :-1].sum(1) + 0.5 * made.other_side + 0.1 * made.share.mean(1)
    score, place = score.topk(config.targets, dim=1)
    return torch.where(score >= 2.0, place, place[:, :1])


def _good_pictures(chance: Chance, share: Tensor, config: VerifyGroupConfig) -> Tensor:
    """Pictures of good crops ``(n, near)``: each that shows the object well, and those again for the others.

    Args:
        chance: Which are taken again.
        share: Visible share in each picture from about one side ``(n, near)``.
        config: What is well enough.
    """
    well = share >= config.least_visible
    well = well | (share >= share.amax(1, keepdim=True))
    again = torch.multinomial(well.to(torch.float32), share.shape[1], True, generator=chance.generator)
    return torch.where(well, torch.arange(share.shape[1], device=share.device), again)


def _cuts(
    chance: Chance, pool: MeshPool, made: GroupScenes, series: Tensor, place: Tensor, config: VerifyGroupConfig
) -> Cuts:
    """Where the crops of each group are cut: good ones first."""
    n, near = len(place), made.pictures - 1
    shape = (n, BAD_COUNT)
    kind = torch.bucketize(
        chance.unit(shape), torch.tensor(config.bad_kinds, device=place.device).cumsum(0), right=True
    )
    share = made.share[series, :, place]
    good = _good_pictures(chance, share[:, :near], config)
    picture = good.gather(1, chance.integers(shape, near))
    quarters = 1 + chance.integers(shape, 3)
    # What looks the same turned or rolled is cut beside its place instead; so is what has no other beside it.
    kind = torch.where((kind == 0) & ~made.other_side[series, place][:, None], 2, kind)
    rolls = _rolls_show(pool, made, series, place, picture, quarters, config)
    kind = torch.where((kind == 1) & ~rolls, 2, kind)
    other, there = _others(chance, made, series, place)
    kind = torch.where((kind == 3) & ~there[:, None], 4, kind)
    shift = config.jitter * chance.normal((*shape, 3))
    shift = torch.where((kind == 2)[..., None], _slides(chance, shape), shift)
    shift = torch.where((kind == 4)[..., None], _somewhere(chance, shape), shift)
    picture = torch.where(kind == 0, near, picture)
    bad_place = torch.where(kind == 3, other[:, None], place[:, None])
    # Whole groups are rolled as well: which way is up tells nothing by itself.
    roll = torch.where(chance.happens((n, 1), config.group_roll_share), chance.integers((n, 1), 4), 0)
    quarters = torch.where(kind == 1, quarters, 0)
    return Cuts(
        picture=torch.cat([good, picture], dim=1),
        place=torch.cat([place[:, None].expand(-1, near), bad_place], dim=1),
        shift=torch.cat([config.jitter * chance.normal((n, near, 3)), shift], dim=1),
        quarters=(torch.cat([torch.zeros_like(good), quarters], dim=1) + roll) % 4,
    )


def _rolls_show(
    pool: MeshPool,
    made: GroupScenes,
    series: Tensor,
    place: Tensor,
    picture: Tensor,
    quarters: Tensor,
    config: VerifyGroupConfig,
) -> Tensor:
    """Whether quarter turns of crops show, as far as symmetries are known, ``(n, k)`` bool."""
    image = (series[:, None] * made.pictures + picture).flatten()
    at = place[:, None].expand_as(picture).flatten()
    T = made.rendered.truth.T_cam_obj[image, at]
    R = about_z(-0.5 * math.pi * quarters.flatten()) @ T[:, :3, :3]
    slot = made.slot[series, place][:, None].expand_as(picture).flatten()
    away = turned_by(pool, slot, T, rigid(R, T[:, :3, 3]))
    return (away >= math.radians(config.least_turn_deg)).reshape(picture.shape)


def _others(chance: Chance, made: GroupScenes, series: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Another place with an object in each group's series ``(n,)``, and whether there is one."""
    weight = (made.share[series].amin(1) > 0.0).to(torch.float32)
    weight.scatter_(1, place[:, None], 0.0)
    there = weight.sum(1) > 0.0
    picked = torch.multinomial(weight + 1e-6, 1, generator=chance.generator)[:, 0]
    return picked, there


def _slides(chance: Chance, shape: tuple[int, int]) -> Tensor:
    """Where a track may have gone [diameters] ``(*shape, 3)``: a third or more, sideways or along the view."""
    angle, length = chance.uniform(shape, 0.0, 2.0 * math.pi), chance.uniform(shape, 0.33, 0.65)
    aside = torch.stack([angle.cos() * length, angle.sin() * length, 0.1 * chance.normal(shape)], dim=-1)
    deep = chance.uniform(shape, 0.5, 1.0) * torch.sign(chance.unit(shape) - 0.5)
    along = torch.cat([0.05 * chance.normal((*shape, 2)), deep[..., None]], dim=-1)
    return torch.where(chance.happens((*shape, 1), 0.75), aside, along)


def _somewhere(chance: Chance, shape: tuple[int, int]) -> Tensor:
    """Places where the object is not [diameters] ``(*shape, 3)``."""
    angle, length = chance.uniform(shape, 0.0, 2.0 * math.pi), chance.uniform(shape, 0.9, 1.8)
    return torch.stack([angle.cos() * length, angle.sin() * length, 0.4 * chance.normal(shape)], dim=-1)


def quarter_turned(crops: Tensor, quarters: Tensor) -> Tensor:
    """Crops ``(n, 6, S, S)`` as a camera rolled by quarter turns sees them, changed in place.

    Args:
        crops: Network crops: colours, then points relative to the pose.
        quarters: Turns of the picture against the clock ``(n,)``.
    """
    for count in (1, 2, 3):
        rows = torch.nonzero(quarters == count)[:, 0]
        part = torch.rot90(crops[rows], count, (2, 3))
        x, y = part[:, 3].clone(), part[:, 4].clone()
        part[:, 3], part[:, 4] = ((y, -x), (-x, -y), (-y, x))[count - 1]
        crops[rows] = part
    return crops
