"""Generated pictures for the full segmenter: an object in each, and the views that its model gives at run time."""

from __future__ import annotations

from types import TracebackType

import numpy as np
import torch

from storm_edge.generator.contract import Batch
from storm_edge.generator.observe import observe
from storm_edge.generator.scenes import SceneGenerator
from storm_edge.pipeline.segment.full_som_views import reference_views
from storm_edge.synthetic.splits import STREAMS_TRAIN, STREAMS_VAL
from storm_edge.train.epoch_items import stacked
from storm_edge.train.full_config import FullTrainConfig
from storm_edge.train.processes import Process
from storm_edge.training_data.som_augment import som_input

_DRAWN_PER_RUN = 1000  # seeds that one process of one start may use
_LEAST_VISIBLE = 0.1  # of the silhouette of an object that is asked for


class SyntheticItems:
    """`run_state.Items`: endless and seeded; a context manager that owns nothing.

    Args:
        config: The run.
        process: This process.
        begin: Items that earlier starts took, which moves the stream on.
        held_out: Whether they are to judge by: other objects, and nothing is changed.
    """

    def __init__(self, config: FullTrainConfig, process: Process, *, begin: int = 0, held_out: bool = False) -> None:
        moved = config.seed + begin + _DRAWN_PER_RUN * process.rank
        seed = STREAMS_VAL.first if held_out else STREAMS_TRAIN.first + moved % len(STREAMS_TRAIN.seeds)
        self._config, self._device = config, process.device
        self._augment = None if held_out else config.augment
        self._scenes = SceneGenerator(seed, str(process.device), config.generator)
        self._chance = np.random.default_rng(seed)
        self._views: dict[int, tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]] = {}
        self.drawn = 0

    def __enter__(self) -> SyntheticItems:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to give back."""

    def sample(self, count: int) -> Batch:
        """The next ``count`` items, with ``views`` in place of numbers of objects."""
        items: list[dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]] = []
        while len(items) < count:
            items += self._drawn(count - len(items))
        self.drawn += count
        return stacked(list(items), self._device)

    def draw_less(self) -> None:
        """Nothing: as many are drawn as are asked for."""

    @torch.no_grad()
    def _drawn(self, count: int) -> list[dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]:
        """An item of every picture that shows an object well enough."""
        seen = observe(self._scenes.scenes(count), self._scenes.generator, self._config.generator)
        rgb = (seen.rgb.permute(0, 2, 3, 1) * 255.0).round().to(torch.uint8).cpu().numpy()
        shares, slots = seen.truth.visible_share.cpu().numpy(), seen.truth.slot.cpu().numpy()
        instance = seen.truth.instance.cpu().numpy()
        items = []
        for picture in range(count):
            there = np.flatnonzero((slots[picture] >= 0) & (shares[picture] >= _LEAST_VISIBLE))
            if not len(there):
                continue
            place = int(self._chance.choice(there))
            image, mask = som_input(rgb[picture], instance[picture] == place, self._augment, self._chance)
            items.append({"image": image, "mask": mask, "views": self._views_of(int(slots[picture, place]))})
        self._scenes.pool.renew_for(count * self._config.generator.segment.counts_as)
        return items

    def _views_of(self, slot: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Views of what is in a slot now."""
        version = int(self._scenes.pool.version[slot])
        known = self._views.get(slot)
        if known is None or known[0] != version:
            views = reference_views(self._scenes.pool.mesh(slot))[: self._config.som.views]
            known = version, np.asarray(views, dtype=np.float32)
            self._views[slot] = known
        return known[1]
