"""Every image is registered anew from its masks; what is done is kept in a journal. Registration is played here."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.bop.detections import ImageDetection
from storm_edge.bop.results import read_bop_csv
from storm_edge.bop.scene import BopScene
from storm_edge.bop.scene_pred import read_scene_pred
from storm_edge.errors import FrameError, InputError, SceneError
from storm_edge.evaluate.mask_results import MaskResult
from storm_edge.frame import Frame
from storm_edge.live.config import StormConfig
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.replay.estimate_scene import Estimator, estimate_scene
from storm_edge.replay.journal import Journal
from storm_edge.replay.mask_sources import DetectionMasks, LabelMasks, ResultMasks, check_detections
from tests.run_contents import contents
from tests.tiny_scene import MODEL, OBJECT_ID, pose, write_tiny_scene


class Played(Estimator):
    """Gives the true pose of every image; ends the process, so to speak, when it is asked too often."""

    def __init__(self, *, most: int = 99) -> None:
        super().__init__(None, StormConfig())
        self.asked: list[int] = []
        self._most = most

    def estimate(self, frame: Frame, bundle: ObjectBundle, mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
        if len(self.asked) == self._most:
            raise KeyboardInterrupt
        self.asked.append(frame.index)
        return None if frame.index == 3 else pose(frame.index)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> BopScene:
    return BopScene(write_tiny_scene(tmp_path_factory.mktemp("s") / "000007", frame_count=4))


@pytest.fixture(scope="module")
def thing(scene: BopScene) -> ObjectBundle:
    return onboard(scene.path / MODEL, "mm", view_subdivisions=0)


def test_poses_of_all_images_are_left(scene: BopScene, thing: ObjectBundle, tmp_path: Path) -> None:
    out, journal = tmp_path / "out", tmp_path / "j" / "1.jsonl"
    run = estimate_scene(scene, [thing], Played(), LabelMasks(scene), out, journal=journal)
    assert (run.summary["frame_count"], run.summary["pose_count"]) == (4, 3)
    assert run.summary["missed"] == {"no_mask": 0, "not_registered": 1}
    for found in (read_bop_csv(out / "bop_results.csv"), read_scene_pred(out / "scene_pred.json")):
        assert [(e.image_id, e.object_id) for e in found] == [(i, OBJECT_ID) for i in range(3)]
        np.testing.assert_allclose([e.T_cam_obj for e in found], [pose(i) for i in range(3)], atol=1e-6)
    assert [e.scene_id for e in read_bop_csv(out / "bop_results.csv")] == [7] * 3
    assert not journal.parent.exists()


def test_a_run_that_ended_goes_on_at_the_next_image(scene: BopScene, thing: ObjectBundle, tmp_path: Path) -> None:
    whole, out, journal = tmp_path / "whole", tmp_path / "out", tmp_path / "1.jsonl"
    estimate_scene(scene, [thing], Played(), LabelMasks(scene), whole, journal=tmp_path / "2.jsonl")
    with pytest.raises(KeyboardInterrupt):
        estimate_scene(scene, [thing], Played(most=2), LabelMasks(scene), out, journal=journal)
    assert not out.exists()
    with journal.open("a") as stream:
        stream.write('{"frame": 2, "esti')  # a line that a kill tore
    again = Played()
    estimate_scene(scene, [thing], again, LabelMasks(scene), out, journal=journal)
    assert again.asked == [2, 3]
    assert contents(out) == contents(whole)


def test_a_missing_mask_is_one_line_and_the_rest_is_kept(thing: ObjectBundle, tmp_path: Path) -> None:
    scene = BopScene(write_tiny_scene(tmp_path / "s"))
    mask = scene.path / "mask_visib" / "000001_000000.png"
    kept = mask.read_bytes()
    mask.unlink()
    first, again, journal = Played(), Played(), tmp_path / "1.jsonl"
    with pytest.raises(SceneError, match=r"000001_000000\.png"):
        estimate_scene(scene, [thing], first, LabelMasks(scene), tmp_path / "out", journal=journal)
    mask.write_bytes(kept)
    estimate_scene(scene, [thing], again, LabelMasks(scene), tmp_path / "out", journal=journal)
    assert (first.asked, again.asked) == ([0], [1])


def test_masks_of_a_segmentation_are_taken_best_first(scene: BopScene, thing: ObjectBundle) -> None:
    places = [scene.path / "mask_visib" / f"{i:06d}_000000.png" for i in (0, 1)]
    results = [
        MaskResult(frame_id=0, object_id=name, path=path, score=score, time_s=0.0)
        for name, path, score in (("obj_000003", places[0], 0.2), ("obj_000003#2", places[1], 0.9))
    ]
    frame = scene.frame(0)
    source = ResultMasks([*results, MaskResult(frame_id=1, object_id="obj_000003", path=None, score=0.1, time_s=0.0)])
    assert [m.score for m in source.masks(frame, thing, 1)] == [0.9]
    assert [m.score for m in source.masks(frame, thing, 2)] == [0.9, 0.2]
    assert source.masks(scene.frame(1), thing, 1) == []


def detection(**more: object) -> ImageDetection:
    values: dict[str, object] = {"scene_id": 7, "image_id": 0, "object_id": OBJECT_ID, "score": 1.0, "time_s": -1.0}
    values |= {"runs": {"counts": [10, 20, 72 * 96 - 30], "size": [72, 96]}, "what": "d.json entry 0", **more}
    return ImageDetection(**values)  # type: ignore[arg-type]


def test_detections_of_something_else_are_one_line(scene: BopScene, thing: ObjectBundle) -> None:
    assert DetectionMasks([detection()], scene).masks(scene.frame(0), thing, 1)[0].mask.sum() == 20
    with pytest.raises(InputError, match="entry 0: got image 99"):
        DetectionMasks([detection(image_id=99)], scene)
    for more, said in (({"scene_id": 8}, "scene 8"), ({"object_id": 5}, "object 5")):
        with pytest.raises(InputError, match=f"d.json entry 0: got {said}"):
            check_detections([detection(**more)], {7: "000007"}, [OBJECT_ID], "tiny")
    small = detection(runs={"counts": [0, 4], "size": [2, 2]})
    with pytest.raises(FrameError, match="entry 0: got size"):
        DetectionMasks([small], scene).masks(scene.frame(0), thing, 1)


def test_a_journal_drops_what_is_torn_and_all_after_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "j.jsonl"
    path.parent.mkdir()
    path.write_bytes(b'{"frame": 1}\n{"frame": \n{"frame": 3}\n')
    with suppress(RuntimeError), Journal(path) as journal:
        assert journal.entries == [{"frame": 1}]
        journal.write({"frame": 2})
        raise RuntimeError
    assert path.read_text() == '{"frame": 1}\n{"frame": 2}\n'
    with Journal(path) as journal:
        assert [entry["frame"] for entry in journal.entries] == [1, 2]
    assert not path.parent.exists()
