"""The tasks that networks are judged by, on pictures whose answer is known from how they were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.cases.network_tasks import Judge, Sample, summary
from storm_edge.engines.bundle import NetworkBundle
from tests.nano_with_score import write_nano_with_score, write_nano_without_score
from tests.pipeline.side.sides import bundle_of, marked_box, mug, picture, pose


def _sample(T_cam_centre: np.ndarray) -> Sample:
    mesh = marked_box()
    frame = picture(mesh, T_cam_centre)
    return Sample(
        kind="synthetic",
        scene="drawn",
        bundle=bundle_of(mesh),
        frame=frame,
        T_cam_centre=T_cam_centre,
        mask=frame.depth_m < 0.8,  # the wall is farther
        pose_is_unique=True,
    )


def test_the_judge_of_sides_prefers_the_drawn_side_of_a_marked_box(tmp_path: Path) -> None:
    """Seen from its mark; two of the three turns by half hide the mark, one leaves it upside down."""
    bare = NetworkBundle.load(write_nano_without_score(tmp_path / "bare"))
    told = list(Judge(bare).side(_sample(pose(80.0)), np.random.default_rng(0)))
    assert [row["task"] for row in told] == ["side, judged"] * 3
    assert all(row["is_right"] and not row["is_tied"] for row in told)


def test_a_scorenet_is_asked_for_the_side_where_the_bundle_has_one(tmp_path: Path) -> None:
    networks = NetworkBundle.load(write_nano_with_score(tmp_path / "mine"))
    told = list(Judge(networks).side(_sample(pose(80.0)), np.random.default_rng(0)))
    assert [row["task"] for row in told] == ["side", "side, judged"] * 3
    launches = networks.launch_counts.by_network()
    assert (launches["score_features"], launches["score_attention"]) == (3, 3)


def test_a_candidate_on_another_thing_is_not_on_the_object() -> None:
    """A mug is asked for in a picture of a box: map and first candidate are held against an empty mask."""
    sample = _sample(pose(80.0))
    wrong = Sample(
        kind="synthetic",
        scene="drawn",
        bundle=bundle_of(mug()),
        frame=sample.frame,
        T_cam_centre=None,
        mask=np.zeros_like(sample.mask),
        pose_is_unique=True,
    )
    judge = Judge(NetworkBundle.load("nano"))
    (own,), (other,) = judge.first_look(sample), judge.first_look(wrong)
    assert own["on_object"] == (own["first_iou"] > 0.5)
    assert other["first_iou"] == 0.0
    assert not other["on_object"]


def test_the_summary_has_the_figures_of_what_was_asked() -> None:
    rows = [
        {"task": "first look", "iou": 0.5, "first_iou": 0.8, "on_object": True},
        {"task": "first look", "iou": 0.7, "first_iou": 0.2, "on_object": False},
        {"task": "side, judged", "is_right": True, "is_tied": True},
        {"task": "side, judged", "is_right": False, "is_tied": False},
    ]
    figures = summary(rows)
    assert figures["first_look_iou"] == np.mean([0.5, 0.7])
    assert figures["first_candidate_iou"] == np.mean([0.8, 0.2])
    assert figures["first_candidate_on_object"] == 0.5
    assert figures["side_judged_right"] == 0.5
    assert figures["side_judged_tied"] == 0.5
    assert "side_right" not in figures
