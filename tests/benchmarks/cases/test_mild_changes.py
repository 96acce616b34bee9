"""The case of mild changes, on a tiny scene, and what it counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cases.mild_changes import MildChangesOptions, Row, Task, good_frames, run_scene, summarised, tasks_of
from benchmarks.mild.changes import Change
from storm_edge.choices import Init
from storm_edge.errors import ConfigError, SceneError
from tests.tiny_scene import write_tiny_scene


def row(scene: str, change: Change, verdict: str) -> Row:
    return Row(scene=scene, init="mask", change=change.value, verdict=verdict, shares=None)


def test_verdicts_are_compared_with_that_of_the_scene_as_it_is() -> None:
    rows = [
        row("a", Change.NONE, "right"),
        row("a", Change.JPEG, "right"),
        row("a", Change.DARKER, "turned"),
        row("b", Change.NONE, "not found"),
        row("b", Change.JPEG, "not found"),
        row("b", Change.DARKER, "right"),
    ]
    figures = summarised(rows)["mask"]
    assert (figures["scenes_right"], figures["scenes"]) == (1, 2)
    assert (figures["same_verdict"], figures["copies"], figures["same_verdict_share"]) == (2, 4, 0.5)
    assert figures["same_by_change"] == {"jpeg": [2, 2], "darker": [0, 2]}
    assert figures["verdicts"]["a"] == {"none": "right", "jpeg": "right", "darker": "turned"}


def test_a_scene_is_followed_as_it_is_and_changed(tmp_path: Path) -> None:
    """Whatever the verdict: each copy is written, read and followed, the mirrored one with its own model."""
    scene = write_tiny_scene(tmp_path / "scene")
    changes = (Change.JPEG, Change.LATER, Change.MIRRORED)
    rows = run_scene(Task(path=scene, inits=(Init.MASK,), changes=changes, networks="none"))
    assert [row.change for row in rows] == ["none", "jpeg", "mirrored"]  # two frames have no later beginning
    assert {row.verdict for row in rows} == {"right"}


def test_names_are_checked_before_the_work(tmp_path: Path) -> None:
    write_tiny_scene(tmp_path / "data" / "scene")
    options = MildChangesOptions(real=tmp_path / "data", init="auto", changes="darker,later")
    (task,) = tasks_of(options)
    assert (task.inits, task.changes) == ((Init.AUTO,), (Change.DARKER, Change.LATER))
    for wrong in ({"scenes": "scene,cup"}, {"init": "gt"}, {"changes": "none"}):
        with pytest.raises(ConfigError, match="expected some of"):
            tasks_of(MildChangesOptions(real=tmp_path / "data", **wrong))
    with pytest.raises(SceneError, match="got no scene"):
        tasks_of(MildChangesOptions(real=tmp_path / "nowhere"))


def test_estimates_of_a_lower_class_are_not_judged(tmp_path: Path) -> None:
    assert good_frames(tmp_path) is None
    entries = {"0": {"quality": "A"}, "1": {"quality": "C"}, "2": {}}
    (tmp_path / "pose_quality.json").write_text(json.dumps({"note": "x", "frames": entries}))
    assert good_frames(tmp_path) == {0, 2}
