"""The loop over a scene: starts, states, ages, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.scene import BopScene
from storm_edge.bop.writer import BopWriter
from storm_edge.choices import Init
from storm_edge.errors import ConfigError, SceneError, UnitError
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import exp_so3, invert, make_T
from storm_edge.live.config import SessionConfig
from storm_edge.live.factory import make_object_session, make_object_sessions
from storm_edge.live.object_session import check_apparent_size
from storm_edge.live.track_report import TrackState
from storm_edge.replay.follow import follow
from tests.staged import TABLE_DEPTH_M, Staged


def write_scene(
    staged: Staged, folder: Path, poses: list[np.ndarray | None], *, masked: int = 0, object_id: int = 1
) -> BopScene:
    """Pictures of the mug at centre-frame poses; None is a picture without it. One mask, at image ``masked``."""
    T_centre_obj = invert(staged.bundle.T_obj_centre)
    with BopWriter(folder) as writer:
        for index, T in enumerate(poses):
            frame = staged.frame(T if T is not None else staged.T_cam_centre)
            if T is None:
                frame.depth_m[:], frame.rgb[:] = TABLE_DEPTH_M, 115
            indexed = Frame(rgb=frame.rgb, depth_m=frame.depth_m, K=frame.K, index=index)
            labels = [] if T is None else [GroundTruth(object_id=object_id, T_cam_obj=T @ T_centre_obj)]
            masks = [staged.mask(T)] if T is not None and index == masked else []
            writer.add(indexed, labels, masks=masks, masks_visib=masks)
    return BopScene(folder)


def shifted(T: np.ndarray, x_m: float) -> np.ndarray:
    return make_T(T[:3, :3], T[:3, 3] + [x_m, 0.0, 0.0])


@pytest.mark.parametrize("init", [Init.MASK, Init.GT])
def test_follows_from_the_first_mask_or_label(staged: Staged, tmp_path: Path, init: Init) -> None:
    T = staged.T_cam_centre
    poses = [None, *(shifted(T, 0.004 * step) for step in range(5))]
    scene = write_scene(staged, tmp_path / "scene", poses, masked=1)
    tracks = [track for _, (track,) in follow(scene, [make_object_session(staged.item, None)], init=init)]
    assert [track.state for track in tracks] == [TrackState.SEARCHING] + [TrackState.TRACKING] * 5
    assert tracks[0].T_cam_obj is None
    assert tracks[0].pose_age_ms is None
    points = ModelPoints(staged.bundle.mesh.vertices)
    for track, T_true in zip(tracks[1:], poses[1:], strict=True):
        assert track.T_cam_obj is not None
        assert T_true is not None
        assert points.add(T_true, track.T_cam_obj @ staged.bundle.T_obj_centre) < 0.004
        assert track.pose_age_ms == 0.0
    first_stage = "register" if init is Init.MASK else "start"
    assert {"upload", first_stage} <= tracks[1].latency_ms.keys()
    assert {"upload", "track"} <= tracks[2].latency_ms.keys()


def test_a_lost_object_is_reported_lost_and_has_no_pose(staged: Staged, tmp_path: Path) -> None:
    T = staged.T_cam_centre
    scene = write_scene(staged, tmp_path / "scene", [T, T, *[None] * 8])
    tracks = [track for _, (track,) in follow(scene, [make_object_session(staged.item, None)], init=Init.GT)]
    states = [track.state for track in tracks]
    assert states[:2] == [TrackState.TRACKING] * 2
    assert TrackState.LOST in states[2:6]
    assert not {TrackState.TRACKING, TrackState.SUSPECT} & set(states[6:])
    for track in tracks:
        assert (track.T_cam_obj is None) == (track.state not in (TrackState.TRACKING, TrackState.SUSPECT))


def test_an_object_that_comes_back_elsewhere_is_found_and_forwarded(staged: Staged, tmp_path: Path) -> None:
    """It is gone for six frames, comes back 8 cm aside and turned, and moves on while registration works."""
    T = staged.T_cam_centre
    turn = exp_so3([0.0, 0.9, 0.3])
    back = [make_T(turn @ T[:3, :3], T[:3, 3] + [-0.08 + 0.002 * i, 0.01, 0.0]) for i in range(30)]
    scene = write_scene(staged, tmp_path / "scene", [T, T, *[None] * 6, *back])
    tracks = [track for _, (track,) in follow(scene, [make_object_session(staged.item, None)], init=Init.GT)]
    states = [track.state for track in tracks]
    found = states.index(TrackState.TRACKING, 8)
    assert TrackState.REGISTERING in states[8:found]
    assert set(states[found:]) == {TrackState.TRACKING}
    points = ModelPoints(staged.bundle.mesh.vertices)
    for track, T_true in zip(tracks[found:], back[found - 8 :], strict=True):
        assert track.T_cam_obj is not None
        assert track.pose_age_ms is not None
        assert track.pose_age_ms < 40.0  # a frame at most
        if track.pose_age_ms == 0.0:
            assert points.add(T_true, track.T_cam_obj @ staged.bundle.T_obj_centre) < 0.005


def test_found_by_the_model_alone(staged: Staged, tmp_path: Path) -> None:
    """Nothing is given. The first picture has no mug; once it is there it is found, and followed from there on."""
    T = staged.T_cam_centre
    poses = [None, *(shifted(T, 0.004 * step) for step in range(8))]
    scene = write_scene(staged, tmp_path / "scene", poses)
    (loop,) = make_object_sessions([staged.bundle], None)
    tracks = [track for _, (track,) in follow(scene, [loop], init=Init.AUTO)]
    found = [track.state for track in tracks].index(TrackState.TRACKING)
    assert 1 <= found <= 6  # a failed attempt waits for up to 0.2 s
    points = ModelPoints(staged.bundle.mesh.vertices)
    for track, T_true in zip(tracks[found:], poses[found:], strict=True):
        assert track.state is TrackState.TRACKING
        assert track.T_cam_obj is not None
        assert T_true is not None
        assert points.add(T_true, track.T_cam_obj @ staged.bundle.T_obj_centre) < 0.004


def test_lost_beyond_its_surroundings_it_is_found_in_the_whole_image(staged: Staged, tmp_path: Path) -> None:
    """It reappears 32 cm aside, out of reach of the local search."""
    T = staged.T_cam_centre
    back = [shifted(T, -0.32 + 0.002 * step) for step in range(45)]
    scene = write_scene(staged, tmp_path / "scene", [T, T, *[None] * 6, *back])
    (loop,) = make_object_sessions([staged.bundle], None)
    tracks = [track for _, (track,) in follow(scene, [loop], init=Init.GT)]
    states = [track.state for track in tracks]
    found = states.index(TrackState.TRACKING, 8)
    last = tracks[-1]
    assert set(states[found:]) == {TrackState.TRACKING}
    assert last.T_cam_obj is not None
    assert np.linalg.norm((last.T_cam_obj @ staged.bundle.T_obj_centre)[:3, 3] - back[-1][:3, 3]) < 0.005


def test_a_loop_without_a_detector_cannot_begin_by_itself(staged: Staged, tmp_path: Path) -> None:
    scene = write_scene(staged, tmp_path / "scene", [staged.T_cam_centre])
    with pytest.raises(ConfigError, match="no detector for mug"):
        next(follow(scene, [make_object_session(staged.item, None)], init=Init.AUTO))


def test_no_mask_in_the_whole_scene(staged: Staged, tmp_path: Path) -> None:
    scene = write_scene(staged, tmp_path / "scene", [staged.T_cam_centre], masked=5)
    with pytest.raises(SceneError, match="mask"):
        next(follow(scene, [make_object_session(staged.item, None)], init=Init.MASK))


def test_no_label_in_the_whole_scene(staged: Staged, tmp_path: Path) -> None:
    write_scene(staged, tmp_path / "scene", [staged.T_cam_centre])
    scene = BopScene(tmp_path / "scene", labels="other.json")
    with pytest.raises(SceneError, match="no frame with a pose label"):
        next(follow(scene, [make_object_session(staged.item, None)], init=Init.GT))


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_a_label_in_another_unit(staged: Staged, factor: float) -> None:
    frame = staged.frame()
    check_apparent_size(staged.bundle.diameter_m, staged.T_cam_centre, frame, SessionConfig())
    with pytest.raises(UnitError, match="--unit"):
        check_apparent_size(staged.bundle.diameter_m * factor, staged.T_cam_centre, frame, SessionConfig())
