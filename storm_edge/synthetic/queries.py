"""Training batches of the segmenter: cluttered images, and several objects to find in each.

`QuerySampler` is the data source of `storm-edge train som`; one or the other of the objects it asks for is absent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.segment_inputs import contract
from storm_edge.kernels.segment_inputs.object_channels import object_channels
from storm_edge.kernels.segment_inputs.object_views import ObjectViews, object_views
from storm_edge.kernels.segment_inputs.small_frame import small_frame
from storm_edge.synthetic.clutter import Clutter, ClutterConfig, make_clutter, recoloured
from storm_edge.synthetic.object_pool import ObjectPool, PooledObject
from storm_edge.synthetic.splits import objects_of_stream

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Batch = dict[str, Float32]

TRAINING_SIZE_PX = ((240, 320), (240, 320), (240, 320), (180, 320))
"""Sizes of training pictures, drawn evenly: half of what cameras deliver, which the segmenter halves again."""
_MIN_VISIBLE = 0.35  # an object hidden more than this is neither there nor absent
_MIN_CELLS = 12.0  # nor is one that covers fewer mask cells


@dataclass(frozen=True, kw_only=True)
class QueryConfig:
    """What the stream of queries is like."""

    clutter: ClutterConfig = field(default_factory=ClutterConfig)
    """The pictures."""
    targets: int = 3
    """Objects looked for in each."""
    absent_share: float = 0.3
    """Share of them that are not there."""
    views: int = 8
    """Views of each given to the network, drawn from the 16."""
    pool_size: int = 160
    """Objects in memory at a time."""
    renewal_share: float = 0.3
    """How often a picture is followed by the exchange of one object of the pool."""


class QuerySampler:
    """An endless, seeded stream of training batches for the segmenter.

    Args:
        seed: Seed of the stream; from `EVALUATION_FROM` on the objects are those of evaluation.
        config: What the stream is like.
    """

    def __init__(self, seed: int, *, config: QueryConfig | None = None) -> None:
        self.config = config or QueryConfig()
        self._rng = np.random.default_rng([seed, 5])
        self._pool = ObjectPool(self._rng, size=self.config.pool_size, seeds=objects_of_stream(seed))
        self._views: dict[int, ObjectViews] = {}

    def query_batch(self, n: int) -> Batch:
        """``n`` pictures with ``T`` objects to look for in each.

        Returns:
            ``image`` ``(n, 8, 120, 160)``, ``objects`` ``(n, T, 5, 60, 80)``, ``views`` ``(n, T, V, 8, 32, 32)`` as
            `kernels.segment_inputs` makes them; ``mask`` ``(n, T, 60, 80)``, the visible share of every cell;
            ``present`` ``(n, T)``, 1 or 0.
        """
        c = self.config
        batch: Batch = {
            "image": np.zeros((n, contract.IMAGE_CHANNELS, *contract.SIZE_PX), dtype=np.float32),
            "objects": np.zeros((n, c.targets, contract.OBJECT_CHANNELS, *contract.MASK_PX), dtype=np.float32),
            "views": np.zeros(
                (n, c.targets, c.views, contract.VIEW_CHANNELS, contract.VIEW_PX, contract.VIEW_PX), dtype=np.float32
            ),
            "mask": np.zeros((n, c.targets, *contract.MASK_PX), dtype=np.float32),
            "present": np.zeros((n, c.targets), dtype=np.float32),
        }
        for i in range(n):
            self._fill(batch, i)
            if self._rng.random() < c.renewal_share:
                gone = self._pool.objects[0].truth.seed
                self._pool.renew_one()
                self._views.pop(gone, None)
        return batch

    def _fill(self, batch: Batch, i: int) -> None:
        rng, c = self._rng, self.config
        size_px = TRAINING_SIZE_PX[int(rng.integers(len(TRAINING_SIZE_PX)))]
        clutter = make_clutter(rng, self._pool, size_px, c.clutter)
        small = small_frame(clutter.frame.rgb, clutter.frame.depth_m, clutter.frame.K)
        batch["image"][i] = small.channels
        masks = [small.letterbox.shrink_mask(mask) for mask in clutter.masks_visib]
        plain = [
            k for k, mask in enumerate(masks) if clutter.visible_share[k] >= _MIN_VISIBLE and mask.sum() >= _MIN_CELLS
        ]
        rng.shuffle(plain)
        for t in range(c.targets):
            if plain and rng.random() >= c.absent_share:
                number = plain.pop()
                wanted = clutter.things[number]
                batch["mask"][i, t], batch["present"][i, t] = masks[number], 1.0
            else:
                wanted = self._absent(clutter)
            views = self._views_of(wanted)
            batch["objects"][i, t] = object_channels(small, views.colours, wanted.truth.diameter_m)
            batch["views"][i, t] = views.channels[rng.permutation(contract.VIEW_COUNT)[: c.views]]

    def _absent(self, clutter: Clutter) -> PooledObject:
        """An object that is not in the picture: any, or one as like as possible to something that is."""
        rng, there = self._rng, {thing.truth.seed for thing in clutter.things}
        if rng.random() < 0.25:
            twin = recoloured(rng, clutter.things[int(rng.integers(len(clutter.things)))])
            if twin is not None:
                return twin
        others = [item for item in (self._pool.pick() for _ in range(8)) if item.truth.seed not in there]
        if not others or rng.random() < 0.4:
            return (
                next(item for item in self._pool.objects if item.truth.seed not in there) if not others else others[0]
            )
        like = clutter.things[int(rng.integers(len(clutter.things)))]
        colour = like.truth.mesh.colours.mean(axis=0)
        return min(others, key=lambda item: float(np.abs(item.truth.mesh.colours.mean(axis=0) - colour).sum()))

    def _views_of(self, item: PooledObject) -> ObjectViews:
        seed = item.truth.seed
        if seed < 0:  # a twin, made for one picture
            return object_views(item.buffers, item.truth.diameter_m)
        if seed not in self._views:
            self._views[seed] = object_views(item.buffers, item.truth.diameter_m)
        return self._views[seed]
