"""Sets hold a right pose and wrong sides, and their errors are those of the metric."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from storm_edge.choices import Network
from storm_edge.generator.chance import Chance
from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.lookalikes import ERROR
from storm_edge.generator.motions import exp_so3, rigid
from storm_edge.generator.scenes import SceneGenerator
from storm_edge.generator.score_sets import pose_errors
from storm_edge.generator.sources import make_source
from storm_edge.generator.wrong_poses import hypotheses
from storm_edge.geometry.se3 import rotation_angle


def test_errors_are_mean_distances_in_diameters(small_generator: SceneGenerator) -> None:
    pool, chance = small_generator.pool, Chance(small_generator.generator)
    slot = int(torch.nonzero(pool.pose_is_unique[: pool.object_count])[0])
    T_true = rigid(chance.rotations((8,)), chance.normal((8, 3)))
    T = rigid(chance.rotations((8,)), T_true[:, :3, 3] + 0.03 * chance.normal((8, 3)))
    got = pose_errors(pool, torch.full((8,), slot), T_true, T).numpy()
    vertices = pool.mesh(slot).vertices.astype(np.float64)
    for n in range(8):
        a, b = T_true[n].double().numpy(), T[n].double().numpy()
        apart = (vertices @ a[:3, :3].T + a[:3, 3]) - (vertices @ b[:3, :3].T + b[:3, 3])
        expected = np.linalg.norm(apart, axis=1).mean() / pool.diameters_m[slot]
        # 96 points stand for all vertices.
        assert got[n] == pytest.approx(expected, rel=0.2, abs=0.01)


def test_a_turn_that_cannot_be_seen_is_no_error(small_generator: SceneGenerator) -> None:
    pool, chance = small_generator.pool, Chance(small_generator.generator)
    pool.axis[1], pool.centre_m[1] = torch.tensor([0.0, 0.0, 1.0]), torch.zeros(3)
    T_true = rigid(chance.rotations((5,)), chance.normal((5, 3)))
    about = torch.zeros((5, 3))
    about[:, 2] = chance.uniform((5,), -3.0, 3.0)
    T = T_true @ rigid(exp_so3(about), torch.zeros((5, 3)))
    assert float(pose_errors(pool, torch.full((5,), 1), T_true, T).max()) < 1e-4


def test_sets_hold_a_right_pose_and_wrong_sides_in_place() -> None:
    chance = Chance(torch.Generator().manual_seed(5))
    T = rigid(chance.rotations((300,)), torch.tensor([0.0, 0.0, 0.6]).repeat(300, 1))
    poses = hypotheses(chance, T, torch.full((300,), 0.2), 12)
    R = T[:, None, :3, :3].expand(300, 12, 3, 3)
    angle = np.rad2deg(rotation_angle(poses[..., :3, :3].numpy().reshape(-1, 3, 3), R.numpy().reshape(-1, 3, 3)))
    angle = angle.reshape(300, 12)
    shift = (poses[..., :3, 3] - T[:, None, :3, 3]).norm(dim=-1).numpy() / 0.2
    assert (angle.min(axis=1) < 12.0).all()
    wrong_side = (angle > 60.0) & (shift < 0.04)
    assert 0.2 < wrong_side.mean() < 0.5
    assert (np.abs(angle - 180.0) < 15.0).mean() > 0.07


def test_sets_have_their_shapes(small_config: GeneratorConfig) -> None:
    batch = make_source(Network.SCORE, seed=5, device="cpu", config=small_config).batch(2)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "rendered": (2, 12, 6, 80, 80),
        "observed": (2, 12, 6, 80, 80),
        "add_error": (2, 12),
        "weight": (2,),
    }
    assert all(bool(value.isfinite().all()) for value in batch.values())
    assert float(batch["add_error"].min(dim=1).values.max()) < 0.12


def test_hypotheses_where_another_object_is_seen_count_as_wholly_wrong(small_config: GeneratorConfig) -> None:
    def errors(**shares: float) -> torch.Tensor:
        config = replace(small_config, score=replace(small_config.score, **shares))
        return make_source(Network.SCORE, seed=5, device="cpu", config=config).batch(6)["add_error"]

    plain = errors(lookalike_share=0.0, twin_share=0.0)
    assert not bool((plain == ERROR).any())
    alike = errors(lookalike_share=1.0, twin_share=0.0) == ERROR
    assert torch.equal(alike.all(dim=1), alike.any(dim=1))  # all of a set observe what the next one does
    assert float(alike.float().mean()) > 0.5
    twins = errors(lookalike_share=0.0, twin_share=0.5) == ERROR
    assert 0.1 < float(twins.float().mean()) < 0.6
