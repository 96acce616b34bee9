"""Calls of a session that cannot be right: refused at once, in one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from storm_edge.errors import ConfigError, FrameError, InputError, UnitError
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert
from storm_edge.live import open_session
from storm_edge.live.factory import make_object_session
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Session
from storm_edge.live.track_report import FrameResult, Track
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from tests.live.test_session import at, named
from tests.staged import Staged


@pytest.mark.parametrize("wrong", [None, np.zeros((480, 640, 3), dtype=np.uint8), {"rgb": 1}])
def test_what_is_no_frame(wrong: object) -> None:
    with pytest.raises(FrameError, match=r"got \w+, expected a Frame; make one .*checked_frame"):
        Session().step(wrong)  # type: ignore[arg-type]


def test_frames_that_came_before_are_named_results(staged: Staged) -> None:
    session, frame = Session(), staged.frame()
    assert session.step(at(frame, 5)) == FrameResult(tracks=[])
    assert session.step(at(frame, 5)) == FrameResult(skipped_reason=SkipReason.REPEATED)
    late = session.step(at(frame, 3))
    assert (late.is_skipped, late.skipped_reason) == (True, SkipReason.OUT_OF_ORDER)


def test_an_object_twice(staged: Staged) -> None:
    a, again = (make_object_session(staged.item, None) for _ in range(2))
    with pytest.raises(ConfigError, match="mug twice"):
        Session([a, again])
    session = Session([a])
    with pytest.raises(ConfigError, match="mug twice"):
        session.add(again)
    with open_session([staged.bundle], None) as opened, pytest.raises(ConfigError, match="mug twice"):
        opened.add_object(staged.bundle)


def test_an_object_on_another_device(staged: Staged) -> None:
    item = make_object_session(staged.item, None)
    item.device = "cuda:1"
    for call in (lambda: Session([item]), lambda: Session().add(item)):
        with pytest.raises(ConfigError, match="device cuda:1, expected cpu like its session"):
            call()


def test_a_session_after_its_end(staged: Staged) -> None:
    with open_session([staged.bundle], None, background=True) as session:
        pass
    session.close()
    calls: list[Callable[[], object]] = [
        lambda: session.step(staged.frame()),
        lambda: session.add_object(named(staged, "b").bundle),
        lambda: session.add(make_object_session(named(staged, "b").item, None)),
        session.__enter__,
    ]
    for call in calls:
        with pytest.raises(InputError, match="a call after close, expected an open session; open another session"):
            call()


def test_a_session_that_makes_no_objects(staged: Staged) -> None:
    with pytest.raises(ConfigError, match="open the session with open_session"):
        Session().add_object(staged.bundle)


def started_at(staged: Staged, T_cam_obj: np.ndarray) -> FrameResult:
    def initialize(item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track | None:
        return item.start(frame, buffers, T_cam_obj)

    return Session([make_object_session(staged.item, None)]).step(at(staged.frame(), 0), initialize=initialize)


def test_a_given_pose_must_be_rigid_and_in_metres(staged: Staged) -> None:
    T = staged.T_cam_centre @ invert(staged.bundle.T_obj_centre)
    assert started_at(staged, T).tracks[0].T_cam_obj is not None
    scaled = T.copy()
    scaled[:3, :3] *= 2.0
    with pytest.raises(InputError):
        started_at(staged, scaled)
    millimetres = T.copy()
    millimetres[:3, 3] *= 1000.0
    with pytest.raises(UnitError):
        started_at(staged, millimetres)
    with pytest.raises(InputError):
        started_at(staged, T[:3])


def test_objects_are_added_to_an_open_session(staged: Staged) -> None:
    with open_session([], None) as session:
        added = session.add_object(staged.bundle)
        assert session.objects == (added,)
        (track,) = session.step(at(staged.frame(), 0)).tracks
        assert track.object_id == "mug"
        other = replace(staged.bundle, object_id="other")
        assert session.add_object(other).group is added.group
        assert [track.object_id for track in session.step(at(staged.frame(), 1)).tracks] == ["mug", "other"]
