"""The command on the tiny scene: its box is found by its colours, judged, and missed where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_cache import make_template_embedding
from tests.cli.conftest import Command
from tests.cli.test_bad_input import assert_refused, snapshot
from tests.full_tier import write_full_bundle


@pytest.mark.parametrize("raw", [False, True])
def test_masks_are_found_and_judged(storm_edge: Command, scene: Path, thing: Path, tmp_path: Path, raw: bool) -> None:
    run = tmp_path / "run"
    options = ["--raw"] if raw else []
    ended = storm_edge("segment", scene, "--object", thing, "--colour", "--out", run, *options)
    assert (ended.status, ended.err) == (0, "")
    assert "obj_000003, found in 2 of 2 images" in ended.out
    assert json.loads((run / "summary.json").read_text())["verified"] is not raw
    assert sorted(p.name for p in run.iterdir()) == [
        "SHA256SUMS",
        "masks",
        "overlay_sheet.png",
        "overlays",
        "summary.json",
    ]
    report = tmp_path / "report"
    ended = storm_edge("eval", "masks", run, "--scene", scene, "--object", thing, "--out", report)
    assert (ended.status, ended.err) == (0, "")
    assert "AP75" in ended.out
    [score] = json.loads((report / "report.json").read_text())["scores"]
    assert score["missed_share"] == 0.0
    assert score["iou_mean"] > 0.7
    assert score["time_mean_s"] > 0.0


def test_some_images_can_be_left_out_and_an_older_run_is_replaced(
    storm_edge: Command, scene: Path, thing: Path, tmp_path: Path
) -> None:
    options = ["--object", thing, "--colour", "--raw", "--no-pictures", "--out", tmp_path / "run"]
    assert storm_edge("segment", scene, *options).status == 0
    assert storm_edge("segment", scene, *options, "--every", "2").status == 0
    assert [p.name for p in (tmp_path / "run" / "masks").iterdir()] == ["000000_000000.png"]


def test_a_bundle_without_a_segmenter_names_the_way_without(
    storm_edge: Command, scene: Path, thing: Path, networks: Path, tmp_path: Path
) -> None:
    before = snapshot(tmp_path)
    for bundle in (networks, "none"):
        ended = storm_edge("segment", scene, "--object", thing, "--bundle", bundle, "--out", tmp_path / "run")
        assert_refused(ended, "--colour")
    assert snapshot(tmp_path) == before


def test_wrong_options_leave_nothing(storm_edge: Command, scene: Path, thing: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    options = ["--object", thing, "--colour", "--out", tmp_path / "run"]
    assert_refused(storm_edge("segment", scene, *options, "--every", "0"), "--every: got 0")
    assert_refused(storm_edge("segment", scene, *options, "--device", "abacus"), "'abacus'")
    assert_refused(storm_edge("eval", "masks", scene, "--scene", scene, *options[:2], *options[3:]), "summary.json")
    assert snapshot(tmp_path) == before


def test_one_object_is_never_two_instances(storm_edge: Command, scene: Path, thing: Path, tmp_path: Path) -> None:
    for number, twice in enumerate((["--object", thing], ["--instances", "2"])):
        out = tmp_path / f"run{number}"
        ended = storm_edge("segment", scene, "--object", thing, *twice, "--colour", "--no-pictures", "--out", out)
        assert ended.status == 0, ended.err
        assert "obj_000003, found in 2 of 2 images" in ended.out
        assert "obj_000003#2, found in 0 of 2 images" in ended.out


def test_a_scene_without_the_object_gives_no_mask(
    storm_edge: Command, scene: Path, thing: Path, tmp_path: Path
) -> None:
    """The wall alone, in both images."""
    from PIL import Image

    for frame in BopScene(scene):
        Image.fromarray(np.full_like(frame.rgb, 90)).save(scene / "rgb" / f"{frame.index:06d}.png")
        wall = np.full(frame.depth_m.shape, 9000, dtype=np.uint16)
        Image.fromarray(wall).save(scene / "depth" / f"{frame.index:06d}.png")
    ended = storm_edge("segment", scene, "--object", thing, "--colour", "--out", tmp_path / "run")
    assert (ended.status, ended.err) == (0, "")
    assert "found in 0 of 2 images" in ended.out
    assert list((tmp_path / "run" / "masks").iterdir()) == []


def test_storms_networks_segment_too(storm_edge: Command, scene: Path, thing: Path, tmp_path: Path) -> None:
    """Its SOM knows objects by their mean colour, and the box has all colours: all is run, whatever is found."""
    folder = write_full_bundle(tmp_path / "networks")
    bundle = ObjectBundle.load(thing)
    embedding = make_template_embedding(Segmenter(NetworkBundle.load(folder)), bundle, name="full")
    bundle.save(tmp_path / "thing", embeddings=[embedding])
    options = ["--object", tmp_path / "thing", "--bundle", folder, "--raw", "--sam2", "--framing", "upstream"]
    ended = storm_edge("segment", scene, *options, "--out", tmp_path / "run")
    assert (ended.status, ended.err) == (0, "")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["bundle"], summary["tier"], summary["framing"], summary["sam2"]) == (
        "full",
        "full",
        "upstream",
        True,
    )
    assert len(summary["results"]) == 2


def test_what_storms_networks_lack_is_one_line(storm_edge: Command, scene: Path, thing: Path, tmp_path: Path) -> None:
    full = write_full_bundle(tmp_path / "full", sam2=False)
    bundle = ObjectBundle.load(thing)
    other = make_template_embedding(
        Segmenter(NetworkBundle.load(write_full_bundle(tmp_path / "other", name="other"))), bundle, name="other"
    )
    bundle.save(tmp_path / "seen", embeddings=[other])
    before = snapshot(tmp_path)
    cases: list[tuple[list[object], str]] = [
        (["--object", thing, "--bundle", full], "got none, expected"),
        (["--object", tmp_path / "seen", "--bundle", full], "those for other ("),
        (["--object", thing, "--bundle", full, "--sam2"], "no SAM2"),
        (["--object", thing, "--colour", "--sam2", "--bundle", "none"], "SAM2: got no network bundle"),
        (["--object", thing, "--colour", "--framing", "upstream"], "--framing: got upstream"),
    ]
    for options, names in cases:
        assert_refused(storm_edge("segment", scene, *options, "--out", tmp_path / "run"), names)
        assert snapshot(tmp_path) == before


@pytest.mark.data
def test_the_real_bottle_is_marked_by_the_shipped_networks(
    storm_edge: Command, shared_data: Path, tmp_path: Path
) -> None:
    mustard = shared_data / "mustard"
    model = ["--object", mustard / "models" / "obj_000005.ply", "--unit", "mm"]
    ended = storm_edge("segment", mustard, *model, "--raw", "--no-pictures", "--out", tmp_path / "run")
    assert ended.status == 0
    assert "found in 1 of 1 images" in ended.out
    ended = storm_edge("eval", "masks", tmp_path / "run", "--scene", mustard, *model, "--out", tmp_path / "report")
    assert ended.status == 0
    [score] = json.loads((tmp_path / "report" / "report.json").read_text())["scores"]
    assert score["iou_mean"] > 0.6  # seen: 0.74
