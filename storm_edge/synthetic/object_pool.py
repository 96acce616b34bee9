"""Objects, hands and textures in memory; what images of many objects draw from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.synthetic.hands import make_hand
from storm_edge.synthetic.objects import SyntheticObject, make_object
from storm_edge.synthetic.rooms import random_texture
from storm_edge.synthetic.splits import EVALUATION_FROM

Float32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PooledObject:
    """An object with its mesh on the device."""

    truth: SyntheticObject
    buffers: MeshBuffers


class ObjectPool:
    """Some objects, hands and textures to draw from.

    Args:
        rng: Source of randomness; also draws the object seeds.
        size: Number of objects kept.
        device: Where their meshes live.
        seeds: Object seeds to draw from.
    """

    def __init__(self, rng: np.random.Generator, *, size: int, device: str = "cpu", seeds: range) -> None:
        self._rng, self._device, self._seeds = rng, device, seeds
        self.objects = [self._new_object() for _ in range(size)]
        self.hands = [self._new_hand() for _ in range(max(4, size // 10))]
        self.textures = [random_texture(rng) for _ in range(max(8, size // 4))]

    def pick(self) -> PooledObject:
        """Any object."""
        return self.objects[int(self._rng.integers(len(self.objects)))]

    def pick_beside(self, diameter_m: float) -> PooledObject:
        """An object of comparable size, to stand beside one of ``diameter_m``."""
        candidates = [self.pick() for _ in range(6)]
        return min(candidates, key=lambda o: abs(np.log(o.truth.diameter_m / diameter_m)))

    def pick_texture(self) -> Float32:
        """Any texture."""
        return self.textures[int(self._rng.integers(len(self.textures)))]

    def pick_hand(self) -> MeshBuffers:
        """Any hand."""
        return self.hands[int(self._rng.integers(len(self.hands)))]

    def _new_object(self) -> PooledObject:
        seed = int(self._rng.integers(self._seeds.start, self._seeds.stop))
        truth = make_object(seed, evaluation=seed >= EVALUATION_FROM)
        return PooledObject(truth=truth, buffers=MeshBuffers.from_mesh(truth.mesh, self._device))

    def _new_hand(self) -> MeshBuffers:
        return MeshBuffers.from_mesh(make_hand(self._rng), self._device)
