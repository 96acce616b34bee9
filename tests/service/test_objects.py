"""Objects of a service that come and go."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storm_edge.bop.scene import BopScene
from storm_edge.live.factory import open_session
from storm_edge.objects.onboard import onboard
from storm_edge.service.objects import TrackedObjects, WantedObject
from tests.tiny_scene import MODEL, write_tiny_scene


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Python looks for cycles by itself so rarely in a loop that it is as good as never."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_what_a_removed_object_held_is_freed_at_once(tmp_path: Path, no_collection: None) -> None:
    path = write_tiny_scene(tmp_path / "scene")
    bundle = onboard(path / MODEL, "mm", view_subdivisions=1)
    scene = BopScene(path)
    with open_session([bundle], None) as session:
        objects = TrackedObjects(session, is_beside=False)
        objects.add(WantedObject(bundle=replace(bundle, object_id="other"), path=path))
        assert objects.admit_ready() is None
        session.step(scene.frame(scene.frame_ids[0]))
        added = weakref.ref(session.objects[-1])
        objects.remove("other")
        assert added() is None
