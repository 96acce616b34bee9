"""Scores of poses: sums worked out by hand, and the true pose above all wrong ones."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels import agreement as ag
from storm_edge.pipeline.refine.config import JudgeConfig
from storm_edge.pipeline.refine.judge import PoseJudge, judge_sums
from tests.staged import Staged


def sums(**classes: float) -> np.ndarray:
    row = np.zeros((1, ag.SUM_COUNT))
    for name, value in classes.items():
        row[0, getattr(ag, name)] = value
    return row


def test_perfect_agreement_is_one() -> None:
    judged = judge_sums(sums(GOOD=100, GOOD_WEIGHT=100), np.array([100.0]), colour_weight=0.0)
    assert judged.score[0] == judged.visible[0] == 1.0


def test_every_kind_of_disagreement_counts_alike() -> None:
    whole = np.array([100.0])
    conflict = judge_sums(sums(GOOD=50, GOOD_WEIGHT=50, CONFLICT=50), whole, colour_weight=0.0)
    uncovered = judge_sums(sums(GOOD=50, GOOD_WEIGHT=50), whole, colour_weight=0.0)
    spill = judge_sums(sums(GOOD=50, GOOD_WEIGHT=50, SPILL=50), np.array([50.0]), colour_weight=0.0)
    assert conflict.visible[0] == uncovered.visible[0] == spill.visible[0] == 0.5


def test_what_is_hidden_is_no_disagreement() -> None:
    judged = judge_sums(sums(GOOD=30, GOOD_WEIGHT=30, OCCLUDED=70), np.array([30.0]), colour_weight=0.0)
    assert judged.visible[0] == 1.0
    assert judged.occluded[0] == pytest.approx(0.7)


@pytest.mark.parametrize(("slope", "expected"), [(0.5, 1.0), (-0.5, -1.0)])
def test_colour_is_a_correlation(slope: float, expected: float) -> None:
    """Brightness and contrast of the camera do not matter, only the pattern does."""
    model = np.linspace(0.0, 1.0, 50)[:, None] * np.ones(3)
    observed = 0.3 + slope * model
    row = sums(GOOD=50, GOOD_WEIGHT=50)
    for column, values in (
        (ag.MODEL_SUM, model),
        (ag.OBSERVED_SUM, observed),
        (ag.MODEL_SQUARE, model**2),
        (ag.OBSERVED_SQUARE, observed**2),
        (ag.PRODUCT, model * observed),
    ):
        row[0, column : column + 3] = values.sum(axis=0)
    judged = judge_sums(row, None, colour_weight=0.5)
    assert judged.colour[0] == pytest.approx(expected, abs=0.01)
    assert judged.score[0] == pytest.approx(1.0 + 0.5 * expected, abs=0.005)


def test_nothing_seen_is_zero_not_nan() -> None:
    judged = judge_sums(sums(), np.array([0.0]), colour_weight=0.3)
    assert judged.score[0] == judged.visible[0] == judged.colour[0] == 0.0


def test_colours_differ_by_an_angle_whatever_the_light() -> None:
    red, dim_red, green = np.array([0.8, 0.1, 0.1]), np.array([0.4, 0.05, 0.05]), np.array([0.1, 0.8, 0.1])

    def angle(model: np.ndarray, observed: np.ndarray) -> float:
        row = sums(GOOD=10, GOOD_WEIGHT=10)
        for name, moment in (
            ("MODEL_SUM", model),
            ("OBSERVED_SUM", observed),
            ("MODEL_SQUARE", model * model),
            ("OBSERVED_SQUARE", observed * observed),
            ("PRODUCT", model * observed),
        ):
            row[0, getattr(ag, name) : getattr(ag, name) + 3] = 10 * moment
        return float(judge_sums(row, None, colour_weight=0.0).colour_angle[0])

    assert angle(red, dim_red) == pytest.approx(0.0, abs=1e-6)
    assert angle(red, green) == pytest.approx(np.sqrt(1.0 - (0.17 / 0.66) ** 2))
    assert angle(red, 0.0 * red) == 0.0  # black says nothing


def test_only_far_away_is_the_gate_there_for_noise(staged: Staged) -> None:
    config = JudgeConfig(size_px=48)
    mesh, size = staged.item.mesh_lod, {"diameter_m": 0.15, "batch": 1}
    judge = PoseJudge(mesh, **size, config=config)
    assert [judge.noise_share(z) for z in (0.3, 1.0, 1.3)] == [0.0] * 3
    assert judge.noise_share(3.0) == pytest.approx(1.0 - 0.009 / 0.045)
    assert judge.noise_share(np.nan) == 0.0
    assert PoseJudge(mesh, **size, config=config, has_colours=False).noise_share(3.0) == 0.0


@pytest.mark.parametrize("with_mask", [True, False])
def test_the_true_pose_wins(staged: Staged, with_mask: bool, rng: np.random.Generator) -> None:
    T = staged.T_cam_centre
    wrong = []
    for angle_deg, shift_m in [(8, 0.0), (25, 0.0), (90, 0.0), (180, 0.0), (0, 0.01), (0, 0.03)] * 4:
        axis = rng.normal(size=3)
        turn = exp_so3(np.deg2rad(angle_deg) * axis / np.linalg.norm(axis))
        wrong.append(make_T(turn @ T[:3, :3], T[:3, 3] + shift_m * axis / np.linalg.norm(axis)))
    judge = PoseJudge(
        staged.item.mesh_lod,
        diameter_m=staged.bundle.diameter_m,
        batch=7,  # not a divisor of 25: the last batch is partly filled
        config=JudgeConfig(),
    )
    mask = staged.mask()
    judged = judge.judge(
        staged.buffers(),
        np.stack([*wrong, T]),
        mask=wp.array(mask.astype(np.uint8), dtype=wp.uint8, device="cpu") if with_mask else None,
        mask_area_px=float(mask.sum()),
    )
    assert np.argmax(judged.score) == len(wrong)
    assert judged.visible[-1] > 0.9
    assert judged.colour[-1] > 0.8


@pytest.mark.parametrize("with_mask", [True, False])
def test_at_once_is_what_the_parts_are(staged: Staged, with_mask: bool, rng: np.random.Generator) -> None:
    """One launch per batch, as on a CPU, and a launch for each part, as on CUDA: the same scores."""
    T = staged.T_cam_centre
    poses = [T]
    poses += [
        make_T(exp_so3(0.4 * rng.normal(size=3)) @ T[:3, :3], T[:3, 3] * rng.uniform(0.9, 1.1, 3)) for _ in "1234"
    ]
    mask = staged.mask()
    frame = staged.buffers(staged.frame(hidden=(slice(200, 260), slice(300, 340))))
    judged = [
        PoseJudge(
            staged.item.mesh_lod,
            diameter_m=staged.bundle.diameter_m,
            batch=3,
            config=JudgeConfig(size_px=48),
            fused=fused,
        ).judge(
            frame,
            np.stack(poses),
            mask=wp.array(mask.astype(np.uint8), dtype=wp.uint8, device="cpu") if with_mask else None,
            mask_area_px=float(mask.sum()),
        )
        for fused in (True, False)
    ]
    for name, value in vars(judged[0]).items():
        assert value.shape == (len(poses),)
        np.testing.assert_allclose(value, vars(judged[1])[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert judged[0].visible[0] > judged[0].visible[1:].max()
    assert judged[0].occluded[0] > 0.01 or with_mask


@pytest.mark.parametrize("with_mask", [True, False])
def test_a_pose_that_is_no_number_scores_nothing(staged: Staged, with_mask: bool) -> None:
    mask = staged.mask()
    judged = PoseJudge(
        staged.item.mesh_lod,
        diameter_m=staged.bundle.diameter_m,
        batch=2,
        config=JudgeConfig(size_px=48),
    ).judge(
        staged.buffers(),
        np.full((1, 4, 4), np.nan),
        mask=wp.array(mask.astype(np.uint8), dtype=wp.uint8, device="cpu") if with_mask else None,
        mask_area_px=float(mask.sum()),
    )
    assert [float(value[0]) for value in vars(judged).values()] == [0.0] * 5
