"""Rivals of a pose: who is heard next, and how much proof it takes to turn to one."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.se3 import exp_so3, make_T, rotation_angle
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.rivals import Rival, Rivals, turn_deg

CONFIG = SideConfig()


def rival(angle_deg: float, *gains: float) -> Rival:
    T = make_T(exp_so3(np.deg2rad([0.0, 0.0, angle_deg])), np.zeros(3))
    return Rival(motion=T, turn=None, gains=list(gains))


def rivals(*all_of_them: Rival) -> Rivals:
    found = Rivals(CONFIG)
    for one in all_of_them:
        found.add(one)
    return found


@pytest.mark.parametrize("angle_deg", [0.0, 1e-5, 0.5, 44.0, 179.999, 180.0])
def test_single_poses_are_told_apart_as_many_are(angle_deg: float) -> None:
    base = make_T(exp_so3([0.4, -1.1, 0.2]), [0.1, 0.2, 0.9])
    turned = base @ make_T(exp_so3(np.deg2rad([angle_deg, 0.0, 0.0])), [0.3, 0.0, 0.0])
    assert turn_deg(base, turned) == pytest.approx(angle_deg, abs=1e-4)
    np.testing.assert_allclose(turn_deg(base, turned), np.rad2deg(rotation_angle(base[:3, :3], turned[:3, :3])))


def test_a_far_turn_needs_more_looks_than_a_near_one() -> None:
    def looks_needed(angle_deg: float) -> int:
        for looks in range(1, 20):
            one = rival(angle_deg, *[0.21] * looks)
            if rivals(one).is_sure(one):
                return looks
        raise AssertionError("never sure")

    assert [looks_needed(angle_deg) for angle_deg in (25.0, 90.0, 180.0)] == [2, 3, 6]


@pytest.mark.parametrize("angle_deg", [25.0, 90.0, 180.0])
def test_what_model_errors_may_make_is_never_enough(angle_deg: float) -> None:
    one = rival(angle_deg, *[CONFIG.bias] * 50)
    assert not rivals(one).is_sure(one)


def test_nobody_wins_before_all_contenders_were_heard_as_often() -> None:
    far, near = rival(110.0, 1.5, 1.8), rival(20.0, 1.4)
    assert not rivals(far, near).is_sure(far)
    assert rivals(far, rival(20.0, 0.2)).is_sure(far)  # it lags too far behind
    assert not rivals(far, rival(20.0)).is_sure(far)  # it was not heard at all


def test_of_two_that_gain_alike_the_nearer_is_the_best() -> None:
    far, near = rival(150.0, 0.9, 0.9), rival(30.0, 0.88, 0.88)
    assert rivals(far, near).best() is near


def test_a_gain_that_is_gone_now_does_not_count() -> None:
    one = rival(30.0, 2.0, 2.0, -0.5)
    assert not rivals(one).is_sure(one)


def test_the_first_look_counts_only_while_it_is_the_only_one() -> None:
    assert rival(30.0).mean_gain == 0.0
    assert rival(30.0, 0.4).mean_gain == 0.4
    assert rival(30.0, 0.4, 1.0, 2.0).mean_gain == pytest.approx(1.5)


def test_one_look_is_a_doubt_only_if_it_says_much() -> None:
    found = rivals()
    assert not found.is_strong(rival(30.0, 0.7))
    assert found.is_strong(rival(30.0, 0.7, 0.7))
    assert found.is_strong(rival(30.0, 1.7))


def test_those_heard_least_come_next_and_more_of_them_in_doubt() -> None:
    calm = rivals(rival(30.0, 0.0), rival(90.0), rival(150.0), rival(-90.0))
    assert len(calm.next()) == CONFIG.rivals
    assert not any(one.gains for one in calm.next())
    assert len(rivals(rival(30.0, 1.0), *calm).next()) == CONFIG.doubted_rivals


def test_two_that_came_to_one_place_are_one() -> None:
    old, new, unheard = rival(60.0, 0.3, 0.3), rival(63.0, 0.3), rival(62.0)
    joined = rivals(new, old, unheard)
    joined.join(CONFIG.same_turn_deg)
    assert list(joined) == [old, unheard]


def test_one_that_loses_or_stays_undecided_is_let_go() -> None:
    found = rivals()
    assert found.is_open(rival(90.0))
    assert found.is_open(rival(90.0, 0.02))
    assert not found.is_open(rival(90.0, -0.2))
    assert not found.is_open(rival(90.0, 0.05, 0.05, 0.05))
    assert not found.is_open(rival(90.0, *[0.15] * CONFIG.most_looks))
