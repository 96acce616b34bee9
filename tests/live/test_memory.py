"""An object that is removed is gone at once, with its networks and its buffers, and nothing grows by it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace

import pytest

from storm_edge.choices import TrackerKind
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert
from storm_edge.live.config import StormConfig
from storm_edge.live.factory import open_session
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.track_report import Track
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from tests.staged import Staged

PERIOD_NS = 33_333_333


@pytest.fixture
def without_collection() -> Iterator[None]:
    """Python looks for no cycles meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_an_engine_that_nobody_holds_is_freed_and_still_counted() -> None:
    networks = NetworkBundle.load("nano")
    engine = networks.open("tom_encode")
    freed = weakref.ref(engine)
    del engine
    assert freed() is None
    assert networks.launch_counts.by_network() == {"tom_encode": 0}


@pytest.mark.parametrize("kind", list(TrackerKind))
@pytest.mark.parametrize("is_found", [False, True], ids=["searched for", "tracked"])
@pytest.mark.usefixtures("without_collection")
def test_all_parts_of_an_object_are_freed_when_it_is_removed(
    staged: Staged, kind: TrackerKind, is_found: bool
) -> None:
    config = StormConfig()
    config = replace(config, session=replace(config.session, tracker=kind))
    picture = staged.frame() if is_found else staged.frame(hidden=(slice(0, 480), slice(0, 640)))

    def first(item: ObjectSession, frame: Frame, buffers: FrameBuffers) -> Track | None:
        if frame.index or not is_found:
            return None
        return item.start(frame, buffers, staged.T_cam_centre @ invert(staged.bundle.T_obj_centre))

    with open_session([], NetworkBundle.load("nano"), config=config) as session:
        item = session.add_object(staged.bundle)
        for index in range(3):
            session.step(replace(picture, index=index, stamp_ns=index * PERIOD_NS), initialize=first)
        assert item.state.has_pose == is_found
        parts = item._parts
        held = [item, parts.registrar, parts.detector, parts.network, parts.tracker, parts.item, parts.places]
        freed = [weakref.ref(part) for part in held]
        session.remove(staged.bundle.object_id)
        del item, parts, held
        assert [ref() for ref in freed] == [None] * len(freed)
