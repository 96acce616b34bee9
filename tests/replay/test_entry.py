"""An object that enters the image begins when enough of it is seen, or when there is nothing more to wait for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.scene import BopScene
from storm_edge.bop.writer import BopWriter
from storm_edge.choices import Init
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert, make_T
from storm_edge.live.config import StormConfig
from storm_edge.live.factory import make_object_session
from storm_edge.live.track_report import TrackState
from storm_edge.replay.entry import EntryCheck
from storm_edge.replay.follow import follow
from tests.staged import Staged


def to_the_left(staged: Staged, shown: float) -> np.ndarray:
    """The pose from which about so much of the mug's mask is left in the image."""
    T, whole = staged.T_cam_centre, np.count_nonzero(staged.mask(staged.T_cam_centre))
    for x_m in np.arange(0.0, 1.0, 0.005):
        moved = make_T(T[:3, :3], T[:3, 3] - [x_m, 0.0, 0.0])
        if np.count_nonzero(staged.mask(moved)) <= shown * whole:
            return moved
    raise AssertionError


def write_scene(staged: Staged, folder: Path, poses: list[np.ndarray], masked: set[int]) -> BopScene:
    with BopWriter(folder) as writer:
        for index, T in enumerate(poses):
            frame = staged.frame(T)
            label = GroundTruth(object_id=1, T_cam_obj=T @ invert(staged.bundle.T_obj_centre))
            masks = [staged.mask(T)] if index in masked else []
            indexed = Frame(rgb=frame.rgb, depth_m=frame.depth_m, K=frame.K, index=index)
            writer.add(indexed, [label], masks=masks, masks_visib=masks)
    return BopScene(folder)


def states(staged: Staged, scene: BopScene) -> list[TrackState]:
    item = make_object_session(staged.item, None)
    return [track.state for _, (track,) in follow(scene, [item], init=Init.MASK)]


def test_a_sliver_is_not_enough_and_what_the_edge_does_not_cut_is(staged: Staged) -> None:
    check = EntryCheck(staged.bundle.mesh_lod, StormConfig())
    for shown, enough in ((0.1, False), (0.7, True), (1.0, True)):
        T = to_the_left(staged, shown)
        assert check.is_enough(staged.frame(T), staged.mask(T)) is enough
    frame, mask = staged.frame(staged.T_cam_centre), staged.mask(staged.T_cam_centre)
    few = mask & (np.cumsum(mask).reshape(mask.shape) < 30)
    assert check.is_enough(frame, few)  # hidden, not entering: nothing says that there will be more


@pytest.mark.parametrize(
    ("masked", "waits"), [({0, 1, 2, 3, 4}, 2), ({0}, 0), ({0, 1}, 1)], ids=["later masks", "one mask", "two slivers"]
)
def test_it_begins_with_the_first_mask_that_is_enough_or_the_last(
    staged: Staged, tmp_path: Path, masked: set[int], waits: int
) -> None:
    poses = [to_the_left(staged, shown) for shown in (0.08, 0.15, 0.8, 0.85, 0.9)]
    found = states(staged, write_scene(staged, tmp_path / "scene", poses, masked))
    assert found[:waits] == [TrackState.SEARCHING] * waits
    assert TrackState.SEARCHING not in found[waits : waits + 1]
    if waits == 2:
        assert found[2:] == [TrackState.TRACKING] * 3


def test_one_that_stays_at_the_edge_begins_after_a_while(staged: Staged, tmp_path: Path) -> None:
    wait = StormConfig().session.entry_wait_frames
    scene = write_scene(staged, tmp_path / "scene", [to_the_left(staged, 0.1)] * (wait + 2), set(range(wait + 2)))
    found = states(staged, scene)
    assert found[:wait] == [TrackState.SEARCHING] * wait
    assert found[wait] is not TrackState.SEARCHING
