"""The nano networks: the fit they end in is right, and each pair is treated by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from storm_edge.geometry.se3 import exp_so3
from storm_edge.networks.folding import fold_batchnorm
from storm_edge.networks.nano import (
    SIZE_PX,
    NanoConfig,
    NanoRefineNet,
    NanoScoreAttention,
    NanoScoreNet,
    fit_rigid_motion,
)

# The fit holds a ridge of 1e-3 against inertias of about 0.3: 0.6 % of the angle at most on the clouds below (CPU).
RIDGE_TOLERANCE = 6e-3
# Seen at most 2e-6 (CPU).
BATCH_TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(4)


def _pairs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    rendered, observed = torch.rand(2, count, 6, SIZE_PX, SIZE_PX) - 0.5
    rendered[:, :, :20] = 0.0  # some background
    return rendered, observed


def _trained_looking(net: torch.nn.Module) -> torch.nn.Module:
    """Random BatchNorm statistics, so that folding has something to get wrong."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.eval()


def test_the_fit_finds_the_motion_that_moved_the_points(rng: np.random.Generator) -> None:
    """The rotation vector is the upstream one: points turn by its negative (reference-networks 5.7)."""
    points = rng.uniform(-1.0, 1.0, (4, 3, 40))
    v = rng.uniform(-0.01, 0.01, (4, 3))  # small, so that first order is all there is
    t = rng.uniform(-0.3, 0.3, (4, 3))
    moved = np.stack([exp_so3(v[i]).T @ points[i] + t[i][:, None] for i in range(4)])
    weights = rng.uniform(0.1, 1.0, (4, 1, 40))
    found_v, found_t = fit_rigid_motion(*(torch.from_numpy(a) for a in (points, moved - points, weights)))
    np.testing.assert_allclose(found_v, v, atol=0.01 * RIDGE_TOLERANCE + 1e-4)
    np.testing.assert_allclose(found_t, t, atol=5e-4)


def test_points_without_weight_have_no_say(rng: np.random.Generator) -> None:
    points = torch.from_numpy(rng.uniform(-1.0, 1.0, (1, 3, 30)))
    motions = torch.full_like(points, 0.1)
    motions[:, :, 20:] = 7.0
    weights = torch.ones(1, 1, 30, dtype=points.dtype)
    weights[:, :, 20:] = 0.0
    v, t = fit_rigid_motion(points, motions, weights)
    np.testing.assert_allclose(v, 0.0, atol=1e-9)
    np.testing.assert_allclose(t, 0.1, atol=1e-4)
    v, t = fit_rigid_motion(points, motions, torch.zeros_like(weights))
    assert not v.any()
    assert not t.any()


def test_what_the_points_do_not_tell_stays_zero() -> None:
    """Points on the x axis cannot tell a turn about it: no blow-up, and the other two are found."""
    x = torch.zeros(1, 3, 11, dtype=torch.float64)
    x[0, 0] = torch.linspace(-1.0, 1.0, 11)
    v = torch.tensor([[0.1, 0.02, -0.03]], dtype=torch.float64)
    motions = torch.linalg.cross(x, v[:, :, None].expand_as(x), dim=1)
    found, _ = fit_rigid_motion(x, motions, torch.ones(1, 1, 11, dtype=torch.float64))
    np.testing.assert_allclose(found, [[0.0, 0.02, -0.03]], atol=0.03 * RIDGE_TOLERANCE)


def test_a_pair_comes_out_the_same_in_any_batch() -> None:
    net = _trained_looking(NanoRefineNet())
    rendered, observed = _pairs(5)
    with torch.no_grad():
        together = torch.cat(net(rendered, observed), dim=1)
        alone = torch.cat([torch.cat(net(rendered[i : i + 1], observed[i : i + 1]), dim=1) for i in range(5)])
    assert together.shape == (5, 6)
    torch.testing.assert_close(together, alone, atol=BATCH_TOLERANCE, rtol=0.0)


def test_scores_depend_on_the_set_but_not_on_its_order() -> None:
    net = NanoScoreAttention(NanoConfig()).eval()
    features = torch.randn(6, NanoConfig().features)
    with torch.no_grad():
        scores, turned = net(features), net(features.flip(0))
        stacked = net(torch.stack([features, features.flip(0)]))
        assert net(features[:1]).shape == (1,)
        assert (net(features[:3]) - scores[:3]).abs().max() > 1e-4
    torch.testing.assert_close(scores, turned.flip(0), atol=BATCH_TOLERANCE, rtol=0.0)
    torch.testing.assert_close(stacked, torch.stack([scores, turned]), atol=BATCH_TOLERANCE, rtol=0.0)


def test_folding_batchnorm_changes_nothing_but_the_count_of_modules() -> None:
    net = _trained_looking(NanoScoreNet())
    folded = fold_batchnorm(net.features)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    rendered, observed = _pairs(2)
    with torch.no_grad():
        torch.testing.assert_close(
            folded(rendered, observed), net.features(rendered, observed), atol=BATCH_TOLERANCE, rtol=1e-4
        )


def test_a_pair_without_any_surface_is_left_where_it_is() -> None:
    """A hypothesis that renders to nothing must give no motion and no NaN."""
    net = _trained_looking(NanoRefineNet())
    rendered, observed = _pairs(2)
    with torch.no_grad():
        trans, rot = net(torch.zeros_like(rendered), observed)
    assert not trans.any()
    assert not rot.any()
