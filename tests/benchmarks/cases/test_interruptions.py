"""The camera of `interruptions`, and what is counted of what is told; the rest is the session's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.cases.interruptions import CALM_FRAMES, PERIOD_NS, InterruptionsOptions, Told, _frames
from benchmarks.soak.pictures import DEPTH, RGB, K
from benchmarks.soak.stage import Stage
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.live.track_report import Track, TrackState
from storm_edge.replay.pacing import ping_pong_index

PICTURES = 7
PAUSE_NS = {"camera silent": 90 * PERIOD_NS, "frames missing": 2 * PERIOD_NS, "NaN from networks": 0}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    folder = tmp_path / "camera"
    folder.mkdir()
    colours = np.zeros((PICTURES, 4, 6, 3), np.uint8)
    colours[:] = np.arange(PICTURES)[:, None, None, None]
    np.save(folder / RGB, colours)
    np.save(folder / DEPTH, np.full((PICTURES, 4, 6), 500, np.uint16))
    np.save(folder / K, np.eye(3))
    return Stage(folder=tmp_path, truth=(), points=ModelPoints(np.eye(3)), diameter_m=0.1)


def test_a_picture_belongs_to_its_number_and_time_goes_on_over_every_interruption(stage: Stage) -> None:
    options = InterruptionsOptions(steps=4000, seed=2)
    seen, before = set(), None
    for step, (what, frame) in enumerate(_frames(stage, options)):
        assert frame.rgb[0, 0, 0] == ping_pong_index(frame.index, PICTURES)
        np.testing.assert_allclose(frame.depth_m, 0.5, atol=1e-6)
        if before is not None:
            gap_ns = frame.stamp_ns - before.stamp_ns
            if what is None:
                assert (frame.index - before.index, gap_ns) == (1, PERIOD_NS)
            elif what == "camera anew":
                assert frame.index == 0
                assert gap_ns > 3 * PERIOD_NS
            else:
                assert gap_ns == pytest.approx((frame.index - before.index) * PERIOD_NS, abs=1000)
                assert gap_ns > PAUSE_NS[what]
        if what is not None:
            assert step >= CALM_FRAMES
            seen.add(what)
        before = frame
    assert seen == {*PAUSE_NS, "camera anew"}


def test_wrong_poses_are_those_that_are_told_as_tracking() -> None:
    told = Told()
    for step, (state, error) in enumerate(
        [
            (TrackState.TRACKING, 0.01),
            (TrackState.TRACKING, 0.2),
            (TrackState.SUSPECT, 0.2),
            (TrackState.SUSPECT, 0.01),
            (TrackState.LOST, None),
        ]
    ):
        track = Track(frame=step, stamp_ns=0, object_id="mug", state=state, T_cam_obj=None, confidence=0.5)
        told.add(track, step=step, place=3, error=error, last=(0, "camera silent"))
    assert [(row["step"], row["frames_after"], row["after"]) for row in told.wrong] == [(1, 1, "camera silent")]
    assert (told.errors, told.right_suspects) == ([0.01, 0.2], 1)
