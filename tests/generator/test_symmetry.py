"""Symmetries are found where they are, and targets take the nearest of the poses that look alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from storm_edge.generator.chance import Chance
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.motions import rigid
from storm_edge.generator.scenes import SceneGenerator
from storm_edge.generator.symmetry import nearest_symmetric
from storm_edge.generator.symmetry_search import find_symmetries
from storm_edge.geometry.mesh import Mesh, diameter, make_mesh
from storm_edge.geometry.se3 import exp_so3, rotation_angle
from storm_edge.geometry.symmetry import nearest_symmetric as nearest_of_one
from storm_edge.synthetic.primitives import box, revolve

GREY = (0.5, 0.5, 0.5)


def _painted(surface: tuple[NDArray[np.float64], NDArray[np.int64]], mark: NDArray[np.bool_] | None = None) -> Mesh:
    vertices, faces = surface
    colours = np.tile(GREY, (len(vertices), 1))
    if mark is not None:
        colours[mark] = (0.9, 0.1, 0.1)
    return make_mesh(vertices, faces, colours=colours)


def test_a_plain_box_has_three_half_turns() -> None:
    mesh = _painted(box((0.1, 0.06, 0.03), 0.005))
    found = find_symmetries(mesh, diameter(mesh.vertices))
    assert len(found.turns) == 4
    assert not found.axis.any()


def test_a_square_box_has_eight_turns() -> None:
    mesh = _painted(box((0.06, 0.06, 0.1), 0.005))
    assert len(find_symmetries(mesh, diameter(mesh.vertices)).turns) == 8


def test_a_mark_on_one_side_leaves_no_turn() -> None:
    surface = box((0.1, 0.06, 0.03), 0.005)
    v = surface[0] - (surface[0].min(axis=0) + surface[0].max(axis=0)) / 2.0
    mark = (np.abs(v[:, 0] - 0.03) < 0.012) & (np.abs(v[:, 1]) < 0.012) & (v[:, 2] > 0.0149)
    assert 0.0 < mark.mean() < 0.05
    mesh = _painted(surface, mark)
    assert len(find_symmetries(mesh, diameter(mesh.vertices)).turns) == 1


def test_a_solid_of_revolution_is_free_about_its_axis() -> None:
    cone = _painted(revolve(np.array([[0.03, 0.0], [0.02, 0.1]]), 0.005))
    found = find_symmetries(cone, diameter(cone.vertices))
    np.testing.assert_allclose(np.abs(found.axis), [0.0, 0.0, 1.0], atol=1e-6)
    assert len(found.turns) == 1
    rod = _painted(revolve(np.array([[0.03, 0.0], [0.03, 0.1]]), 0.005))
    assert len(find_symmetries(rod, diameter(rod.vertices)).turns) == 2


def _with_symmetries(pool: MeshPool, slot: int, *, free: bool) -> NDArray[np.float64]:
    """Give a slot half turns or a free axis, and return the same as sampled motions."""
    pool.centre_m[slot] = torch.tensor([0.004, -0.002, 0.01])
    pool.axis[slot] = torch.tensor([0.0, 0.0, 1.0]) if free else torch.zeros(3)
    flip = exp_so3([np.pi, 0.0, 0.0])
    pool.turns[slot] = torch.eye(3)
    pool.turns[slot, 1] = torch.from_numpy(flip).float()
    centre = pool.centre_m[slot].double().numpy()
    turns = [flip]
    if free:
        about = [exp_so3([0.0, 0.0, a]) for a in np.deg2rad(np.arange(0.0, 360.0, 1.0))]
        turns = [a @ b for a in (np.eye(3), flip) for b in about]
    motions = []
    for turn in turns:
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = turn, centre - turn @ centre
        motions.append(T)
    return np.stack([np.eye(4), *motions])


@pytest.mark.parametrize("free", [False, True])
def test_the_nearest_pose_is_found(small_generator: SceneGenerator, free: bool) -> None:
    pool = small_generator.pool
    motions = _with_symmetries(pool, 2, free=free)
    chance = Chance(small_generator.generator)
    T_true = rigid(chance.rotations((20,)), chance.normal((20, 3)))
    T_reference = rigid(chance.rotations((20,)), T_true[:, :3, 3])
    got = nearest_symmetric(pool, torch.full((20,), 2), T_true, T_reference).double().numpy()
    for n in range(20):
        true, reference = T_true[n].double().numpy(), T_reference[n].double().numpy()
        expected = nearest_of_one(true, reference, motions)
        best = rotation_angle(expected[:3, :3], reference[:3, :3])
        # The sampled turns are a degree apart; the exact one is nearer.
        assert rotation_angle(got[n, :3, :3], reference[:3, :3]) <= best + 1e-3
        centre = np.append(pool.centre_m[2].double().numpy(), 1.0)
        np.testing.assert_allclose(got[n] @ centre, true @ centre, atol=1e-5)
