"""Pairs of crops: the file they are in, and how a tracked recording becomes some."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.images import read_rgb
from storm_edge.bop.scene import BopScene
from storm_edge.errors import InputError
from storm_edge.evaluate.predictions import Prediction
from storm_edge.geometry.se3 import make_T
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.training_data.pair_file import read_crop, read_pairs
from storm_edge.training_data.track_pairs import PairOptions, make_pairs
from tests.tiny_scene import MODEL, pose, write_tiny_scene

FRAMES = 5
NAME = "obj_000003"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_scene(tmp_path_factory.mktemp("scene") / "tiny", frame_count=FRAMES)


@pytest.fixture(scope="module")
def bundle(scene: Path) -> ObjectBundle:
    return onboard(scene / MODEL, "mm", view_subdivisions=0)


def tracked(states: list[str], *, off_m: dict[int, float] | None = None) -> list[Prediction]:
    """A run: the true poses, moved sideways where ``off_m`` says so."""
    off_m = off_m or {}
    return [
        Prediction(
            frame_id=frame,
            object_id=NAME,
            T_cam_obj=None if state == "LOST" else make_T(np.eye(3), [off_m.get(frame, 0.0), 0, 0]) @ pose(frame),
            score=1.0,
            state=state,
        )
        for frame, state in enumerate(states)
    ]


def test_labels_come_from_the_ground_truth(scene: Path, bundle: ObjectBundle, tmp_path: Path) -> None:
    run = tracked(["TRACKING"] * FRAMES, off_m={2: 0.1, 3: 0.001})
    made = make_pairs(BopScene(scene), run, [bundle], tmp_path / "out", options=PairOptions(lag=0))
    assert (made.right, made.lost, made.labelled_by) == (3, 1, "ground truth")
    pairs = read_pairs(tmp_path / "out")
    assert [pair.label for pair in pairs] == [1, 0, 1, 1]
    assert {pair.memory.name for pair in pairs} == {f"000000_{NAME}.png"}
    assert [pair.current.name for pair in pairs] == [f"{n:06d}_{NAME}.png" for n in (1, 2, 3, 4)]
    picture = read_rgb(pairs[0].current)
    assert picture.shape == (224, 224, 3)
    np.testing.assert_allclose(read_crop(pairs[0].current).mean(), 0.0, atol=2.5)
    named = {line for pair in pairs for line in (pair.current, pair.memory)}
    assert named == set((tmp_path / "out" / "crops").iterdir())


def test_a_pose_that_stays_behind_makes_pairs_of_lost_tracks(
    scene: Path, bundle: ObjectBundle, tmp_path: Path
) -> None:
    options = PairOptions(lag=3, right_share=0.01)
    made = make_pairs(BopScene(scene), tracked(["TRACKING"] * FRAMES), [bundle], tmp_path / "out", options=options)
    assert (made.right, made.lost) == (4, 2)
    lost = [pair.current.name for pair in read_pairs(tmp_path / "out") if not pair.label]
    assert lost == [f"000003_{NAME}_behind.png", f"000004_{NAME}_behind.png"]


def test_without_labels_the_runs_verdict_counts(scene: Path, bundle: ObjectBundle, tmp_path: Path) -> None:
    unlabelled = BopScene(scene, labels="none.json")
    run = tracked(["TRACKING", "TRACKING", "SUSPECT", "TRACKING", "SUSPECT"])
    made = make_pairs(unlabelled, run, [bundle], tmp_path / "a", options=PairOptions(lag=0))
    assert (made.right, made.lost) == (2, 0)  # a doubt that passed, or did not end, says nothing
    run = tracked(["TRACKING", "TRACKING", "SUSPECT", "LOST", "TRACKING"])
    made = make_pairs(unlabelled, run, [bundle], tmp_path / "b", options=PairOptions(lag=0))
    assert (made.right, made.lost, made.labelled_by) == (1, 1, "the run's verdict")


def test_a_wrong_registration_is_not_remembered(scene: Path, bundle: ObjectBundle, tmp_path: Path) -> None:
    run = tracked(["TRACKING"] * FRAMES, off_m={0: 0.2})
    make_pairs(BopScene(scene), run, [bundle], tmp_path / "out", options=PairOptions(lag=0))
    assert {pair.memory.name for pair in read_pairs(tmp_path / "out")} == {f"000001_{NAME}.png"}


def test_no_pair_and_no_track_are_refused_and_leave_nothing(
    scene: Path, bundle: ObjectBundle, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no pair"):
        make_pairs(BopScene(scene), tracked(["LOST"] * FRAMES), [bundle], tmp_path / "out")
    other = [Prediction(frame_id=0, object_id="cup", T_cam_obj=pose(0), score=1.0, state="TRACKING")]
    with pytest.raises(InputError, match="tracks of cup"):
        make_pairs(BopScene(scene), other, [bundle], tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "no JSON"),
        ('{"a": "x.png", "label": 1}', "other keys"),
        ('{"a": "x.png", "b": "x.png", "label": 2}', "label 2"),
        ('{"a": "x.png", "b": "y.png", "label": 1}', "no picture"),
        ("", "no pair"),
    ],
)
def test_broken_files_of_pairs_are_one_line(tmp_path: Path, line: str, found: str) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "pairs.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=found) as caught:
        read_pairs(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_names_of_upstreams_trainer_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "p.jsonl").write_text(
        json.dumps({"img1": "x.png", "img2": str(tmp_path / "x.png"), "label": 0}) + "\n"
    )
    (pair,) = read_pairs(tmp_path / "p.jsonl")
    assert pair.current == pair.memory == tmp_path / "x.png"
    assert pair.label == 0
