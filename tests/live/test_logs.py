"""What the live path logs: changes of state and faults, nothing per tracked frame, and no handlers of its own."""

from __future__ import annotations

import logging

import pytest

from storm_edge.live.engine_recovery import LaneHealth
from storm_edge.live.factory import make_object_session
from storm_edge.live.lanes.scheduler import Lane
from storm_edge.live.session import Session
from tests.live.test_session import Starting, at, empty
from tests.staged import Staged


def test_changes_of_state_and_skipped_frames(staged: Staged, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="storm_edge.live")
    session, first = Session([make_object_session(staged.item, None)]), Starting(staged, mug=staged.T_cam_centre)
    for index in range(6):
        session.step(at(staged.frame(), index), initialize=first)
    (line,) = caplog.messages
    assert line.startswith("mug: SEARCHING -> TRACKING at frame 0: PoseGiven(")
    caplog.clear()
    session.step(at(staged.frame(), 5))
    assert caplog.messages == ["frame 5 skipped: repeated"]
    caplog.clear()
    for index in range(6, 12):
        session.step(at(empty(staged), index))
    assert any(line.startswith("mug: SUSPECT -> LOST at frame ") for line in caplog.messages)
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_a_fault_is_a_warning_and_the_recovery_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="storm_edge.live")
    LaneHealth().recover(Lane.TRACK, MemoryError("no more"), lambda: None)
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.WARNING, "track lane: no more"),
        (logging.INFO, "track lane: its engines were opened anew, the run goes on"),
    ]


def test_the_library_adds_no_handlers() -> None:
    names = [name for name in logging.root.manager.loggerDict if name.startswith("storm_edge.live")]
    assert names
    assert all(not logging.getLogger(name).handlers for name in names)
