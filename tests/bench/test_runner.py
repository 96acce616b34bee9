from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bench import runner as bench
from storm_edge.bench.recording import Recording, load_recording, to_and_fro
from storm_edge.bench.report import phase_statistics
from storm_edge.bench.runner import END_TO_END, OTHER, UPLOAD, WAIT, BenchPlan, run_bench
from storm_edge.bop.scene import BopScene
from storm_edge.choices import BenchMode
from storm_edge.errors import ConfigError, InputError, SceneError
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.live.track_report import Track
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from tests.tiny_scene import MODEL, write_tiny_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> BopScene:
    return BopScene(write_tiny_scene(tmp_path_factory.mktemp("bench") / "scene", frame_count=4))


@pytest.fixture(scope="module")
def box(scene: BopScene) -> ObjectBundle:
    return onboard(scene.path / MODEL, "mm", view_subdivisions=1)


@pytest.fixture(scope="module")
def recording(scene: BopScene, box: ObjectBundle) -> Recording:
    return load_recording(scene, box, clear=True)


def plan(mode: BenchMode, count: int = 4, warm_up: int = 1, rate_hz: float | None = None) -> BenchPlan:
    return BenchPlan(mode=mode, frame_count=count, warm_up_count=warm_up, rate_hz=rate_hz)


def test_a_recording_is_played_to_and_fro() -> None:
    assert [to_and_fro(n, 4) for n in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [to_and_fro(n, 1) for n in range(3)] == [0, 0, 0]


def test_tracking_is_timed_by_stage_and_as_a_whole(recording: Recording, box: ObjectBundle) -> None:
    run = run_bench(recording, box, None, plan(BenchMode.TRACK, count=6, warm_up=2))
    (phase,) = run.phases
    assert set(phase.samples_ms) == {UPLOAD, "track", OTHER, END_TO_END}
    assert {len(samples) for samples in phase.samples_ms.values()} == {6}
    for number in range(6):
        parts = [phase.samples_ms[stage][number] for stage in (UPLOAD, "track", OTHER)]
        assert min(parts) > 0.0
        assert sum(parts) == pytest.approx(phase.samples_ms[END_TO_END][number])
    assert len(phase.warm_up_ms) == 2
    assert phase.late_count is None
    assert (run.start, run.checked.followed_share, run.checked.right_share) == ("label", 1.0, 1.0)
    assert run.memory.host_end_mib is not None
    assert run.memory.host_end_mib > 10.0
    assert run.memory.device_used_mib is None


def test_a_slow_frame_is_late_from_its_stamp_and_others_are_skipped(recording: Recording, box: ObjectBundle) -> None:
    """At 20 kHz no frame is in time on a CPU: that is seen in the wait, the lateness and the skips."""
    (phase,) = run_bench(recording, box, None, plan(BenchMode.TRACK, count=5, rate_hz=20_000.0)).phases
    assert phase.late_count == 5
    assert phase.skipped_count >= 4
    assert len(phase.samples_ms[WAIT]) == 5
    whole = phase.samples_ms[END_TO_END]
    assert all(w < e for w, e in zip(phase.samples_ms[WAIT], whole, strict=True))
    assert min(phase.samples_ms[OTHER]) > 0.0  # the whole way has every stage in it, the wait too


def test_a_wrong_pose_is_an_error_however_quick(recording: Recording, box: ObjectBundle) -> None:
    """Labels that are not of these pictures: the tracker follows the object, and so away from the labels."""
    aside = make_T(np.eye(3), [0.08, 0.0, 0.0])
    shots = tuple(
        shot if i == 0 else replace(shot, T_cam_obj=aside @ shot.T_cam_obj) for i, shot in enumerate(recording.shots)
    )
    with pytest.raises(InputError, match=r"of the poses within 0\.1 d"):
        run_bench(replace(recording, shots=shots), box, None, plan(BenchMode.TRACK))


def test_a_track_that_is_not_believed_is_an_error(recording: Recording, box: ObjectBundle) -> None:
    first = recording.shots[0]
    blank = replace(first.frame, rgb=np.zeros_like(first.frame.rgb), depth_m=np.full_like(first.frame.depth_m, 5.0))
    gone = tuple(replace(first, frame=blank) for _ in range(3))
    with pytest.raises(InputError, match="the object followed in"):
        run_bench(replace(recording, shots=(first, *gone)), box, None, plan(BenchMode.TRACK, count=20))


def test_registration_and_search_are_timed_in_every_frame(recording: Recording, box: ObjectBundle) -> None:
    (phase,) = run_bench(recording, box, None, plan(BenchMode.REGISTER, count=2, warm_up=0)).phases
    assert len(phase.samples_ms["register"]) == 2
    (phase,) = run_bench(recording, box, None, plan(BenchMode.LOCATE, count=2, warm_up=0)).phases
    assert len(phase.samples_ms["segment"]) == len(phase.samples_ms["examine"]) == 2


def test_tracking_alone_and_beside_a_search(
    recording: Recording, box: ObjectBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []

    def search(self: object, frame: object, buffers: object) -> Generator[str, None, bench.DetectionResult]:
        searches.append(frame)
        yield "look"
        return bench.DetectionResult(found=None, detections=(), segmentation=None)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.Detector, "chunks", search)
    run = run_bench(recording, box, None, plan(BenchMode.TRACK_WHILE_LOCATING, count=7))
    assert [phase.name for phase in run.phases] == ["alone", "while locating"]
    assert [len(phase.samples_ms[END_TO_END]) for phase in run.phases] == [7, 7]
    assert run.counts["searches begun"] == run.counts["searches ended"] == len(searches) >= 3
    assert len(run.phases[1].samples_ms[bench.SEARCH]) == len(searches)
    assert bench.SEARCH not in run.phases[0].samples_ms


def test_a_loss_is_counted_until_the_object_is_found_again(recording: Recording, box: ObjectBundle) -> None:
    shots = list(recording.shots)
    first = shots[0]
    wall = np.full_like(first.frame.depth_m, 0.3)
    hidden = replace(first.frame, rgb=np.full_like(first.frame.rgb, 20), depth_m=wall)
    played = tuple([first] * 6 + [replace(first, frame=hidden)] * 6 + [first] * 20)
    run = run_bench(replace(recording, shots=played), box, None, plan(BenchMode.RECOVER, count=30, warm_up=1))
    assert (run.counts["losses"], run.counts["found again"]) == (1, 1)
    (phase,) = run.phases
    assert phase.samples_ms[bench.FOUND_AGAIN][0] > 0.0
    assert phase.samples_ms["locate"]
    with pytest.raises(InputError, match="0 losses"):
        run_bench(recording, box, None, plan(BenchMode.RECOVER))


def test_a_scene_without_labels_starts_with_the_mask(recording: Recording, box: ObjectBundle) -> None:
    shots = tuple(replace(shot, T_cam_obj=None) for shot in recording.shots)
    run = run_bench(replace(recording, shots=shots), box, None, plan(BenchMode.TRACK, warm_up=0))
    assert run.start == "mask"
    assert run.checked.right_share is None
    assert run.checked.against == "the loop's own state"


def test_only_frames_in_which_the_object_is_seen_are_played(tmp_path: Path, box: ObjectBundle) -> None:
    count = 0

    def hide(mask: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return mask & (count <= 2)

    scene = BopScene(write_tiny_scene(tmp_path / "scene", frame_count=3, edit_mask=hide))
    assert len(load_recording(scene, box, clear=True).shots) == 2
    assert len(load_recording(scene, box, clear=False).shots) == 3
    hidden = BopScene(write_tiny_scene(tmp_path / "hidden", edit_mask=lambda mask: mask & False))
    with pytest.raises(SceneError, match="half of the object"):
        load_recording(hidden, box, clear=True)


def test_plans_that_time_nothing() -> None:
    for wrong in ({"frame_count": 1}, {"warm_up_count": -1}):
        with pytest.raises(ConfigError):
            BenchPlan(**{"mode": BenchMode.TRACK, "frame_count": 2, "warm_up_count": 0, **wrong})  # type: ignore[arg-type]


def test_statistics_of_a_stage() -> None:
    samples = [float(ms) for ms in range(1, 101)]
    statistics = phase_statistics({"track": samples})["track"]
    assert statistics == {
        "p50": 50.5,
        "p90": 90.1,
        "p99": 99.01,
        "max": 100.0,
        "count": 100,
        "jitter": 1.0,
        "first_p50": 5.5,
        "last_p50": 95.5,
    }
    assert phase_statistics({"track": [2.0]})["track"]["jitter"] == 0.0


def test_one_loop_runs_all_rounds_and_time_goes_on(
    recording: Recording, box: ObjectBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop per round held its buffers six times over; one loop must not see stamps run backwards between rounds."""
    made, frames = [], []
    make, track = bench.make_object_sessions, bench.ObjectSession.track

    def count_loops(*arguments: object, **options: object) -> object:
        made.append(1)
        return make(*arguments, **options)  # type: ignore[arg-type]

    def note(self: bench.ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track:
        frames.append((frame.index, frame.stamp_ns))
        return track(self, frame, buffers)

    def search(self: object, frame: object, buffers: object) -> Generator[str, None, bench.DetectionResult]:
        yield "look"
        return bench.DetectionResult(found=None, detections=(), segmentation=None)  # type: ignore[arg-type]

    monkeypatch.setattr(bench, "make_object_sessions", count_loops)
    monkeypatch.setattr(bench.ObjectSession, "track", note)
    monkeypatch.setattr(bench.Detector, "chunks", search)
    run_bench(recording, box, None, plan(BenchMode.TRACK_WHILE_LOCATING, count=6))
    assert len(made) == 1
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(frames))
