"""Recordings with a full occlusion, an absent target, and two of a kind: what the pictures must show."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.synthetic.occlusions import (
    HIDDEN_COUNTS,
    RecoverySequence,
    recovery_sequence,
)
from storm_edge.synthetic.scene_renderer import SceneRenderer
from storm_edge.synthetic.splits import RECOVERIES_DEV


@pytest.fixture(scope="module")
def sequence() -> RecoverySequence:
    return recovery_sequence(RECOVERIES_DEV.first)


def test_the_target_is_hidden_once_for_10_to_40_frames(sequence: RecoverySequence) -> None:
    share = sequence.visible_share
    assert len(share) == sequence.script.frame_count
    np.testing.assert_array_equal(np.flatnonzero(share == 0.0), np.array(sequence.hidden))
    assert HIDDEN_COUNTS[0] <= len(sequence.hidden) <= HIDDEN_COUNTS[1]


def test_there_is_time_to_settle_before_and_to_recover_after(sequence: RecoverySequence) -> None:
    assert sequence.visible_share[:30].min() >= 0.6
    assert sequence.visible_share[-30:].min() >= 0.6


def test_pictures_show_what_the_shares_say(sequence: RecoverySequence) -> None:
    renderer = SceneRenderer(sequence.script)
    for index in (0, sequence.hidden.start - 3, sequence.hidden.start, sequence.hidden.stop - 1):
        picture = renderer.render_frame(index)
        assert picture.mask.sum() > 1000
        # A silhouette of 2000 px and more; pixels on an edge may belong to either side.
        assert picture.visible_share == pytest.approx(sequence.visible_share[index], abs=0.01)


def test_behind_the_board_the_target_moves_on(sequence: RecoverySequence) -> None:
    before, after = (sequence.script.T_cam_obj(i) for i in (sequence.hidden.start - 1, sequence.hidden.stop))
    assert np.linalg.norm(after[:3, 3] - before[:3, 3]) > 0.03


def test_a_seed_is_always_the_same_sequence(sequence: RecoverySequence) -> None:
    again = recovery_sequence(RECOVERIES_DEV.first)
    assert again.hidden == sequence.hidden
    np.testing.assert_array_equal(again.script.target.T_world_obj, sequence.script.target.T_world_obj)
