"""The watch on depth that does not lie on colour: told once, in chunks, and only by enough images."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import pytest

from storm_edge.frame import Frame
from storm_edge.live.camera_doubt import CameraDoubt
from storm_edge.live.config import StormConfig
from storm_edge.live.depth_offset_watch import DepthOffsetWatch
from storm_edge.live.session import Session
from storm_edge.pipeline.depth_offset import correlation
from storm_edge.pipeline.depth_offset.config import DepthOffsetConfig
from tests.pipeline.depth_offset.test_offset import moved, pictures

CONFIG = DepthOffsetConfig(pause=1)


def numbered(index: int, right: int) -> Frame:
    shown = pictures()
    frame = moved(shown[index % len(shown)], right, 0)
    return replace(frame, index=index, stamp_ns=index * 33_000_000)


@pytest.mark.parametrize(("right", "count"), [(8, 1), (0, 0)])
def test_a_session_remarks_it_once(right: int, count: int, caplog: pytest.LogCaptureFixture) -> None:
    with Session(config=StormConfig(depth_offset=CONFIG)) as session, caplog.at_level(logging.WARNING, "storm_edge"):
        for index in range(90):
            session.step(numbered(index, right))
        session.conclude()
        session.conclude()
        remarks = session.remarks
    assert len(remarks) == count
    assert [record.getMessage() for record in caplog.records] == remarks
    for remark in remarks:
        assert re.search("depth seems shifted against colour by about [789] px to the right", remark)
        assert "align depth to colour" in remark
        assert "\n" not in remark


def test_a_clear_offset_is_told_after_one_image_and_doubted() -> None:
    """A mug whose depth lay 8 px beside it was TRACKING for 40 frames, turned by 140 degrees."""
    for right, is_doubted in ((8, True), (3, False)):
        doubt = CameraDoubt(CONFIG)
        doubt.look(numbered(0, right), at_once=True)
        assert doubt.is_doubted is is_doubted
        assert len(doubt.remarks) == is_doubted


def test_one_image_decides_at_the_end_of_a_recording() -> None:
    watch = DepthOffsetWatch(CONFIG)
    watch.look(numbered(0, 8))
    assert watch.remark is None
    watch.conclude()
    assert watch.remark is not None


def test_a_frame_pays_for_a_chunk_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    row = correlation._Points.row
    monkeypatch.setattr(correlation._Points, "row", lambda *given: rows.append(0) or row(*given))
    watch = DepthOffsetWatch(CONFIG)
    for index in range(40):
        before = len(rows)
        watch.look(numbered(index, 0))
        assert len(rows) - before <= 2 * CONFIG.rows_per_chunk


def test_in_the_end_nothing_is_done_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = DepthOffsetWatch(replace(CONFIG, max_images=2))
    for index in range(6):
        watch.look(numbered(index, 0), at_once=True)
    assert watch._image_count == 2
    off = DepthOffsetWatch(replace(CONFIG, enabled=False))
    off.look(numbered(0, 8), at_once=True)
    off.conclude()
    assert off.remark is None


def test_another_image_size_begins_anew() -> None:
    watch = DepthOffsetWatch(CONFIG)
    for index in range(2):
        watch.look(numbered(index, 0), at_once=True)
    assert watch._image_count == 2
    frame = numbered(2, 0)
    watch.look(replace(frame, rgb=frame.rgb[::2, ::2].copy(), depth_m=frame.depth_m[::2, ::2].copy()), at_once=True)
    assert watch._image_count == 1
