"""Networks that answer with NaN or infinity: the frame is SUSPECT, and no such number goes anywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.frame import Frame
from storm_edge.live.config import StormConfig
from storm_edge.live.factory import make_object_session
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.track_report import Track, TrackState
from storm_edge.pipeline.config import TrackConfig
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.networks import PoseRefiner, are_poses
from storm_edge.pipeline.register.config import REFINE_FIRST
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.track.config import StepwiseTrackConfig
from storm_edge.pipeline.verify.verifier import open_verifier
from tests.faulty import FaultyBundle
from tests.nano_with_score import write_nano_with_score
from tests.staged import Staged

BAD = [float("nan"), float("inf"), float("-inf")]
ALWAYS = StormConfig(track=TrackConfig(stepwise=StepwiseTrackConfig(ask_network="always")))
QUICK_REGISTER = replace(REFINE_FIRST, stages=REFINE_FIRST.stages[:2])


class Player:
    """The staged mug, standing still, frame by frame; begins at the true pose."""

    def __init__(self, staged: Staged, loop: ObjectSession) -> None:
        self.loop = loop
        self._staged, self._still, self._next = staged, staged.frame(), 0
        self._buffers = staged.buffers(self._still)

    def play(self, count: int = 1) -> list[Track]:
        return [self._frame() for _ in range(count)]

    def _frame(self) -> Track:
        index, self._next = self._next, self._next + 1
        still = self._still
        frame = Frame(rgb=still.rgb, depth_m=still.depth_m, K=still.K, index=index, stamp_ns=index * 33_333_333)
        if index:
            return self.loop.track(frame, self._buffers)
        T_cam_obj = self._staged.T_cam_centre @ np.linalg.inv(self._staged.bundle.T_obj_centre)
        return self.loop.start(frame, self._buffers, T_cam_obj)

    def error_m(self, track: Track) -> float:
        assert track.T_cam_obj is not None
        T = track.T_cam_obj @ self._staged.bundle.T_obj_centre
        return float(np.linalg.norm(T[:3, 3] - self._staged.T_cam_centre[:3, 3]))


@pytest.fixture(scope="module")
def with_score(tmp_path_factory: pytest.TempPathFactory) -> NetworkBundle:
    return NetworkBundle.load(write_nano_with_score(tmp_path_factory.mktemp("networks") / "mine"))


@pytest.mark.parametrize("value", BAD)
def test_refinenet_without_numbers_makes_the_frame_suspect_and_geometry_goes_on(staged: Staged, value: float) -> None:
    networks = FaultyBundle.nano()
    player = Player(staged, make_object_session(staged.item, networks, config=ALWAYS))
    assert [track.state for track in player.play(4)] == [TrackState.TRACKING] * 4
    networks.plan.answers["refine"] = value
    tracks = player.play(5)
    assert [track.state for track in tracks] == [TrackState.SUSPECT] * 5
    trusted = player.loop.state.trusted_frame
    assert trusted == 3, "a frame without an answer was trusted"
    networks.plan.answers.clear()
    tracks += player.play(2)
    assert [track.state for track in tracks[-2:]] == [TrackState.TRACKING] * 2
    for track in tracks:
        assert player.error_m(track) < 0.002
        track.line()  # refuses NaN
    assert player.loop.non_finite_count["refine"] == 5 * 2 * 2  # frames, iterations, poses


def test_the_verifier_without_numbers_makes_the_frame_suspect_and_is_not_remembered(staged: Staged) -> None:
    networks = FaultyBundle.nano()
    verifier = open_verifier(staged.item, networks)
    assert verifier is not None
    player = Player(staged, make_object_session(staged.item, networks, verifier=verifier))
    assert {track.state for track in player.play(4)} == {TrackState.TRACKING}  # the first crop is remembered
    networks.plan.answers["tom_encode"] = float("nan")
    tracks = player.play(9)
    states = {track.frame: track.state for track in tracks}
    assert [frame for frame, state in states.items() if state is TrackState.SUSPECT] == [
        5,
        8,
        10,
    ]  # where it was asked, and the side was not
    assert player.loop.state.remembered_frame == 10
    assert len(verifier) == 1, "a crop without numbers is in the memory"
    networks.plan.answers.clear()
    networks.plan.answers["tom_compare"] = float("inf")
    assert player.play()[0].state is TrackState.SUSPECT
    networks.plan.answers.clear()
    assert {track.state for track in player.play(6)} == {TrackState.TRACKING}
    assert player.loop.non_finite_count["tom"] >= 5


def test_a_verification_without_tom_is_the_renderers(staged: Staged) -> None:
    networks = FaultyBundle.nano()
    verifier = open_verifier(staged.item, networks)
    assert verifier is not None
    buffers = staged.buffers()
    alone = verifier.verify(buffers, staged.T_cam_centre)
    verifier.remember(buffers, staged.T_cam_centre)
    networks.plan.answers["tom_compare"] = float("nan")
    verified = verifier.verify(buffers, staged.T_cam_centre)
    assert verified == replace(alone, is_non_finite=True)


@pytest.mark.parametrize(
    ("network", "value"), [("refine", BAD[0]), ("score_attention", BAD[0]), ("score_attention", BAD[1])]
)
def test_a_registration_goes_on_without_the_network_and_its_frame_is_suspect(
    staged: Staged, with_score: NetworkBundle, network: str, value: float
) -> None:
    networks = FaultyBundle.of(with_score)
    networks.plan.answers[network] = value
    loop = make_object_session(staged.item, networks, config=StormConfig(register=QUICK_REGISTER))
    frame = staged.frame()
    track = loop.register(frame, staged.buffers(frame), staged.mask())
    assert track.state is TrackState.SUSPECT
    assert track.T_cam_obj is not None
    assert np.isfinite(track.T_cam_obj).all()
    assert np.linalg.norm(track.T_cam_obj[:3, 3] - staged.T_cam_centre[:3, 3]) < 0.05
    assert loop.non_finite_count["refine" if network == "refine" else "score"] > 0


def test_scores_without_numbers_do_not_decide(staged: Staged, with_score: NetworkBundle) -> None:
    """ScoreNet gives all hypotheses infinity: none is better than another for it, and the judge's order stands."""
    networks = FaultyBundle.of(with_score)
    networks.plan.answers["score_attention"] = float("inf")
    config = replace(QUICK_REGISTER, network_weight=100.0)
    found = Registrar(staged.item, networks, config=config).register(staged.buffers(), staged.mask())
    assert found.is_non_finite
    assert np.isfinite(found.ranked_scores).all()
    assert found.ranked_scores[0] == pytest.approx(100.0 + found.score)


def test_what_is_a_pose() -> None:
    T = np.tile(np.eye(4), (4, 1, 1))
    T[:, 2, 3] = 0.5
    T[1, 0, 0], T[2, 1, 3], T[3, 2, 3] = np.nan, np.inf, -0.5
    assert are_poses(T).tolist() == [True, False, False, False]


def test_what_is_lost_and_found_with_a_broken_network_is_suspect_first(staged: Staged) -> None:
    """The propagated pose has no score of the network: it starts as SUSPECT, not as TRACKING."""
    networks = FaultyBundle.nano()
    player = Player(staged, make_object_session(staged.item, networks, config=ALWAYS))
    player.play(2)
    shown = player._still
    empty = Frame(rgb=np.full_like(shown.rgb, 115), depth_m=np.full_like(shown.depth_m, 0.9), K=shown.K, index=0)
    player._still = empty
    player._buffers.upload(empty)
    assert TrackState.LOST in {track.state for track in player.play(8)}
    networks.plan.answers["refine"] = float("nan")
    player._still = shown
    player._buffers = FrameBuffers(*shown.size_px)
    player._buffers.upload(shown)
    tracks = player.play(40)
    with_pose = [track for track in tracks if track.T_cam_obj is not None]
    assert with_pose
    assert {track.state for track in with_pose} == {TrackState.SUSPECT}
    assert all(player.error_m(track) < 0.01 for track in with_pose)


@pytest.mark.parametrize("value", BAD)
def test_a_pose_that_refinenet_has_no_number_for_stays_where_it_was(staged: Staged, value: float) -> None:
    networks = FaultyBundle.nano()
    refine = PoseRefiner(staged.item, networks, batch=2)
    poses = np.stack([staged.T_cam_centre, staged.T_cam_centre])
    assert not np.array_equal(refine(staged.buffers(), poses), poses)
    networks.plan.answers["refine"] = value
    np.testing.assert_array_equal(refine(staged.buffers(), poses), poses)
    assert refine.non_finite_count == 2
