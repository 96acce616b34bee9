"""Meshes on the device in slots of one size, slowly exchanged for new ones; what every scene is made of.

Slots ``0 .. objects - 1`` hold objects, the ones behind them hands, grippers and poles, the last ones furniture. The
tensors are the memory that kernels read (`MeshPool.arrays`), so a slot is renewed in place: a picture must be done
with before its pool is renewed. Meshes are made on the CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import warp as wp
from numpy.typing import NDArray
from torch import Tensor

from storm_edge.errors import MeshError, mismatch
from storm_edge.generator.config import PoolConfig
from storm_edge.generator.pool_objects import PoolObject, draw_object
from storm_edge.generator.props import make_furniture, make_prop
from storm_edge.generator.raster import PoolArrays
from storm_edge.generator.resting import REST_COUNT, resting_turns, support_points
from storm_edge.generator.symmetry_search import MAX_TURNS
from storm_edge.generator.user_meshes import read_meshes
from storm_edge.geometry.mesh import Mesh
from storm_edge.kernels.device import require_device
from storm_edge.synthetic.splits import objects_of_stream

SAMPLE_COUNT = 96
"""Surface points of an object that pose errors are measured with."""
_TRIES = 8  # a mesh may come out larger than asked; then fewer triangles are asked for


class MeshPool:
    """Mesh slots with what is known about each.

    Args:
        seed: Seed of the stream; from `EVALUATION_FROM` on the objects are those of evaluation.
        device: ``cpu``, ``cuda`` or ``cuda:i``.
        config: Numbers of slots and their size.

    Raises:
        MeshError: A folder of models is named and is not there, is empty, or holds one that cannot be used.

    Attributes:
        vertices: Positions [m] ``(S, V, 3)`` float32; a slot uses the first ``vertex_count``.
        normals: Unit vertex normals ``(S, V, 3)``.
        colours: Vertex colours in [0, 1] ``(S, V, 3)``.
        faces: Vertex indices ``(S, F, 3)`` int32; a slot uses the first ``face_count``.
        vertex_count: ``(S,)`` int32.
        face_count: ``(S,)`` int32.
        gloss: Strength and exponent of highlights ``(S, 2)``.
        diameter_m: Largest extent [m] ``(S,)``.
        turns: Rotations about ``centre_m`` that leave an object as it is, identity first and in the places left
            over, ``(S, MAX_TURNS, 3, 3)``.
        axis: Unit axis that it may be turned about by any angle, 0 for none, ``(S, 3)``.
        centre_m: Where turns and axis go through [m] ``(S, 3)``.
        pose_is_unique: No symmetry at all, ``(S,)`` bool.
        samples: Points of the surface [m] ``(S, SAMPLE_COUNT, 3)``.
        rest: Rotations in which it rests on a plane, ``(S, REST_COUNT, 3, 3)``.
        rest_height_m: Height of its origin above the plane then ``(S, REST_COUNT)``.
        support: Its extreme points [m] ``(S, P, 3)``.
        mean_colour: Mean vertex colour ``(S, 3)``.
        kinds: Kind of each slot's object, see `pool_objects.PoolObject`, on the host.
        diameters_m: ``diameter_m`` on the host, ``(S,)``.
        version: How often each slot was filled, on the host, ``(S,)`` int64.
    """

    def __init__(self, seed: int, *, device: str = "cpu", config: PoolConfig | None = None) -> None:
        self.config = config or PoolConfig()
        c = self.config
        self.device = torch.device(device)
        self.warp_device = require_device(device)
        self.object_count, self.prop_count, self.furniture_count = c.objects, c.props, c.furniture
        self._rng = np.random.default_rng([seed, 7])
        self._seeds = objects_of_stream(seed)
        self._read: list[PoolObject] = []
        if c.folder is not None:
            self._read = read_meshes(c.folder, unit=c.folder_unit, most_faces=c.faces, most_vertices=c.vertices)
        self._next, self._used = 0, 0.0
        slots = c.objects + c.props + c.furniture
        self.vertices, self.normals, self.colours = (self._zeros(slots, c.vertices, 3) for _ in range(3))
        self.faces = torch.zeros((slots, c.faces, 3), dtype=torch.int32, device=self.device)
        self.vertex_count = torch.zeros(slots, dtype=torch.int32, device=self.device)
        self.face_count = torch.zeros(slots, dtype=torch.int32, device=self.device)
        self.gloss, self.diameter_m = self._zeros(slots, 2), self._zeros(slots)
        self.turns, self.axis = self._zeros(slots, MAX_TURNS, 3, 3), self._zeros(slots, 3)
        self.centre_m, self.samples = self._zeros(slots, 3), self._zeros(slots, SAMPLE_COUNT, 3)
        self.pose_is_unique = torch.zeros(slots, dtype=torch.bool, device=self.device)
        self.rest, self.rest_height_m = self._zeros(slots, REST_COUNT, 3, 3), self._zeros(slots, REST_COUNT)
        self.mean_colour = self._zeros(slots, 3)
        self.support = self._zeros(slots, len(support_points(np.eye(3))), 3)
        self.kinds = ["prop"] * slots
        self.diameters_m: list[float] = [0.0] * slots
        self.version: NDArray[np.int64] = np.zeros(slots, dtype=np.int64)
        self.meshes: list[Mesh | None] = [None] * slots
        for slot in range(c.objects):
            self._put_object(slot, self._new_object())
        for slot in range(c.objects, slots):
            self._put_prop(slot)
        self.arrays = self._as_arrays()

    def renew(self, count: int = 1) -> None:
        """Exchange the oldest ``count`` objects, and now and then a prop."""
        # All are made before the first is copied: a copy waits for a GPU, and it computes while they are made.
        for item in [self._new_object() for _ in range(count)]:
            self._put_object(self._next, item)
            self._next = (self._next + 1) % self.object_count
            if len(self.meshes) > self.object_count and self._rng.random() < 0.1:
                self._put_prop(int(self._rng.integers(self.object_count, len(self.meshes))))

    def renew_for(self, items: int) -> None:
        """Exchange as many objects as ``items`` items of training have used up."""
        self._used += items
        count = int(self._used / self.config.items_per_object)
        self._used -= count * self.config.items_per_object
        self.renew(min(count, self.config.most_renewed))

    def mesh(self, slot: int) -> Mesh:
        """What a slot holds, on the host."""
        mesh = self.meshes[slot]
        assert mesh is not None  # every slot is filled by the constructor
        return mesh

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float32, device=self.device)

    def _new_object(self) -> PoolObject:
        if self._read and self._rng.random() < self.config.folder_share:
            return self._read[int(self._rng.integers(len(self._read)))]
        return self._made()

    def _put_object(self, slot: int, item: PoolObject) -> None:
        self._put_mesh(slot, item.mesh)
        self._put_facts(slot, item)

    def _made(self) -> PoolObject:
        low, high = self.config.face_count
        for attempt in range(_TRIES):
            shrink = 0.7**attempt
            wanted = (int(low * shrink), int(high * shrink) + 1)
            item = draw_object(self._rng, self._seeds, wanted, self.config.odd_share)
            if self._fits(item.mesh):
                break
        return item

    def _put_prop(self, slot: int) -> None:
        is_prop = slot < self.object_count + self.prop_count
        mesh = make_prop(self._rng) if is_prop else make_furniture(self._rng)
        self._put_mesh(slot, mesh)
        low, high = mesh.bounds()
        self.diameter_m[slot] = float(np.linalg.norm(high - low))
        self.gloss[slot] = torch.tensor([float(self._rng.uniform(0.0, 0.4)), 12.0])
        self.turns[slot] = torch.eye(3)

    def _fits(self, mesh: Mesh) -> bool:
        return len(mesh.vertices) <= self.config.vertices and len(mesh.faces) <= self.config.faces

    def _put_mesh(self, slot: int, mesh: Mesh) -> None:
        if not self._fits(mesh):
            got = f"{len(mesh.vertices)} vertices and {len(mesh.faces)} triangles"
            room = f"at most {self.config.vertices} and {self.config.faces}"
            raise MeshError(mismatch("mesh of the pool", got, room, "simplify it, or make the slots larger"))
        vertex_count, face_count = len(mesh.vertices), len(mesh.faces)
        self.vertices[slot, :vertex_count] = torch.from_numpy(mesh.vertices)
        self.normals[slot, :vertex_count] = torch.from_numpy(mesh.normals)
        self.colours[slot, :vertex_count] = torch.from_numpy(mesh.colours)
        self.faces[slot, :face_count] = torch.from_numpy(mesh.faces)
        self.vertex_count[slot], self.face_count[slot] = vertex_count, face_count
        self.mean_colour[slot] = torch.from_numpy(mesh.colours.mean(axis=0))
        self.meshes[slot] = mesh
        self.version[slot] += 1

    def _put_facts(self, slot: int, item: PoolObject) -> None:
        def put(into: Tensor, values: NDArray[np.floating]) -> None:
            into[slot] = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))

        mesh = item.mesh
        self.diameter_m[slot], self.diameters_m[slot] = item.diameter_m, item.diameter_m
        self.gloss[slot] = torch.tensor(item.gloss)
        turns = np.tile(np.eye(3), (MAX_TURNS, 1, 1))
        found = item.symmetries
        turns[: len(found.turns)] = found.turns
        put(self.turns, turns)
        put(self.axis, found.axis)
        put(self.centre_m, found.centre_m)
        self.pose_is_unique[slot] = len(found.turns) == 1 and not found.axis.any()
        self.kinds[slot] = item.kind
        picked = np.linspace(0, len(mesh.vertices) - 1, SAMPLE_COUNT).astype(np.int64)
        put(self.samples, mesh.vertices[picked])
        extreme = support_points(mesh.vertices)
        rest, height_m = resting_turns(self._rng, extreme, mesh.vertices)
        put(self.support, extreme)
        put(self.rest, rest)
        put(self.rest_height_m, height_m)

    def _as_arrays(self) -> Any:
        arrays: Any = PoolArrays()
        arrays.vertices = wp.from_torch(self.vertices, dtype=wp.vec3f)
        arrays.normals = wp.from_torch(self.normals, dtype=wp.vec3f)
        arrays.colours = wp.from_torch(self.colours, dtype=wp.vec3f)
        arrays.faces = wp.from_torch(self.faces, dtype=wp.vec3i)
        arrays.vertex_count = wp.from_torch(self.vertex_count)
        arrays.face_count = wp.from_torch(self.face_count)
        arrays.gloss = wp.from_torch(self.gloss, dtype=wp.vec2f)
        return arrays
