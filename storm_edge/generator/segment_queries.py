"""Training batches of the segmenter: pictures of many objects, and some to find in each; one or the other is absent.

The inputs are those of `kernels.segment_inputs`, made on the device (`segment_frames`); the objects' views were
rendered when their slots were filled (`view_bank`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.contract import Batch, SceneTruth
from storm_edge.generator.image_fields import farthest_of_3x3
from storm_edge.generator.observe import observe
from storm_edge.generator.query_choice import Queries, choose_queries
from storm_edge.generator.scenes import SceneGenerator
from storm_edge.generator.segment_colours import colour_models
from storm_edge.generator.segment_frames import object_channels, shrunk_masks, small_frames
from storm_edge.generator.view_bank import ViewBank
from storm_edge.kernels.segment_inputs.contract import MASK_PX, SIZE_PX, VIEW_COUNT
from storm_edge.kernels.segment_inputs.letterbox import Letterbox
from storm_edge.kernels.shading import Lighting

_EDGE_FACING = 0.8  # of the cosine beside it; a ball's outermost pixel of 32 has about that


class SegmentQueries:
    """An endless, seeded stream of pictures with objects to look for.

    Args:
        seed: Seed of the stream; from `EVALUATION_FROM` on the objects are those of evaluation.
        device: ``cpu``, ``cuda`` or ``cuda:i``.
        config: What pictures and queries are like.
    """

    def __init__(self, seed: int, *, device: str = "cpu", config: GeneratorConfig | None = None) -> None:
        self.config = config or GeneratorConfig()
        self.scenes = SceneGenerator(seed, device, self.config)
        self.bank = ViewBank(self.scenes.pool)

    @torch.no_grad()
    def batch(self, items: int) -> Batch:
        """``items`` pictures; see `contract.Source`. ``mask`` is the visible share of every cell."""
        scenes, pool, c = self.scenes, self.scenes.pool, self.config.segment
        chance = Chance(scenes.generator)
        self.bank.refresh()
        seen = observe(scenes.scenes(items), scenes.generator, self.config)
        queries = choose_queries(chance, seen.truth, cells_covered(seen.truth), pool, c)
        shown = chance.unit((*queries.slot.shape, VIEW_COUNT)).argsort(dim=2)[..., : c.views]
        views, rgb, chroma = painted_views(self.bank, queries, shown)
        frames = small_frames(seen)
        objects = object_channels(frames, rgb, chroma, pool.diameter_m[queries.slot] * queries.size)
        pool.renew_for(items * c.counts_as)
        return {
            "image": frames.channels,
            "objects": objects,
            "views": views,
            "mask": cell_masks(seen.truth, queries),
            "present": queries.present.to(torch.float32),
        }


def cells_covered(truth: SceneTruth) -> Tensor:
    """About how many mask cells each object covers, ``(B, N)``."""
    height, width = truth.instance.shape[-2:]
    side_px = 1.0 / Letterbox.of((height, width)).scale * SIZE_PX[0] / MASK_PX[0]
    return truth.visible_share * truth.silhouette_px / side_px**2


def cell_masks(truth: SceneTruth, queries: Queries) -> Tensor:
    """How much of every mask cell shows what is asked for, ``(B, T, 60, 80)``; nothing where it is absent."""
    place = torch.where(queries.present, queries.place, -2)
    return shrunk_masks((truth.instance[:, None] == place[:, :, None, None]).to(torch.float32))


def painted_views(bank: ViewBank, queries: Queries, shown: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the network is told of the objects that are asked for.

    Args:
        bank: Views of the pool.
        queries: Which objects, and in which colours.
        shown: Which of the 16 views are shown ``(B, T, V)``.

    Returns:
        Views ``(B, T, V, 8, 32, 32)``; densities over RGB ``(B, T, 4096)`` and over shares ``(B, T, 576)``.
    """
    views = bank.channels[queries.slot[..., None], shown].to(torch.float32)
    rgb, chroma = bank.rgb[queries.slot], bank.chroma[queries.slot]
    rows = torch.nonzero(queries.repainted, as_tuple=True)
    own, facing, inside = (
        bank.channels[:, :, part][queries.slot[rows]].to(torch.float32)
        for part in (slice(0, 3), slice(5, 6), slice(7, 8))
    )
    mixed = torch.einsum("nij,nvjhw->nvihw", queries.mix[rows], own.add_(0.5))
    colour = mixed.addcmul_(queries.base[rows][:, None, :, None, None], _lamp(-facing)).clamp_(0.0, 1.0)
    rgb[rows], chroma[rows] = colour_models(colour.transpose(1, 2).flatten(2), inside.flatten(1) > 0.5)
    part = views[rows]
    each = torch.arange(len(part), device=part.device)[:, None]
    part[:, :, :3] = (colour.sub_(0.5).mul_(inside))[each, shown[rows]]
    views[rows] = part
    return views, rgb, chroma


def _lamp(facing: Tensor) -> Tensor:
    """How brightly a lamp on the camera lights a view by the cosines to it ``(n, V, 1, 32, 32)``, 0 unknown."""
    # A view has no normals at its edges; there the neighbour's is a little too bright.
    facing = torch.where(facing > 0.0, facing, _EDGE_FACING * farthest_of_3x3(facing))
    light = Lighting()
    return light.ambient + light.diffuse * facing
