from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest

from storm_edge.bench import modes
from storm_edge.bench.checks import FOUND_AGAIN
from storm_edge.bench.modes import SEARCH
from storm_edge.bench.player import END_TO_END
from storm_edge.bench.recording import Recording
from storm_edge.bench.runner import run_bench
from storm_edge.choices import BenchMode
from storm_edge.errors import InputError
from storm_edge.frame import Frame
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.track_report import Track
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.pipeline.detect.detection import DetectionResult
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from tests.bench.plans import plan


def test_registration_and_search_are_timed_in_every_frame(recording: Recording, box: ObjectBundle) -> None:
    (phase,) = run_bench(recording, box, None, plan(BenchMode.REGISTER, count=2, warm_up=0)).phases
    assert len(phase.samples_ms["register"]) == 2
    (phase,) = run_bench(recording, box, None, plan(BenchMode.LOCATE, count=2, warm_up=0)).phases
    assert len(phase.samples_ms["segment"]) == len(phase.samples_ms["register"]) == 2


def test_tracking_alone_and_beside_a_search(
    recording: Recording, box: ObjectBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []

    def search(self: object, frame: object, buffers: object) -> Generator[str, None, DetectionResult]:
        searches.append(frame)
        yield "encode image"
        return DetectionResult(found=None, detections=(), segmentation=None)  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "chunks", search)
    run = run_bench(recording, box, None, plan(BenchMode.TRACK_WHILE_LOCATING, count=7))
    assert [phase.name for phase in run.phases] == ["alone", "while locating"]
    assert [len(phase.samples_ms[END_TO_END]) for phase in run.phases] == [7, 7]
    assert run.counts["searches begun"] == run.counts["searches ended"] == len(searches) >= 3
    assert len(run.phases[1].samples_ms[SEARCH]) == len(searches)
    assert SEARCH not in run.phases[0].samples_ms


def test_a_loss_is_counted_until_the_object_is_found_again(recording: Recording, box: ObjectBundle) -> None:
    frames = list(recording.frames)
    first = frames[0]
    wall = np.full_like(first.frame.depth_m, 0.3)
    hidden = replace(first.frame, rgb=np.full_like(first.frame.rgb, 20), depth_m=wall)
    played = tuple([first] * 6 + [replace(first, frame=hidden)] * 6 + [first] * 20)
    run = run_bench(replace(recording, frames=played), box, None, plan(BenchMode.RECOVER, count=30, warm_up=1))
    assert (run.counts["losses"], run.counts["found again"]) == (1, 1)
    (phase,) = run.phases
    assert phase.samples_ms[FOUND_AGAIN][0] > 0.0
    assert phase.samples_ms["locate"]
    with pytest.raises(InputError, match="0 losses"):
        run_bench(recording, box, None, plan(BenchMode.RECOVER))


def test_a_scene_without_labels_starts_with_the_mask(recording: Recording, box: ObjectBundle) -> None:
    frames = tuple(replace(recorded, T_cam_obj=None) for recorded in recording.frames)
    run = run_bench(replace(recording, frames=frames), box, None, plan(BenchMode.TRACK, warm_up=0))
    assert run.start == "mask"
    assert run.checked.right_share is None
    assert run.checked.against == "the loop's own state"


def test_one_loop_runs_all_rounds_and_time_goes_on(
    recording: Recording, box: ObjectBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop per round held its buffers six times over; one loop must not see stamps run backwards between rounds."""
    made, frames = [], []
    make, track = modes.make_object_sessions, ObjectSession.track

    def count_loops(*arguments: object, **options: object) -> object:
        made.append(1)
        return make(*arguments, **options)  # type: ignore[arg-type]

    def note(self: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track:
        frames.append((frame.index, frame.stamp_ns))
        return track(self, frame, buffers)

    def search(self: object, frame: object, buffers: object) -> Generator[str, None, DetectionResult]:
        yield "encode image"
        return DetectionResult(found=None, detections=(), segmentation=None)  # type: ignore[arg-type]

    monkeypatch.setattr(modes, "make_object_sessions", count_loops)
    monkeypatch.setattr(ObjectSession, "track", note)
    monkeypatch.setattr(Detector, "chunks", search)
    run_bench(recording, box, None, plan(BenchMode.TRACK_WHILE_LOCATING, count=6))
    assert len(made) == 1
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(frames))
