"""Two instances of one model: two tracks, never of the same object twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.images import read_mask
from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.config.values import with_value
from storm_edge.errors import ConfigError, SceneError
from storm_edge.evaluate.metrics import mask_iou
from storm_edge.live import open_session
from storm_edge.live.config import StormConfig
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.instances import name_instances
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.replay.segment_scene import SegmentSceneOptions, segment_scene
from storm_edge.replay.track_scene import TrackSceneOptions, track_scene
from tests.replay.test_labels import at, box, write_scene

__all__ = ["box"]  # a fixture

SAME = {1: 1, 2: 1, 3: 1}
NAMES = ["obj_000001", "obj_000001#2"]


def places_of(tracks: Sequence[Track]) -> dict[str, int]:
    """Which box each instance follows at its last pose; fails where it is none."""
    found = {}
    for track in tracks:
        if track.T_cam_obj is not None:
            far = {place: np.linalg.norm(track.T_cam_obj[:3, 3] - at(place)[:3, 3]) for place in (1, 2, 3)}
            found[track.object_id] = min(far, key=lambda place: far[place])
            assert min(far.values()) < 0.01
    return found


def run(path: Path, bundles: Sequence[ObjectBundle], init: Init, **more: object) -> list[Track]:
    options = TrackSceneOptions(init=init, pictures=False, **more)
    return track_scene(BopScene(path), bundles, None, path.parent / "out", options).tracks


def test_instances_get_names_of_their_own(box: ObjectBundle) -> None:
    named = name_instances([box, replace(box, object_id="other"), box, box])
    assert [bundle.object_id for bundle in named] == ["obj_000001", "other", "obj_000001#2", "obj_000001#3"]
    assert [bundle.bop_id for bundle in named] == [1, None, 1, 1]
    stranger = replace(box, source=replace(box.source, sha256="0" * 64))
    with pytest.raises(ConfigError, match=r"two models named obj_000001.*another --id"):
        name_instances([box, stranger])


@pytest.mark.parametrize("init", list(Init))
def test_two_instances_are_two_tracks(tmp_path: Path, box: ObjectBundle, init: Init) -> None:
    write_scene(tmp_path / "scene", [[1, 2]] * 5, numbers=SAME)
    tracks = run(tmp_path / "scene", [box, box], init)
    assert [track.object_id for track in tracks[:2]] == NAMES
    assert all(track.state is TrackState.TRACKING for track in tracks[-4:])
    for frame in range(5):
        places = places_of([track for track in tracks if track.frame == frame])
        assert len(set(places.values())) == len(places)
    if init is not Init.AUTO:
        assert places_of(tracks) == {"obj_000001": 1, "obj_000001#2": 2}
    assert set(places_of(tracks).values()) == {1, 2}


@pytest.mark.parametrize("init", list(Init))
def test_the_batched_tracker_follows_two_instances(tmp_path: Path, box: ObjectBundle, init: Init) -> None:
    """Both share the buffers of one mesh, and each keeps its own pose."""
    write_scene(tmp_path / "scene", [[1, 2]] * 4, numbers=SAME)
    config = with_value(StormConfig(), "session.tracker", "batched")
    tracks = run(tmp_path / "scene", [box, box], init, config=config)
    assert [track.object_id for track in tracks[:2]] == NAMES
    assert all(track.state is TrackState.TRACKING for track in tracks[-4:])
    assert set(places_of(tracks[-2:]).values()) == {1, 2}
    if init is not Init.AUTO:
        assert places_of(tracks) == {"obj_000001": 1, "obj_000001#2": 2}


@pytest.mark.parametrize("init", [Init.MASK, Init.GT])
def test_a_second_instance_that_enters_later_takes_the_free_label(
    tmp_path: Path, box: ObjectBundle, init: Init
) -> None:
    """In the image where it enters, the labels have changed their order: the second is the first instance's."""
    write_scene(tmp_path / "scene", [[1]] * 2 + [[2, 1]] * 3, numbers=SAME)
    tracks = run(tmp_path / "scene", [box, box], init)
    assert places_of(tracks) == {"obj_000001": 1, "obj_000001#2": 2}
    with pytest.raises(SceneError, match="obj_000001#3"):
        run(tmp_path / "scene", [box] * 3, init)


@pytest.mark.parametrize("paced", [False, True])
def test_one_object_is_not_found_twice(tmp_path: Path, box: ObjectBundle, paced: bool) -> None:
    write_scene(tmp_path / "scene", [[1]] * 6, numbers=SAME)
    tracks = run(tmp_path / "scene", [box, box], Init.AUTO, paced=paced, rate_hz=2.0)
    for frame in {track.frame for track in tracks}:
        assert sum(track.T_cam_obj is not None for track in tracks if track.frame == frame) <= 1
    assert paced or sum(track.T_cam_obj is not None for track in tracks) == len(tracks) / 2


@pytest.mark.parametrize("verified", [True, False])
def test_masks_of_two_instances_are_two_masks(tmp_path: Path, box: ObjectBundle, verified: bool) -> None:
    scene = write_scene(tmp_path / "scene", [[1, 2], [1]], numbers=SAME)
    segmenter = Segmenter(None, config=SegmentConfig(source=Source.COLOUR))
    options = SegmentSceneOptions(verified=verified, pictures=False)
    found = segment_scene(scene, [box, box], segmenter, tmp_path / "out", options).summary["results"]
    assert [entry["object"] for entry in found] == NAMES * 2
    assert [entry["found"] for entry in found[:3]] == [True, True, True]
    assert found[3]["found"] is False or not verified
    first, second = (read_mask(tmp_path / "out" / entry["mask"]) for entry in found[:2])
    assert mask_iou(first, second) < (0.05 if verified else 0.3)


def test_a_session_takes_a_bundle_twice_under_two_names(tmp_path: Path, box: ObjectBundle) -> None:
    scene = write_scene(tmp_path / "scene", [[1, 2]] * 4, numbers=SAME)
    with open_session([box], None) as session:
        with pytest.raises(ConfigError, match=r"add_object\(bundle, name='obj_000001#2'\)"):
            session.add_object(box)
        session.add_object(box, name="second")
        tracks = [track for frame in scene for track in session.step(frame).tracks]
    assert set(places_of(tracks).values()) == {1, 2}
    assert set(places_of(tracks)) == {"obj_000001", "second"}
