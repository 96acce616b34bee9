"""Pairs that are drawn in no time and whose answer lies open: a curved patch, moved."""

from __future__ import annotations

import numpy as np

from storm_edge.networks.nano import ROT_LIMIT_RAD, SIZE_PX, NanoConfig
from storm_edge.train.pool import Arrays

TINY = NanoConfig(stem=4, encoder=8, cells=8, context=8, features=8)


class ToySource:
    """A `PairSource`: the same patch everywhere, observed after the motion that the targets describe."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def refine_batch(self, n: int) -> Arrays:
        trans = self._rng.uniform(-0.5, 0.5, (n, 3)).astype(np.float32)
        rot = self._rng.uniform(-0.9, 0.9, (n, 3)).astype(np.float32)
        v, u = (np.mgrid[:SIZE_PX, :SIZE_PX] - (SIZE_PX - 1) / 2) / SIZE_PX
        xyz = np.stack([u, v, 0.3 * np.cos(3.0 * u + v)]).astype(np.float32)
        turned = np.cross(xyz[None], (rot * ROT_LIMIT_RAD)[:, :, None, None], axis=1)
        observed = xyz + turned + trans[:, :, None, None]
        colour = np.full((n, 3, SIZE_PX, SIZE_PX), 0.5, dtype=np.float32)
        return {
            "rendered": np.concatenate([colour, np.broadcast_to(xyz, colour.shape)], axis=1),
            "observed": np.concatenate([colour, observed.astype(np.float32)], axis=1),
            "trans_target": trans,
            "rot_target": rot,
        }

    def score_batch(self, sets: int, hypotheses: int) -> Arrays:
        batch = self.refine_batch(sets * hypotheses)
        shape = (sets, hypotheses, 6, SIZE_PX, SIZE_PX)
        error = np.linalg.norm(batch["trans_target"], axis=1) / 2.0
        return {
            "rendered": batch["rendered"].reshape(shape),
            "observed": batch["observed"].reshape(shape),
            "add_error": error.reshape(sets, hypotheses).astype(np.float32),
        }


class BrokenSource(ToySource):
    """Fails at the second batch."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._count = 0

    def refine_batch(self, n: int) -> Arrays:
        self._count += 1
        if self._count > 1:
            raise ValueError("the sampler has a bug")
        return super().refine_batch(n)
