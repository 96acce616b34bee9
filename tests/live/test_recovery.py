"""The recovery of one object: what is searched, and what is not searched again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.frame import Frame
from storm_edge.live.config import SessionConfig, StormConfig
from storm_edge.live.events import Event, MaskFound, NothingFound, PoseFound, PosePropagated
from storm_edge.live.object_tracker import StepwiseTrack
from storm_edge.live.recovery import RecoveryStages, RecoveryTask
from storm_edge.live.shape_belief import ShapeBelief
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect.config import FULL, REACQUIRE
from storm_edge.pipeline.detect.detection import TrackPrior
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.track.contract import SettledPose
from storm_edge.pipeline.track.stepwise import StepwiseTracker
from tests.staged import Staged


@pytest.fixture(scope="module")
def detector(staged: Staged) -> Detector:
    return Detector(staged.item, Segmenter(None, config=SegmentConfig(source=Source.COLOUR)))


def recovery_of(staged: Staged, detector: Detector | None, belief: ShapeBelief | None = None) -> RecoveryTask:
    def tracker() -> StepwiseTracker:
        return StepwiseTracker(staged.item, None)

    stages = RecoveryStages(
        registrar=Registrar(staged.item, None),
        tracker=StepwiseTrack(tracker(), tracker()),
        detector=detector,
        verify=lambda buffers, T: None,
        belief=belief,
    )
    return RecoveryTask(staged.item, stages, StormConfig(session=SessionConfig(kept_frames=10)))


def known_to(staged: Staged, task: RecoveryTask) -> TrackPrior:
    """What tracking knows after a frame."""
    task.start_at(staged.frame(), staged.buffers(), SettledPose(T_cam_centre=staged.T_cam_centre))
    odds = task._tracker.catch_up_tracker.colour_log_odds()
    return TrackPrior(T_cam_centre=staged.T_cam_centre, colour_log_odds=odds, rejected_regions=task.rejected_regions)


def at(frame: Frame, index: int) -> Frame:
    return replace(frame, index=index, stamp_ns=index * 33_000_000)


def searched(task: RecoveryTask, track_prior: TrackPrior | None, *, thorough: bool = False) -> Event:
    """A search of the whole image, to its end."""
    assert isinstance(run_to_completion(task.search_image(1, track_prior)), MaskFound)
    return run_to_completion(task.register_candidates(1, track_prior, FULL if thorough else REACQUIRE))


def test_what_the_local_search_finds_is_scored_like_any_pose(staged: Staged, detector: Detector) -> None:
    """Something else of the right colours, half as deep as the mug, is where the mug was: no find."""
    task = recovery_of(staged, detector)
    track_prior = known_to(staged, task)
    task.keep(at(staged.frame(), 1))
    right = run_to_completion(task.search_locally(1, track_prior))
    assert isinstance(right, PoseFound)
    assert right.score > 0.75
    flat = staged.frame()
    depth = np.where(staged.mask(), np.float32(staged.T_cam_centre[2, 3]), flat.depth_m)
    mirrored = np.where(staged.mask()[..., None], flat.rgb[::-1], flat.rgb)
    task.keep(at(replace(flat, depth_m=depth, rgb=mirrored), 2))
    assert isinstance(run_to_completion(task.search_locally(2, track_prior)), NothingFound)


def test_without_a_detector_the_old_place_is_registered(staged: Staged) -> None:
    task = recovery_of(staged, None)
    track_prior = known_to(staged, task)
    task.keep(at(staged.frame(), 1))
    found = run_to_completion(task.search_locally(1, track_prior))
    assert isinstance(found, PoseFound)
    assert task.found is not None
    assert np.linalg.norm(task.found[1][:3, 3] - staged.T_cam_centre[:3, 3]) < 0.003
    assert isinstance(run_to_completion(task.search_image(1, track_prior)), NothingFound)


def test_a_place_that_was_found_and_not_accepted_is_not_found_again_at_once(
    staged: Staged, detector: Detector
) -> None:
    task = recovery_of(staged, detector)
    track_prior = known_to(staged, task)
    task.keep(at(staged.frame(), 1))
    assert isinstance(searched(task, track_prior), PoseFound)
    assert isinstance(run_to_completion(task.propagate(1)), PosePropagated)
    task.keep(at(staged.frame(), 2))
    assert isinstance(searched(task, track_prior), NothingFound), "nothing changed there"
    assert isinstance(searched(task, track_prior, thorough=True), PoseFound), "a thorough search looks everywhere"


def test_what_moved_is_looked_at_again(staged: Staged, detector: Detector) -> None:
    task = recovery_of(staged, detector)
    track_prior = known_to(staged, task)
    task.keep(at(staged.frame(), 1))
    assert isinstance(searched(task, track_prior), PoseFound)
    T = staged.T_cam_centre.copy()
    T[0, 3] -= 0.1
    task.keep(at(staged.frame(T), 2))
    assert isinstance(searched(task, track_prior), PoseFound)
    assert task.found is not None
    assert np.linalg.norm(task.found[1][:3, 3] - T[:3, 3]) < 0.005


def test_a_track_that_begins_forgets_what_was_turned_down(staged: Staged, detector: Detector) -> None:
    task = recovery_of(staged, detector)
    track_prior = known_to(staged, task)
    task.keep(at(staged.frame(), 1))
    assert isinstance(searched(task, track_prior), PoseFound)
    task.clear()
    task.keep(at(staged.frame(), 2))
    assert isinstance(searched(task, track_prior), PoseFound)


def test_a_propagated_pose_of_a_colourless_model_needs_its_shape(
    staged: Staged, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Geometry alone believed an arm: depth inside the outline agreed, and nobody asked where the surface ends."""
    monkeypatch.setattr("storm_edge.live.shape_belief.shape_probability", lambda *arguments: 0.3)
    belief = ShapeBelief(staged.item, StormConfig())
    for given, expected in ((None, False), (belief, True)):
        task = recovery_of(staged, detector, given)
        task.start_at(staged.frame(), staged.buffers(), SettledPose(T_cam_centre=staged.T_cam_centre))
        task.keep(at(staged.frame(), 1))
        said = run_to_completion(task.propagate(1))
        assert isinstance(said, PosePropagated)
        assert (said.score == 0.3) is expected
