"""Shards become one folder: every scene and every object once, nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from storm_edge.datasets.merge import merge_shards
from storm_edge.datasets.shard import Shard
from storm_edge.datasets.work_folder import Work, WorkFolder, read_work
from storm_edge.errors import InputError, OutputError

HEADER = "scene_id,im_id,obj_id,score,R,t,time\n"
WORK = Work(command="storm-edge track", dataset="d", split="test", units=["1", "2", "3"], settings={"init": "gt"})


def write_shard(out: Path, number: int, work: Work = WORK, *, leave_out: str = "") -> Path:
    with WorkFolder(out, work, Shard(number, 2)) as folder:
        for unit in folder.units:
            place = folder.place(unit)
            place.mkdir(parents=True)
            ended_by = "interrupted" if unit == leave_out else None
            (place / "summary.json").write_text(json.dumps({"ended_by": ended_by}))
            (place / "bop_results.csv").write_text(f"{HEADER}{unit},0,1,1,R,t,-1\n")
        for name in ("obj_000001", f"obj_00000{number + 1}", ".half"):
            (out / "objects" / name).mkdir(parents=True, exist_ok=True)
            (out / "objects" / name / "object.json").write_text(name)
    return out


def test_every_scene_and_object_is_there_once(tmp_path: Path) -> None:
    shards = [write_shard(tmp_path / str(number), number) for number in (2, 1)]
    assert merge_shards(shards, tmp_path / "whole") == ["1", "2", "3"]
    assert sorted(p.name for p in (tmp_path / "whole" / "scenes").iterdir()) == ["1", "2", "3"]
    objects = tmp_path / "whole" / "objects"
    assert sorted(p.name for p in objects.iterdir()) == ["obj_000001", "obj_000002", "obj_000003"]
    lines = (tmp_path / "whole" / "bop_results.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["scene_id", "1", "2", "3"]
    assert read_work(tmp_path / "whole")["shard"] == "1/1"
    # Once more changes nothing.
    assert merge_shards(shards, tmp_path / "whole") == ["1", "2", "3"]


def test_a_scene_that_ended_early_is_missing(tmp_path: Path) -> None:
    shards = [write_shard(tmp_path / "1", 1, leave_out="3"), write_shard(tmp_path / "2", 2)]
    with pytest.raises(InputError, match="no result of 1 of 3 scenes, such as 3"):
        merge_shards(shards, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_shards_of_other_works_are_refused(tmp_path: Path) -> None:
    first = write_shard(tmp_path / "1", 1)
    for number, other in enumerate((replace(WORK, settings={"init": "mask"}), replace(WORK, dataset="e"))):
        second = write_shard(tmp_path / f"other-{number}", 2, other)
        with pytest.raises(InputError, match="shards of one work"):
            merge_shards([first, second], tmp_path / "whole")
    with pytest.raises(OutputError, match="an input"):
        merge_shards([first, write_shard(tmp_path / "2", 2)], first)
