"""Labels and masks by number, in every image anew: objects enter later, lists change their order, ids are others'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.scene import BopScene
from storm_edge.bop.writer import BopWriter
from storm_edge.choices import Init
from storm_edge.errors import SceneError
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.renderer import render
from storm_edge.live.factory import make_object_sessions
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.replay.follow import follow
from storm_edge.replay.labels import labelled_objects
from tests.tiny_scene import SIZE_PX, WALL_M, K, box_mesh, pose

PLACES = {1: [0.0, 0.0, 0.0], 2: [-0.18, 0.0, 0.05], 3: [0.19, 0.02, 0.08]}
FRAMES = 6


def at(number: int) -> np.ndarray:
    T = pose(0)
    return make_T(T[:3, :3], T[:3, 3] + PLACES[number])


def write_scene(
    path: Path, labels: Sequence[Sequence[int]], *, numbers: dict[int, int] | None = None, masked: Sequence[int] = ()
) -> BopScene:
    """Boxes at `PLACES`; an image shows and labels those listed for it, in that order, under their numbers.

    Args:
        path: The folder.
        labels: Boxes of each image.
        numbers: Number of the label of a box where that is not its own.
        masked: Images with masks; none means all.
    """
    mesh = box_mesh()
    with BopWriter(path) as writer:
        for index, shown in enumerate(labels):
            rgb, depth_m = np.full((*SIZE_PX, 3), 90, dtype=np.uint8), np.full(SIZE_PX, WALL_M, dtype=np.float32)
            seen = {box: render(mesh, at(box), K, SIZE_PX) for box in shown}
            for picture in seen.values():
                mask = (picture.mask[0] > 0) & (picture.depth[0] < depth_m)
                rgb[mask], depth_m[mask] = picture.colour[0][mask] * 255.0, picture.depth[0][mask]
            masks = [(picture.mask[0] > 0) & (depth_m == picture.depth[0]) for picture in seen.values()]
            written = masks if not masked or index in masked else []
            items = [GroundTruth(object_id=(numbers or {}).get(box, box), T_cam_obj=at(box)) for box in shown]
            writer.add(Frame(rgb=rgb, depth_m=depth_m, K=K, index=index), items, masks=written, masks_visib=written)
    return BopScene(path)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> ObjectBundle:
    path = tmp_path_factory.mktemp("box") / "obj_000001.ply"
    write_ply(path, box_mesh())
    return onboard(path, "mm", view_subdivisions=1)


def named(box: ObjectBundle, *names: str) -> list[ObjectBundle]:
    return [replace(box, object_id=name) for name in names]


def numbered(box: ObjectBundle, *numbers: int) -> list[ObjectBundle]:
    return named(box, *(f"obj_{number:06d}" for number in numbers))


def run(scene: BopScene, bundles: Sequence[ObjectBundle], init: Init) -> dict[str, list[Track]]:
    found: dict[str, list[Track]] = {bundle.object_id: [] for bundle in bundles}
    for _, tracks in follow(scene, make_object_sessions(bundles, None), init=init):
        for track in tracks:
            found[track.object_id].append(track)
    return found


def assert_tracked(tracks: Sequence[Track], place: int, begins: int = 0) -> None:
    states = [track.state for track in tracks]
    assert states == [TrackState.SEARCHING] * begins + [TrackState.TRACKING] * (len(tracks) - begins)
    for track in tracks[begins:]:
        assert track.T_cam_obj is not None
        np.testing.assert_allclose(track.T_cam_obj[:3, 3], at(place)[:3, 3], atol=0.006)


@pytest.mark.parametrize("init", [Init.MASK, Init.GT])
def test_an_object_enters_later_and_keeps_nobody_waiting(tmp_path: Path, box: ObjectBundle, init: Init) -> None:
    scene = write_scene(tmp_path / "scene", [[2, 1]] * 3 + [[3, 1, 2]] * 3)
    found = run(scene, numbered(box, 1, 2, 3), init)
    for number, begins in ((1, 0), (2, 0), (3, 3)):
        assert_tracked(found[f"obj_{number:06d}"], number, begins)


@pytest.mark.parametrize("init", [Init.MASK, Init.GT])
def test_one_object_alone_never_takes_the_label_of_another(tmp_path: Path, box: ObjectBundle, init: Init) -> None:
    scene = write_scene(tmp_path / "scene", [[1]] * 3 + [[1, 2]] * 3)
    (tracks,) = run(scene, numbered(box, 2), init).values()
    assert_tracked(tracks, 2, begins=3)
    only_one = write_scene(tmp_path / "other", [[1]] * 2)
    with pytest.raises(SceneError, match=r"labels of objects \[1\], expected one of obj_000002"):
        run(only_one, numbered(box, 2), init)


def test_labels_change_their_order_where_the_masks_are(tmp_path: Path, box: ObjectBundle) -> None:
    scene = write_scene(tmp_path / "scene", [[1, 2]] * 2 + [[2, 1]] * 2, masked=[2])
    found = run(scene, numbered(box, 1, 2), Init.MASK)
    for number in (1, 2):
        assert_tracked(found[f"obj_{number:06d}"], number, begins=2)


@pytest.mark.parametrize("init", [Init.MASK, Init.GT])
def test_labels_that_end_do_not_end_the_track(tmp_path: Path, box: ObjectBundle, init: Init) -> None:
    path = tmp_path / "scene"
    write_scene(path, [[1, 2]] * 4)
    labels = path / "scene_gt.json"
    lines = labels.read_text().splitlines()
    labels.write_text("\n".join([lines[0], lines[1].rstrip(","), lines[-1]]) + "\n")
    (tracks,) = run(BopScene(path), numbered(box, 2), init).values()
    assert_tracked(tracks, 2)


def test_a_name_without_number_is_enough_where_there_is_one_number(tmp_path: Path, box: ObjectBundle) -> None:
    (mug,) = named(box, "mug")
    (own,) = labelled_objects(write_scene(tmp_path / "one", [[], [2]]), [mug])
    assert (own.number, own.index(0), own.index(1)) == (2, None, 0)
    with pytest.raises(SceneError, match=r"labels of objects \[1, 2\], expected one of mug; .*--init auto"):
        labelled_objects(write_scene(tmp_path / "two", [[1, 2]]), [mug])


def test_without_labels_the_order_of_objects_is_that_of_the_masks(tmp_path: Path, box: ObjectBundle) -> None:
    scene = write_scene(tmp_path / "scene", [[2, 1]] * 2)
    scene.labels_path.unlink()
    found = run(BopScene(scene.path), named(box, "second", "first"), Init.MASK)
    assert_tracked(found["second"], 2)
    assert_tracked(found["first"], 1)
    with pytest.raises(SceneError, match=r"no mask of third of instance 3|no mask of third"):
        run(BopScene(scene.path), named(box, "second", "first", "third"), Init.MASK)
    with pytest.raises(SceneError, match="no frame with a pose label"):
        run(BopScene(scene.path), named(box, "second"), Init.GT)
