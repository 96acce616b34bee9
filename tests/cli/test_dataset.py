"""Whole datasets on the command line: one command for all scenes, killed and gone on with, split and merged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storm_edge.objects.onboard import onboard
from storm_edge.replay import segment_scene as segmenting
from tests.cli.conftest import Command
from tests.full_tier import write_full_bundle
from tests.run_contents import contents
from tests.tiny_dataset import SCENES, write_tiny_dataset

SEGMENT = ["--colour", "--raw", "--no-pictures"]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dataset(tmp_path_factory.mktemp("datasets") / "tiny")


@pytest.fixture(scope="session")
def things(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Options that name the dataset's objects, onboarded with few sparse views, which takes less time."""
    folder = tmp_path_factory.mktemp("things")
    options: list[object] = []
    for model in sorted((dataset / "models").glob("*.ply")):
        onboard(model, "mm", view_subdivisions=1).save(folder / model.stem)
        options += ["--object", folder / model.stem]
    return options


@pytest.fixture(scope="session")
def segmented(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process leaves of the dataset."""
    out = tmp_path_factory.mktemp("segmented") / "run"
    command = [sys.executable, "-m", "storm_edge", "segment", str(dataset), *SEGMENT, "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out


def state(out: Path) -> dict[str, object]:
    read = json.loads((out / "summary.json").read_text())
    return {key: read[key] for key in ("done", "failed", "to_do")}


def test_all_scenes_and_their_objects_are_segmented_and_judged(
    storm_edge: Command, dataset: Path, things: list[object], segmented: Path, tmp_path: Path
) -> None:
    assert state(segmented) == {"done": list(SCENES), "failed": {}, "to_do": []}
    for name, numbers in SCENES.items():
        summary = json.loads((segmented / "scenes" / name / "summary.json").read_text())
        assert summary["objects"] == [f"obj_{number:06d}" for number in numbers]
    assert sorted(p.name for p in (segmented / "objects").iterdir()) == [f"obj_{n:06d}" for n in (1, 2, 3)]
    ended = storm_edge("eval", "masks", segmented, "--scene", dataset, *things, "--out", tmp_path / "report")
    assert (ended.status, ended.err) == (0, "")
    assert "3 scenes, answers judged: 12" in ended.out
    assert "AP as STORM" in ended.out


def test_results_are_those_of_each_scene_by_hand(
    storm_edge: Command, dataset: Path, things: list[object], segmented: Path, tmp_path: Path
) -> None:
    storm_edge("eval", "masks", segmented, "--scene", dataset, *things, "--out", tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    for name, numbers in SCENES.items():
        scene, run, judged = dataset / "test" / name, tmp_path / f"run-{name}", tmp_path / f"report-{name}"
        objects: list[object] = []
        for number in numbers:
            objects += ["--object", segmented / "objects" / f"obj_{number:06d}"]
        assert storm_edge("segment", scene, *objects, *SEGMENT, "--out", run).status == 0
        assert contents(run) == contents(segmented / "scenes" / name)
        assert storm_edge("eval", "masks", run, "--scene", scene, *objects, "--out", judged).status == 0
        by_hand = json.loads((judged / "report.json").read_text())["scores"]
        for one, other in zip(by_hand, report["scenes"][name]["scores"], strict=True):
            assert {k: v for k, v in one.items() if "time" not in k} == {
                k: v for k, v in other.items() if "time" not in k
            }


def test_shards_are_merged_to_what_one_process_leaves(
    storm_edge: Command, dataset: Path, things: list[object], segmented: Path, tmp_path: Path
) -> None:
    shards = [tmp_path / "shard-1", tmp_path / "shard-2"]
    for number, out in enumerate(shards, start=1):
        assert storm_edge("segment", dataset, *things, *SEGMENT, "--shard", f"{number}/2", "--out", out).status == 0
    assert [state(out)["done"] for out in shards] == [["000001", "000010"], ["000002"]]
    # Masks of one shard are no masks of the other's scenes.
    options = [*things, "--bundle", "none", "--masks", shards[0], "--shard", "2/2", "--out", tmp_path / "none"]
    ended = storm_edge("estimate", dataset, *options)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "no masks of scene 000002" in ended.err
    ended = storm_edge("merge", shards[0], "--out", tmp_path / "whole")
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "no result of 1 of 3 scenes, such as 000002" in ended.err
    assert not (tmp_path / "whole").exists()
    ended = storm_edge("merge", *shards, "--out", tmp_path / "whole")
    assert (ended.status, ended.err) == (0, "")
    assert contents(tmp_path / "whole" / "scenes") == contents(segmented / "scenes")
    assert contents(tmp_path / "whole")["summary.json"] == contents(segmented)["summary.json"]
    # The whole is a work folder like any other: the same command finds nothing left to do.
    ended = storm_edge("segment", dataset, *things, *SEGMENT, "--out", tmp_path / "whole")
    assert (ended.status, ended.out.count("\n")) == (0, 1)


def test_a_killed_run_goes_on_where_it_was(
    storm_edge: Command, dataset: Path, things: list[object], segmented: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ["segment", dataset, *things, *SEGMENT, "--out", out]
    command = [sys.executable, "-m", "storm_edge", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (out / "scenes" / "000001").exists() and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    first = out / "scenes" / "000001" / "summary.json"
    written_ns = first.stat().st_mtime_ns
    visible = {path.name for path in (out / "scenes").iterdir() if not path.name.startswith(".")}
    assert all((out / "scenes" / name / "summary.json").is_file() for name in visible)  # whole or not at all
    assert storm_edge(*arguments).status == 0
    assert first.stat().st_mtime_ns == written_ns
    for path in (out / "scenes").glob(".*.partial-*"):  # what the kill left, hidden
        shutil.rmtree(path)
    assert contents(out / "scenes") == contents(segmented / "scenes")


def test_a_scene_that_is_interrupted_is_done_again(
    storm_edge: Command,
    dataset: Path,
    things: list[object],
    segmented: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search, calls = segmenting.search_image, []

    def interrupted(*arguments: object, **more: object) -> object:
        calls.append(arguments)
        if len(calls) == 7:  # the second image of the second scene
            os.kill(os.getpid(), signal.SIGTERM)
        return search(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(segmenting, "search_image", interrupted)
    ended = storm_edge("segment", dataset, *things, *SEGMENT, "--out", tmp_path / "run")
    assert ended.status == 143
    ended = storm_edge("eval", "masks", tmp_path / "run", "--scene", dataset, "--out", tmp_path / "report")
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "2 of 3 scenes that are not done" in ended.err
    assert storm_edge("segment", dataset, *things, *SEGMENT, "--out", tmp_path / "run").status == 0
    assert contents(tmp_path / "run" / "scenes") == contents(segmented / "scenes")


def test_scenes_that_fail_hold_up_no_other_one(
    storm_edge: Command, dataset: Path, things: list[object], tmp_path: Path
) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    (tmp_path / "d" / "test" / "000001" / "rgb" / "000001.png").unlink()
    (tmp_path / "d" / "test" / "000002" / "scene_gt.json").write_text("{")
    arguments = ["segment", tmp_path / "d", *things, *SEGMENT, "--out", tmp_path / "run"]
    ended = storm_edge(*arguments)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "rgb/000001.png: got no such file" in ended.err
    assert "2 of 3 scenes failed, the first is 000001" in ended.err
    assert state(tmp_path / "run")["done"] == ["000010"]
    shutil.copytree(dataset, tmp_path / "d", dirs_exist_ok=True)
    assert storm_edge(*arguments).status == 0
    assert state(tmp_path / "run") == {"done": list(SCENES), "failed": {}, "to_do": []}


def test_a_missing_model_fails_the_scenes_that_need_it(storm_edge: Command, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    (tmp_path / "d" / "models" / "obj_000001.ply").unlink()
    ended = storm_edge("segment", tmp_path / "d", *SEGMENT, "--out", tmp_path / "run")
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "obj_000001.ply: got no such file" in ended.err
    assert state(tmp_path / "run")["done"] == ["000002"]


def test_what_is_wrong_is_one_line_and_nothing_is_lost(
    storm_edge: Command, dataset: Path, segmented: Path, thing: Path, scene: Path, tmp_path: Path
) -> None:
    before = contents(segmented)
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    out = tmp_path / "out"
    cases = [
        (["segment", dataset, *SEGMENT, "--every", "2", "--out", segmented], "a run with every 1"),
        (["segment", dataset, *SEGMENT, "--shard", "1/2", "--out", segmented], 'shard "1/1"'),
        (["track", dataset, "--bundle", "none", "--out", segmented], "a result of storm-edge segment"),
        (["segment", dataset, *SEGMENT, "--out", foreign], "a folder with other files"),
        (["segment", dataset, *SEGMENT, "--out", dataset], "an input"),
        (["segment", dataset, *SEGMENT, "--shard", "3/2", "--out", out], "I/N with I from 1 to N"),
        (["segment", dataset, *SEGMENT, "--split", "train", "--out", out], "one of test"),
        (["segment", scene, "--object", thing, "--colour", "--shard", "1/2", "--out", out], "--shard: got 1/2"),
        (["merge", foreign, "--out", out], "work.json"),
        (["eval", "masks", segmented, "--scene", dataset, "--split", "val", "--out", out], "one of test"),
    ]
    for arguments, said in cases:
        ended = storm_edge(*arguments)
        assert (ended.status, ended.err.count("\n")) == (1, 1), arguments
        assert said in ended.err
        assert not out.exists()
    assert contents(segmented) == before
    assert [path.name for path in foreign.iterdir()] == ["notes.txt"]


def test_poses_are_tracked_and_judged_with_average_recall(
    storm_edge: Command, dataset: Path, things: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = ["--init", "gt", "--bundle", "none", "--no-pictures"]
    ended = storm_edge("track", dataset, *things, *options, "--out", run)
    assert (ended.status, ended.err) == (0, "")
    lines = (run / "bop_results.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["1"] * 4 + ["2"] * 4 + ["10"] * 4
    shards = [tmp_path / "1-of-2", tmp_path / "2-of-2"]
    for number, out in enumerate(shards, start=1):
        assert storm_edge("track", dataset, *things, *options, "--shard", f"{number}/2", "--out", out).status == 0
    assert storm_edge("merge", *shards, "--out", tmp_path / "whole").status == 0
    assert contents(tmp_path / "whole") == contents(run)
    report = tmp_path / "report"
    ended = storm_edge("eval", "poses", run, "--scene", dataset, *things, "--out", report)
    assert (ended.status, ended.err) == (0, "")
    read = json.loads((report / "report.json").read_text())
    assert read["scores"][-1]["label_count"] == 12
    assert read["average_recall"][-1]["ar"] > 0.95
    for name, numbers in SCENES.items():
        objects = [x for n in numbers for x in things[2 * n - 2 : 2 * n]]
        out = tmp_path / f"report-{name}"
        scene = dataset / "test" / name
        arguments = [run / "scenes" / name, "--scene", scene, *objects, "--ar", "--out", out]
        assert storm_edge("eval", "poses", *arguments).status == 0
        by_hand = json.loads((out / "report.json").read_text())
        assert {k: by_hand[k] for k in ("scores", "average_recall")} == read["scenes"][name]
    # The same poses as one BOP result file, and as STORM's evaluation leaves them.
    for given in (run / "bop_results.csv", _as_storm(run, tmp_path / "storm")):
        out = tmp_path / f"again-{given.name}"
        assert storm_edge("eval", "poses", given, "--scene", dataset, *things, "--out", out).status == 0
        again = json.loads((out / "report.json").read_text())
        assert again["average_recall"] == read["average_recall"]
        assert again["scores"][-1]["add_recall"] == read["scores"][-1]["add_recall"]


def _as_storm(run: Path, out: Path) -> Path:
    """A folder per scene with `scene_pred.json`."""
    from storm_edge.bop.results import read_bop_csv
    from storm_edge.bop.scene_pred import write_scene_pred

    for name in SCENES:
        (out / name).mkdir(parents=True)
        estimates = [e for e in read_bop_csv(run / "bop_results.csv") if e.scene_id == int(name)]
        write_scene_pred(out / name / "scene_pred.json", estimates)
    return out


def test_poses_of_another_dataset_are_one_line(storm_edge: Command, dataset: Path, tmp_path: Path) -> None:
    header = "scene_id,im_id,obj_id,score,R,t,time\n"
    rest = "1,1 0 0 0 1 0 0 0 1,0 0 500,-1\n"
    for line, said in (
        (f"48,0,1,{rest}", "scene 48"),
        (f"1,77,1,{rest}", "the first is 77"),
        (f"1,0,9,{rest}", "object 9"),
    ):
        path = tmp_path / "other.csv"
        path.write_text(header + line)
        ended = storm_edge("eval", "poses", path, "--scene", dataset, "--out", tmp_path / "report")
        assert (ended.status, ended.err.count("\n")) == (1, 1)
        assert said in ended.err
        assert not (tmp_path / "report").exists()


def test_targets_say_what_is_judged(storm_edge: Command, dataset: Path, things: list[object], tmp_path: Path) -> None:
    """Only what the file lists: two of twelve labels, of which one has an estimate."""
    path, report = tmp_path / "some.csv", tmp_path / "report"
    path.write_text("scene_id,im_id,obj_id,score,R,t,time\n2,1,3,1,1 0 0 0 1 0 0 0 1,0 0 500,-1\n")
    targets = [{"scene_id": s, "im_id": 1, "obj_id": o, "inst_count": 1} for s, o in ((2, 3), (10, 1))]
    (tmp_path / "targets.json").write_text(json.dumps(targets))
    options = ["--scene", dataset, *things, "--targets", tmp_path / "targets.json", "--out", report]
    ended = storm_edge("eval", "poses", path, *options)
    assert (ended.status, ended.err) == (0, "")
    read = json.loads((report / "report.json").read_text())
    assert read["scores"][-1]["label_count"] == 2
    assert read["scores"][-1]["pose_count"] == 1
    assert read["average_recall"][-1]["target_count"] == 2


def test_every_image_is_estimated_anew_and_judged(
    storm_edge: Command, dataset: Path, things: list[object], tmp_path: Path
) -> None:
    run, report = tmp_path / "run", tmp_path / "report"
    options = [*things, "--bundle", "none", "--every", "2"]
    ended = storm_edge("estimate", dataset, *options, "--masks", "gt", "--out", run)
    assert (ended.status, ended.err) == (0, "")
    assert state(run)["done"] == list(SCENES)
    assert (
        storm_edge(
            "eval", "poses", run, "--scene", dataset, *things, "--missing", "leave-out", "--out", report
        ).status
        == 0
    )
    total = json.loads((report / "report.json").read_text())["scores"][-1]
    assert (total["label_count"], total["pose_count"]) == (12, 6)
    assert total["add_s_recall"] == 1.0
    shards = [tmp_path / "1-of-2", tmp_path / "2-of-2"]
    for number, out in enumerate(shards, start=1):
        options_of = [*options, "--masks", "gt", "--shard", f"{number}/2", "--out", out]
        assert storm_edge("estimate", dataset, *options_of).status == 0
    assert storm_edge("merge", *shards, "--out", tmp_path / "whole").status == 0
    assert contents(tmp_path / "whole") == contents(run)
    # A scene by itself, by the same masks from a file of detections: the same poses.
    detections = tmp_path / "detections.json"
    detections.write_text(json.dumps(_detections(dataset, "000002")))
    scene = dataset / "test" / "000002"
    ended = storm_edge("estimate", scene, *options, "--masks", detections, "--out", tmp_path / "alone")
    assert (ended.status, ended.err) == (0, "")
    ours, theirs = ((out / "scenes" / "000002" / "bop_results.csv").read_text() for out in (tmp_path / "alone", run))
    assert [line.rpartition(",")[0] for line in ours.splitlines()] == [
        line.rpartition(",")[0] for line in theirs.splitlines()
    ]


def test_estimates_for_parity_need_objects_that_were_onboarded_for_it(
    storm_edge: Command, dataset: Path, things: list[object], tmp_path: Path
) -> None:
    full = write_full_bundle(tmp_path / "full", pose=True, preset="parity")
    scene, model = dataset / "test" / "000002", dataset / "models" / "obj_000003.ply"
    options = ["--bundle", full, "--schedule", "parity", "--masks", "gt", "--every", "9"]
    without = things[things.index("--object", 2) : things.index("--object", 2) + 2]
    ended = storm_edge("estimate", scene, *without, *options, "--out", tmp_path / "without")
    assert ended.status == 1
    assert "no model as upstream loads it" in ended.err
    assert "onboard it again with --parity" in ended.err
    onboard(model, "mm", view_subdivisions=0, as_upstream=True).save(tmp_path / "obj_000003")
    ended = storm_edge("estimate", scene, "--object", tmp_path / "obj_000003", *options, "--out", tmp_path / "with")
    assert ended.status == 0
    engines = json.loads((tmp_path / "with" / "scenes" / "000002" / "summary.json").read_text())["engines"]
    assert engines["schedule"] == "parity"
    assert engines["launches"]["refine"] == 5 * engines["launches"]["score_features"] > 0


def _detections(dataset: Path, name: str) -> list[dict[str, object]]:
    """The masks of a scene's labels in the form of CNOS."""
    from storm_edge.bop.scene import BopScene
    from tests.bop.test_detections import runs

    scene = BopScene(dataset / "test" / name)
    return [
        {
            "scene_id": int(name),
            "image_id": frame_id,
            "category_id": label.object_id,
            "score": 1.0,
            "segmentation": {"counts": runs(scene.mask_visib(frame_id, index)), "size": [72, 96]},
        }
        for frame_id in scene.frame_ids
        for index, label in enumerate(scene.ground_truth(frame_id))
    ]


def test_masks_that_cannot_be_used_are_one_line(
    storm_edge: Command, dataset: Path, segmented: Path, tmp_path: Path
) -> None:
    found = _detections(dataset, "000002")
    for name, change in (("scene", {"scene_id": 5}), ("object", {"category_id": 9})):
        (tmp_path / f"{name}.json").write_text(json.dumps([{**found[0], **change}]))
    cases = [
        (tmp_path / "scene.json", "got scene 5"),
        (tmp_path / "object.json", "got object 9"),
        (tmp_path / "nothing.json", "nothing.json: got No such file"),
        (tmp_path / "nothing", "--masks: got"),
        (segmented / "scenes" / "000002", "the masks of one scene"),
    ]
    for masks, said in cases:
        options = ["--bundle", "none", "--masks", masks, "--out", tmp_path / "out"]
        ended = storm_edge("estimate", dataset, *options)
        assert (ended.status, ended.err.count("\n")) == (1, 1), masks
        assert said in ended.err
        assert not (tmp_path / "out").exists()
