"""The contract of trackers (`pipeline.track.contract`), held against both of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from storm_edge.errors import FrameError, InputError
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.track.batched import BatchedTracker
from storm_edge.pipeline.track.batched_member import BatchedMember
from storm_edge.pipeline.track.config import BatchedTrackConfig, StepwiseTrackConfig
from storm_edge.pipeline.track.contract import Tracker
from storm_edge.pipeline.track.stepwise import StepwiseTracker
from tests.faulty import FaultyBundle
from tests.staged import TABLE_DEPTH_M, Staged

SIZE_PX = (480, 640)


@dataclass(frozen=True)
class Kind:
    """How to make one of the trackers, and what it takes for a frame."""

    make: Callable[[Staged, FaultyBundle | None], Tracker[Any]]
    form: Callable[[Frame], Any]
    takes_any_size: bool


def stepwise(staged: Staged, networks: FaultyBundle | None) -> Tracker[FrameBuffers]:
    network = None if networks is None else PoseRefiner(staged.item, networks, batch=2)
    return StepwiseTracker(staged.item, network, config=StepwiseTrackConfig(ask_network="always"))


def batched(staged: Staged, networks: FaultyBundle | None) -> Tracker[Frame]:
    return BatchedMember(BatchedTracker([staged.item], networks, size_px=SIZE_PX, config=BatchedTrackConfig()))


def uploaded(frame: Frame) -> FrameBuffers:
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)
    return buffers


KINDS = {
    "stepwise": Kind(stepwise, uploaded, takes_any_size=True),
    "batched": Kind(batched, lambda frame: frame, takes_any_size=False),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def moved(T: np.ndarray, step: int) -> np.ndarray:
    """A slow turn and shift, 2 deg and 4 mm per frame."""
    return make_T(exp_so3([0.0, 0.035 * step, 0.0]) @ T[:3, :3], T[:3, 3] + [0.004 * step, 0.0, 0.002 * step])


def test_starts_at_the_pose_it_is_given_and_believes_it(kind: Kind, staged: Staged) -> None:
    step = kind.make(staged, None).start(kind.form(staged.frame()), staged.T_cam_centre)
    np.testing.assert_array_equal(step.T_cam_centre, staged.T_cam_centre)
    assert step.confidence > 0.9
    assert step.residual < 0.2
    assert not step.network_used
    assert not step.is_non_finite


def test_follows_the_object(kind: Kind, staged: Staged) -> None:
    """Truth from the renderer. Worst ADD on an x86-64 CPU: 0.5 mm; the mug is 150 mm."""
    tracker = kind.make(staged, None)
    tracker.start(kind.form(staged.frame()), staged.T_cam_centre)
    points = ModelPoints(staged.bundle.mesh.vertices)
    for index in range(1, 5):
        T = moved(staged.T_cam_centre, index)
        step = tracker.update(kind.form(staged.frame(T)))
        assert points.add(T, step.T_cam_centre) < 0.004
        assert step.confidence > 0.8


def test_without_a_start_there_is_nothing_to_follow(kind: Kind, staged: Staged) -> None:
    with pytest.raises(InputError, match=r"start\(\)"):
        kind.make(staged, None).update(kind.form(staged.frame()))


def test_a_second_start_forgets_the_first(kind: Kind, staged: Staged) -> None:
    """Elsewhere, and as if it had just been made: same pose, same appearance in the next frame."""
    elsewhere = make_T(staged.T_cam_centre[:3, :3], staged.T_cam_centre[:3, 3] + [-0.1, 0.03, 0.1])
    again, fresh = kind.make(staged, None), kind.make(staged, None)
    again.start(kind.form(staged.frame()), staged.T_cam_centre)
    for tracker in (again, fresh):
        tracker.start(kind.form(staged.frame(elsewhere)), elsewhere)
    one, other = (tracker.update(kind.form(staged.frame(moved(elsewhere, 1)))) for tracker in (again, fresh))
    np.testing.assert_array_equal(one.T_cam_centre, other.T_cam_centre)
    np.testing.assert_array_equal(again.appearance.log_odds(), fresh.appearance.log_odds())


def test_an_object_that_is_gone_is_not_believed(kind: Kind, staged: Staged) -> None:
    tracker = kind.make(staged, None)
    tracker.start(kind.form(staged.frame()), staged.T_cam_centre)
    empty = staged.frame()
    empty.depth_m[:] = TABLE_DEPTH_M
    empty.rgb[:] = 115
    known = tracker.appearance.log_odds()
    assert tracker.update(kind.form(empty)).confidence < 0.2
    np.testing.assert_array_equal(tracker.appearance.log_odds(), known, err_msg="learned from something else")


@pytest.mark.parametrize("answer", [np.nan, np.inf])
def test_answers_of_the_network_that_are_no_numbers_leave_the_pose(kind: Kind, staged: Staged, answer: float) -> None:
    networks = FaultyBundle.nano()
    networks.plan.answers["refine"] = answer
    tracker = kind.make(staged, networks)
    tracker.start(kind.form(staged.frame()), staged.T_cam_centre)
    step = tracker.update(kind.form(staged.frame()))
    assert step.is_non_finite
    assert networks.plan.calls["refine"] > 0
    assert ModelPoints(staged.bundle.mesh.vertices).add(staged.T_cam_centre, step.T_cam_centre) < 0.004


def test_a_frame_without_depth_gives_numbers(kind: Kind, staged: Staged) -> None:
    tracker = kind.make(staged, None)
    tracker.start(kind.form(staged.frame()), staged.T_cam_centre)
    blind = staged.frame()
    blind.depth_m[:] = 0.0
    step = tracker.update(kind.form(blind))
    assert np.isfinite(step.T_cam_centre).all()
    assert 0.0 <= step.confidence <= 1.0


def test_a_frame_of_another_size_is_followed_or_refused(kind: Kind, staged: Staged) -> None:
    """Half the pixels of the same camera: a wrong pose is the one thing that must not come of it."""
    tracker = kind.make(staged, None)
    tracker.start(kind.form(staged.frame()), staged.T_cam_centre)
    frame = staged.frame()
    K = frame.K.copy()
    K[:2] *= 0.5
    small = replace(frame, rgb=frame.rgb[::2, ::2].copy(), depth_m=frame.depth_m[::2, ::2].copy(), K=K)
    if kind.takes_any_size:
        step = tracker.update(kind.form(small))
        assert ModelPoints(staged.bundle.mesh.vertices).add(staged.T_cam_centre, step.T_cam_centre) < 0.004
    else:
        with pytest.raises(FrameError, match="480, 640"):
            tracker.update(kind.form(small))


@pytest.mark.parametrize("other", KINDS)
def test_appearance_can_be_handed_over(kind: Kind, staged: Staged, other: str) -> None:
    """To a tracker of either kind: it knows the same, and the giver goes on as before."""
    giver, taker = kind.make(staged, None), KINDS[other].make(staged, None)
    giver.start(kind.form(staged.frame()), staged.T_cam_centre)
    known = giver.appearance.log_odds()
    assert known is not None
    assert np.abs(known).max() > 0.0
    taker.appearance.copy_from(giver.appearance)
    taken = taker.appearance.log_odds()
    np.testing.assert_array_equal(taken, known)
    np.testing.assert_array_equal(taker.appearance.exposure.numpy(), giver.appearance.exposure.numpy())
    giver.update(kind.form(staged.frame(moved(staged.T_cam_centre, 1))))
    assert (giver.appearance.log_odds() != known).any(), "the giver learns"
    np.testing.assert_array_equal(taker.appearance.log_odds(), known, err_msg="and the taker is not touched by it")
