"""Devices and engines that fail in mid-run: a lane is rebuilt once, the second time the run ends."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import EngineError, RunFault
from storm_edge.frame import Frame
from storm_edge.live.config import LanesConfig, ScheduleConfig, SessionConfig, StormConfig
from storm_edge.live.engine_recovery import LaneHealth, ReopenableNetworks
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.frame_gate import Gate
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.lanes.scheduler import Lane
from storm_edge.live.session import Session
from storm_edge.live.track_report import TrackState
from storm_edge.objects.onboard import onboard
from storm_edge.pipeline.config import TrackConfig
from storm_edge.pipeline.register.config import REFINE_FIRST
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.track.config import StepwiseTrackConfig
from storm_edge.replay.track_scene import TrackSceneOptions, track_scene
from tests.engines import tiny
from tests.faulty import FaultyBundle
from tests.live.test_non_finite import Player
from tests.nano_with_score import write_nano_with_score
from tests.staged import Staged
from tests.tiny_scene import MODEL, write_tiny_scene

DEADLINE_S = 600.0

ALWAYS = StormConfig(track=TrackConfig(stepwise=StepwiseTrackConfig(ask_network="always")))
FROM_LABEL = TrackSceneOptions(init=Init.GT, config=ALWAYS, pictures=False)


def illegal_address() -> Exception:
    return RuntimeError("Warp CUDA error 700: an illegal memory access was encountered\nin function wp_memcpy")


def out_of_memory() -> Exception:
    return MemoryError("Failed to allocate 412876800 bytes on device 'cuda:0'")


@pytest.mark.parametrize("fault", [illegal_address, out_of_memory])
def test_a_lane_is_rebuilt_once_and_then_the_run_ends_with_the_reason(fault: Callable[[], Exception]) -> None:
    health, rebuilt = LaneHealth(), []
    health.recover(Lane.TRACK, fault(), lambda: rebuilt.append("track"))
    health.recover(Lane.VERIFY, fault(), lambda: rebuilt.append("verify"))  # each lane has its own turn
    with pytest.raises(RunFault) as raised:
        health.recover(Lane.TRACK, EngineError("launch of refine: got X"), lambda: rebuilt.append("again"))
    assert rebuilt == ["track", "verify"]
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("track lane: got 'launch of refine: got X' after it was rebuilt for '")
    assert health.rebuild_reasons.keys() == {"track", "verify"}


def test_a_lane_that_cannot_be_rebuilt_ends_the_run_and_a_bug_is_left_alone() -> None:
    def fail() -> None:
        raise EngineError("no CUDA-capable device")

    health = LaneHealth()
    with pytest.raises(ValueError, match="a bug"):
        health.recover(Lane.TRACK, ValueError("a bug"), fail)
    assert health.rebuild_reasons == {}
    with pytest.raises(RunFault, match="'no CUDA-capable device' when it was rebuilt for 'MemoryError'"):
        health.recover(Lane.LOCATE, MemoryError(), fail)


def test_a_reopened_engine_answers_into_the_buffers_it_was_bound_to(tmp_path: Path) -> None:
    tiny.score_attention(tmp_path / "score_attention.onnx")
    write_manifest(
        tmp_path, name="t", size_px=32, preset="default", networks={"score_attention": "score_attention.onnx"}
    )
    networks = ReopenableNetworks.around(NetworkBundle.load(tmp_path))
    engine = networks.open("score_attention")
    features, score = np.ones((2, 6), dtype=np.float32), np.zeros(2, dtype=np.float32)
    features[1] = 3.0
    engine.bind({"features": features, "score": score})
    networks.reopen()
    engine.launch()
    assert score.tolist() == [-6.0, 6.0]
    (tmp_path / "score_attention.onnx").unlink()
    with pytest.raises(EngineError):
        networks.reopen()
    with pytest.raises(EngineError, match="no engine"):
        engine.launch()


@pytest.mark.parametrize(
    ("network", "lane", "fault"), [("refine", "track", illegal_address), ("tom_encode", "verify", out_of_memory)]
)
def test_a_tracked_frame_survives_one_fault_and_the_second_is_the_end(
    staged: Staged, network: str, lane: str, fault: Callable[[], Exception]
) -> None:
    networks = FaultyBundle.nano()
    (loop,) = make_object_sessions(
        [staged.bundle], networks, config=replace(ALWAYS, session=SessionConfig(verify_every=1))
    )
    player = Player(staged, loop)
    assert {track.state for track in player.play(3)} == {TrackState.TRACKING}
    opened = networks.plan.opened.count(network)
    networks.plan.raises[network], networks.plan.times = fault, 1
    tracks = player.play(3)
    assert {track.state for track in tracks} == {TrackState.TRACKING}
    assert max(player.error_m(track) for track in tracks) < 0.002
    assert networks.plan.opened.count(network) == opened + 1
    assert loop.rebuild_reasons == {lane: str(fault()).splitlines()[0]}
    networks.plan.times = 1
    with pytest.raises(RunFault, match=f"{lane} lane: got "):
        player.play(3)


def test_a_bug_keeps_its_own_name(staged: Staged) -> None:
    networks = FaultyBundle.nano()
    (loop,) = make_object_sessions([staged.bundle], networks, config=ALWAYS)
    player = Player(staged, loop)
    player.play(2)
    networks.plan.raises["refine"] = lambda: IndexError("a bug")
    with pytest.raises(IndexError, match="a bug"):
        player.play()
    assert loop.rebuild_reasons == {}


def still_frames(staged: Staged) -> Callable[[int], Frame]:
    still = staged.frame()
    return lambda index: replace(still, index=index, stamp_ns=index * 33_333_333)


def test_a_search_that_fails_is_a_failed_attempt_and_the_next_one_finds_it(staged: Staged) -> None:
    networks = FaultyBundle.nano()
    (item,) = make_object_sessions([staged.bundle], networks)
    loop, frame = Session([item]), still_frames(staged)
    networks.plan.raises["som_query"], networks.plan.times = out_of_memory, 1
    states = [loop.step(frame(index)).tracks[0].state for index in range(8)]
    assert states[0] is TrackState.SEARCHING
    assert states[-1] is TrackState.TRACKING
    rebuilt = loop.faults["recovered"]
    assert rebuilt == {"locate": "Failed to allocate 412876800 bytes on device 'cuda:0'"}


def test_on_a_lane_the_second_fault_ends_the_run_where_frames_are_tracked(staged: Staged) -> None:
    networks = FaultyBundle.nano()
    networks.plan.raises["som_query"] = illegal_address
    frame = still_frames(staged)
    with BackgroundLane(LanesConfig(scheduler=ScheduleConfig(silence_s=0.05))) as lane:
        loop = Session(make_object_sessions([staged.bundle], networks, lane=lane), lane=lane)

        def play() -> None:
            deadline = time.monotonic() + DEADLINE_S
            for index in itertools.takewhile(lambda _: time.monotonic() < deadline, itertools.count()):
                loop.step(frame(index))
                time.sleep(0.002)

        with pytest.raises(RunFault, match="locate lane: got 'Warp CUDA error 700"):
            play()
    assert networks.plan.calls["som_query"] == 2
    assert networks.plan.opened.count("som_query") == 2


def test_a_set_of_scores_that_was_given_up_leaves_nothing_behind(staged: Staged, tmp_path: Path) -> None:
    networks = FaultyBundle.of(NetworkBundle.load(write_nano_with_score(tmp_path / "mine")))
    config = replace(REFINE_FIRST, stages=REFINE_FIRST.stages[:1], chunk=64)
    registrar = Registrar(staged.item, networks, config=config)
    buffers, mask = staged.buffers(), staged.mask()
    expected = registrar.register(buffers, mask)
    work = registrar.chunks(buffers, mask)
    while next(work) != "score":
        pass
    work.close()
    np.testing.assert_array_equal(registrar.register(buffers, mask).ranked_scores, expected.ranked_scores)


@pytest.fixture
def tiny_networks(tmp_path: Path) -> FaultyBundle:
    folder = tmp_path / "networks"
    folder.mkdir()
    tiny.refine(folder / "refine.onnx", size_px=32)
    write_manifest(folder, name="tiny", size_px=32, preset="default", networks={"refine": "refine.onnx"})
    return FaultyBundle.of(NetworkBundle.load(folder))


def test_a_run_that_ends_so_leaves_what_it_wrote_with_the_reason(tiny_networks: FaultyBundle, tmp_path: Path) -> None:
    scene = BopScene(write_tiny_scene(tmp_path / "scene", frame_count=6))
    thing = onboard(tmp_path / "scene" / MODEL, "mm", view_subdivisions=1)
    plan = tiny_networks.plan
    plan.raises["refine"] = out_of_memory
    plan.after = 3 * 2  # three frames of two iterations each
    with pytest.raises(RunFault, match="track lane: got 'Failed to allocate"):
        track_scene(scene, [thing], tiny_networks, tmp_path / "out", FROM_LABEL)
    lines = [json.loads(line) for line in (tmp_path / "out" / "poses.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["frame_count"] == 4
    assert "after it was rebuilt for" in summary["ended_by"]
    assert summary["faults"]["recovered"].keys() == {"track"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["networks", "out", "scene"]


def test_what_a_run_went_on_from_is_in_its_summary(tiny_networks: FaultyBundle, tmp_path: Path) -> None:
    scene = BopScene(write_tiny_scene(tmp_path / "scene", frame_count=4))
    thing = onboard(tmp_path / "scene" / MODEL, "mm", view_subdivisions=1)
    plan = tiny_networks.plan
    plan.answers["refine"] = float("nan")
    plan.raises["refine"], plan.times = out_of_memory, 1
    run = track_scene(scene, [thing], tiny_networks, tmp_path / "out", FROM_LABEL)
    assert [track.state for track in run.tracks[1:]] == [TrackState.SUSPECT] * 3
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["ended_by"] is None
    assert summary["skipped_frames"] == 0
    assert summary["faults"] == {
        "frames": Gate().counts,
        "non_finite": {"refine": 3 * 2 * 2, "score": 0, "tom": 0},
        "recovered": {"track": "Failed to allocate 412876800 bytes on device 'cuda:0'"},
        "stalls": 0,
    }
