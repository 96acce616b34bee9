"""Losses and figures against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from storm_edge.geometry.se3 import exp_so3
from storm_edge.networks.nano import ROT_LIMIT_RAD
from storm_edge.train.losses import refine_figures, refine_loss, score_figures, score_loss, score_target, surface_flow


def test_surface_flow_is_the_motion_of_the_upstream_update() -> None:
    """``x' = Exp(v)^T x + t``; to first order, so a tenth of a degree must agree to 1e-5."""
    v, t = np.array([1.0, -2.0, 1.5]) * 1e-3, np.array([0.1, 0.2, -0.3])
    x = np.array([0.4, -0.5, 0.6])
    expected = exp_so3(v).T @ x + t - x
    xyz = torch.from_numpy(x).reshape(1, 3, 1, 1)
    flow = surface_flow(xyz, torch.from_numpy(t)[None], torch.from_numpy(v / ROT_LIMIT_RAD)[None])
    np.testing.assert_allclose(flow[0, :, 0, 0], expected, atol=1e-5)


def _batch() -> dict[str, torch.Tensor]:
    rendered = torch.zeros(2, 6, 8, 8)
    rendered[:, 5, 2:6, 2:6] = 0.5
    return {
        "rendered": rendered,
        "trans_target": torch.tensor([[0.08, 0.0, 0.0], [0.0, 0.3, 0.4]]),
        "rot_target": torch.tensor([[0.0, 0.0, 0.2], [0.6, 0.8, 0.0]]),
    }


def test_a_perfect_prediction_costs_nothing() -> None:
    batch = _batch()
    flow = surface_flow(batch["rendered"][:, 3:], batch["trans_target"], batch["rot_target"])
    # Every cell's point is (0, 0, 0.5) here, so the mean motion of a cell is the motion of that point.
    cell = flow[:, :, 3:4, 3:4].expand(-1, -1, 2, 2)
    loss, _ = refine_loss(batch["trans_target"], batch["rot_target"], cell, batch, flow_weight=1.0)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_refine_loss_adds_lengths_in_half_diameters() -> None:
    batch = _batch()
    zero = torch.zeros(2, 3)
    loss, parts = refine_loss(zero, zero, torch.zeros(2, 3, 2, 2), batch, flow_weight=0.0)
    assert parts["trans"].item() == pytest.approx((0.08 + 0.5) / 2)
    assert parts["rot"].item() == pytest.approx(ROT_LIMIT_RAD * (0.2 + 1.0) / 2)
    assert loss.item() == pytest.approx(parts["trans"].item() + parts["rot"].item())
    weighted, _ = refine_loss(
        zero, zero, torch.zeros(2, 3, 2, 2), batch | {"weight": torch.tensor([1.0, 0.0])}, flow_weight=0.0
    )
    assert weighted.item() == pytest.approx((0.08 + 0.2 * ROT_LIMIT_RAD) / 2)


def test_refine_figures_split_tracking_from_registration() -> None:
    batch = _batch()
    figures = refine_figures(torch.zeros(2, 3), torch.zeros(2, 3), batch)
    assert figures["track_rot_before_deg"] == pytest.approx(4.0)
    assert figures["track_trans_after_pct"] == pytest.approx(4.0)
    assert figures["far_rot_after_deg"] == pytest.approx(20.0)
    assert figures["far_trans_before_pct"] == pytest.approx(25.0)


def test_the_best_score_answers_both_questions() -> None:
    """`score_target` is where the loss is smallest, and there its ranking part vanishes."""
    error = torch.tensor([[0.0, 0.05, 0.1, 0.5], [0.2, 0.11, 0.02, 0.3]])
    best = score_target(error)
    assert best[0].tolist() == pytest.approx([5.0, 2.5, 0.0, -20.0])
    _, parts = score_loss(best, error)
    assert parts["ranking"].item() == pytest.approx(0.0, abs=1e-6)
    score = best.clone().requires_grad_()
    score_loss(score, error)[0].backward()
    assert score.grad is not None
    assert score.grad.abs().max() < 1e-6
    alone, parts = score_loss(torch.zeros(3, 1), torch.full((3, 1), 0.1))
    assert parts["ranking"].item() == 0.0
    assert alone.item() == pytest.approx(math.log(2.0))


def test_score_figures_by_hand() -> None:
    error = torch.tensor([[0.05, 0.3, 0.01], [0.2, 0.4, 0.5]])
    score = torch.tensor([[2.0, -1.0, 1.0], [1.0, -2.0, -1.0]])
    figures = score_figures(score, error)
    assert figures["regret_pct"] == pytest.approx((4.0 + 0.0) / 2)
    assert figures["winner_near"] == pytest.approx(0.5)
    assert figures["best_near"] == pytest.approx(0.5)
    # Six pairs differ by more than 0.02; 0.01 before 0.05 and 0.4 before 0.5 are the wrong way round.
    assert figures["ordered"] == pytest.approx(4 / 6)
    assert figures["near_accuracy"] == pytest.approx(5 / 6)
