"""Actions: each has its handler."""

from __future__ import annotations

from typing import get_args

from storm_edge.live import executor, state_machine
from storm_edge.live.events import Action, Event, NothingFound, SearchImage
from storm_edge.live.factory import make_object_session
from storm_edge.live.object_state import ObjectState
from tests.staged import Staged


def test_every_action_and_every_event_is_dispatched_by_its_type() -> None:
    assert executor._HANDLERS.keys() == set(get_args(Action))
    assert state_machine._TRANSITIONS.keys() == set(get_args(Event))


def test_a_search_is_work_for_the_lane(staged: Staged) -> None:
    """Without a detector it finds nothing, but only when its chunk is done."""
    item = make_object_session(staged.item, None)
    item._executor.execute(SearchImage(attempt=4, frame=0), ObjectState())
    assert item._lane.is_pending
    assert item._lane.run_chunk() == NothingFound(attempt=4)
