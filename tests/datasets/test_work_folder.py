"""The folder of a long work: gone on with by the same work alone, and by one process at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from storm_edge.datasets.run import do_scenes
from storm_edge.datasets.shard import Shard, parse_shard
from storm_edge.datasets.work_folder import WORK, Work, WorkFolder
from storm_edge.errors import ConfigError, InputError, OutputError, RunFault

WORK_DONE = Work(
    command="storm-edge track", dataset="d", split="test", units=["1", "2", "3"], settings={"init": "gt"}
)


def finish(place: Path, ended_by: str | None = None) -> None:
    place.mkdir(parents=True)
    (place / "summary.json").write_text(json.dumps({"ended_by": ended_by}))


def test_shards_take_every_unit_once() -> None:
    units = [str(i) for i in range(7)]
    parts = [parse_shard(f"{i}/3").of(units) for i in (1, 2, 3)]
    assert sorted(unit for part in parts for unit in part) == units
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parse_shard(None).of(units) == units


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3", "1/" + "9" * 20])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--shard"):
        parse_shard(text)


def test_what_is_done_is_not_pending_and_what_ended_early_is(tmp_path: Path) -> None:
    with WorkFolder(tmp_path / "out", WORK_DONE) as work:
        finish(work.place("1"))
        finish(work.place("2"), "interrupted")
        assert work.pending() == ["2", "3"]
    with WorkFolder(tmp_path / "out", WORK_DONE) as work:
        assert work.pending() == ["2", "3"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(WORK_DONE, dataset="e"), "dataset"),
        (replace(WORK_DONE, units=["1"]), "units"),
        (replace(WORK_DONE, settings={"init": "mask"}), 'init "gt"'),
        (replace(WORK_DONE, command="storm-edge segment"), "storm-edge segment"),
    ],
)
def test_another_work_is_refused(tmp_path: Path, other: Work, said: str) -> None:
    with WorkFolder(tmp_path / "out", WORK_DONE):
        pass
    with pytest.raises(OutputError, match=said), WorkFolder(tmp_path / "out", other):
        pass
    with pytest.raises(OutputError, match="shard"), WorkFolder(tmp_path / "out", WORK_DONE, Shard(1, 2)):
        pass


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        WorkFolder(tmp_path / "out", WORK_DONE),
        pytest.raises(OutputError, match="another process"),
        WorkFolder(tmp_path / "out", WORK_DONE),
    ):
        pass


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"made_by": 3, "shard": "1/1"}'])
def test_a_damaged_marker_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / WORK).write_text(content)
    with pytest.raises((InputError, OutputError)) as error, WorkFolder(tmp_path / "out", WORK_DONE):
        pass
    assert "\n" not in str(error.value)


def test_a_scene_that_fails_is_told_at_the_end_and_a_device_that_fails_at_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def do(unit: str, place: Path, progress: object) -> None:
        asked.append(unit)
        if unit == "1":
            raise InputError("no frame")
        finish(place)

    with WorkFolder(tmp_path / "out", WORK_DONE) as work, pytest.raises(InputError, match="no frame; 1 of 3 scenes"):
        do_scenes(work, do)
    assert asked == ["1", "2", "3"]
    state = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (state["done"], state["failed"]) == (["2", "3"], {"1": "no frame"})

    def broken(unit: str, place: Path, progress: object) -> None:
        asked.append(unit)
        raise RunFault("no device")

    with WorkFolder(tmp_path / "other", WORK_DONE) as work, pytest.raises(RunFault):
        do_scenes(work, broken)
    assert asked[3:] == ["1"]


def test_a_work_that_failed_before_anything_was_begun_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="no such model"), WorkFolder(out, WORK_DONE):
        raise InputError("no such model")
    assert not out.exists()
    with WorkFolder(out, WORK_DONE) as work:
        finish(work.place("1"))
    with pytest.raises(InputError), WorkFolder(out, WORK_DONE):
        raise InputError("no such picture")
    assert (out / WORK).is_file()
