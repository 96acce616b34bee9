"""The parts of the soak that decide what it says; the soak itself takes minutes and is run apart from the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak.camera import CLOCK, SILENT, RenderedCamera
from benchmarks.soak.faults import told
from benchmarks.soak.listeners import GoodListener
from benchmarks.soak.memory import memory_figures
from benchmarks.soak.pictures import DEPTH, RGB, K
from benchmarks.soak.stage import ABSENT, OBJECT, Stage
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.geometry.se3 import make_T

TRUTH = tuple(make_T(np.eye(3), [0.01 * place, 0.0, 0.5]) for place in range(3))


def stage(folder: Path) -> Stage:
    corners = np.array([[x, y, z] for x in (0.0, 0.1) for y in (0.0, 0.1) for z in (0.0, 0.1)])
    return Stage(folder=folder, truth=TRUTH, points=ModelPoints(corners), diameter_m=0.1 * 3**0.5)


def message(frame: int, state: str, T_cam_obj: Any, name: str = OBJECT) -> dict[str, Any]:
    pose = None if T_cam_obj is None else T_cam_obj.tolist()
    rest = {"confidence": 0.9, "pose_age_ms": 0.0, "latency_ms": {"total": 3.0}}
    return {"frame": frame, "objects": [{"object": name, "state": state, "T_cam_obj": pose, **rest}]}


def test_poses_are_held_against_the_truth_of_the_picture_that_was_played(tmp_path: Path) -> None:
    listener = GoodListener(stage(tmp_path), tmp_path / "reports.jsonl")
    for frame, place in enumerate((0, 1, 2, 1, 0, 1)):  # to and fro
        (row,) = listener._judge(message(frame, "TRACKING", TRUTH[place]))
        assert (row["error"], row["state"], row["confidence"]) == (0.0, "TRACKING", 0.9)
    assert (listener.judged.tracking, listener.judged.wrong, listener.judged.worst) == (6, [], 0.0)
    for item in (
        message(4, "TRACKING", TRUTH[2]),
        message(4, "SUSPECT", None),
        message(5, "TRACKING", TRUTH[0], ABSENT),
        message(6, "SEARCHING", None, ABSENT),
    ):
        assert len(list(listener._judge(item))) == 1
    assert [(item["frame"], item["object"]) for item in listener.judged.wrong] == [(4, OBJECT), (5, ABSENT)]


def test_memory_is_what_is_held_between_searches_and_a_leak_shows_in_its_slope() -> None:
    def samples(mib_per_hour: float) -> list[tuple[float, float]]:
        """20.5 minutes, a search in the first half of each."""
        times_s = [5.0 * number for number in range(246)]
        return [
            (at_s, 500.0 + mib_per_hour * at_s / 3600.0 + (200.0 if at_s % 60.0 < 30.0 else 0.0)) for at_s in times_s
        ]

    level, leak = memory_figures(samples(0.0)), memory_figures(samples(30.0))
    assert level["memory_mib"] == {"least_by_minute": [500.0] * 20, "most": 700.0}
    assert level["memory_mib_per_hour"] == {"slope": 0.0, "at_least": 0.0, "at_most": 0.0}
    assert leak["memory_mib_per_hour"]["slope"] == 30.0
    assert memory_figures(samples(0.0)[:60])["memory_mib_per_hour"] is None  # too short to say
    assert memory_figures([])["memory_mib"] == {"least_by_minute": [], "most": None}


def test_what_the_service_counted_is_told() -> None:
    def status(*, repeated: int, cut_off: int, failed: int) -> dict[str, Any]:
        return {
            "source": {"counts": {"process_restarts": 1}},
            "faults": {"frames": {"repeated": repeated}, "non_finite": {}},
            "losses": {"written": 2, "failed": failed, "given_up": 0},
            "sinks": [{"name": "socket a", "dropped": 0, "failed": 0, "details": {"cut_off": cut_off, "clients": 3}}],
        }

    before, after = status(repeated=1, cut_off=0, failed=0), status(repeated=4, cut_off=1, failed=0)
    assert told(before, after) == {"faults.repeated": 3, "socket.cut_off": 1}
    assert told(before, before) == {}


def test_the_camera_falls_silent_and_sets_its_clock_when_a_file_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / RGB, np.zeros((3, 2, 4, 3), np.uint8))
    np.save(tmp_path / DEPTH, np.ones((3, 2, 4), np.uint16))
    np.save(tmp_path / K, np.eye(3))
    camera = RenderedCamera(tmp_path, 1000.0)
    first, second = camera.wait(1.0), camera.wait(1.0)
    assert first is not None
    assert second is not None
    assert second.number > first.number
    (tmp_path / SILENT).touch()
    assert camera.wait(0.001) is None
    (tmp_path / SILENT).unlink()
    (tmp_path / CLOCK).write_text(str(-(10**15)))
    third = camera.wait(1.0)
    assert third is not None
    assert third.stamp_ns < first.stamp_ns - 10**14
