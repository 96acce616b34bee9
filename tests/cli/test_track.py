from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.results import read_bop_csv
from storm_edge.bop.writer import BopWriter
from storm_edge.cli.track import describe, never_found
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.renderer import render
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_cache import make_template_embedding
from storm_edge.replay.track_scene import SceneRun
from tests.cli.conftest import Command
from tests.full_tier import write_full_bundle
from tests.tiny_scene import OBJECT_ID, SIZE_PX, WALL_M, K, box_mesh, pose, write_tiny_scene


@pytest.mark.parametrize("init", ["mask", "gt"])
def test_a_run_leaves_poses_summary_results_and_pictures(
    storm_edge: Command, scene: Path, thing: Path, networks: Path, tmp_path: Path, init: str
) -> None:
    out = tmp_path / "out"
    ended = storm_edge("track", scene, "--object", thing, "--init", init, "--bundle", networks, "--out", out)
    assert (ended.status, ended.err) == (0, "")
    assert "obj_000003, 2 frames" in ended.out
    lines = [json.loads(line) for line in (out / "poses.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1]
    assert [e.object_id for e in read_bop_csv(out / "bop_results.csv")] == [OBJECT_ID] * 2
    assert json.loads((out / "summary.json").read_text())["bundle"] == "tiny"
    assert sorted(p.name for p in (out / "overlays").iterdir()) == ["000000.png", "000001.png"]
    assert (out / "overlay.webm").stat().st_size > 0


def test_pictures_can_be_left_out_and_an_older_run_is_replaced(
    storm_edge: Command, scene: Path, thing: Path, networks: Path, tmp_path: Path
) -> None:
    options = ["--object", thing, "--init", "gt", "--bundle", networks, "--out", tmp_path / "out"]
    assert storm_edge("track", scene, *options).status == 0
    assert storm_edge("track", scene, *options, "--no-pictures").status == 0
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["SHA256SUMS", "bop_results.csv", "poses.jsonl", "summary.json"]


def test_geometry_runs_alone(storm_edge: Command, scene: Path, thing: Path, tmp_path: Path) -> None:
    options = ["--object", thing, "--bundle", "none", "--no-pictures", "--out", tmp_path / "out"]
    assert storm_edge("track", scene, *options).status == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["bundle"] == "none"


def test_auto_finds_the_object_without_a_mask(storm_edge: Command, scene: Path, thing: Path, tmp_path: Path) -> None:
    shutil.rmtree(scene / "mask_visib")
    out = tmp_path / "out"
    options = ["--object", thing, "--init", "auto", "--bundle", "none", "--no-pictures", "--out", out]
    ended = storm_edge("track", scene, *options)
    assert (ended.status, ended.err) == (0, "")
    lines = [json.loads(line) for line in (out / "poses.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines] == ["TRACKING", "TRACKING"]
    assert json.loads((out / "summary.json").read_text())["init"] == "auto"
    for line, atol in zip(lines, (0.0075, 0.005), strict=True):  # a pixel is 5 mm; tracking refines
        np.testing.assert_allclose(np.array(line["T_cam_obj"])[:3, 3], pose(line["frame"])[:3, 3], atol=atol)


def test_auto_needs_a_segmenter(
    storm_edge: Command, scene: Path, thing: Path, networks: Path, tmp_path: Path
) -> None:
    options = ["--object", thing, "--init", "auto", "--bundle", networks, "--out", tmp_path / "out"]
    ended = storm_edge("track", scene, *options)
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    assert "som_head" in ended.err
    assert not (tmp_path / "out").exists()


def test_a_scene_played_at_a_rate_accounts_for_every_frame(storm_edge: Command, thing: Path, tmp_path: Path) -> None:
    scene = write_tiny_scene(tmp_path / "long", frame_count=12)
    out = tmp_path / "out"
    options = ["--object", thing, "--init", "gt", "--bundle", "none", "--rate", 20, "--out", out]
    ended = storm_edge("track", scene, *options)
    assert (ended.status, ended.err) == (0, "")
    lines = [json.loads(line) for line in (out / "poses.jsonl").read_text().splitlines()]
    summary = json.loads((out / "summary.json").read_text())
    assert len(lines) + summary["skipped_frames"] == 12
    painted = sorted(int(path.stem) for path in (out / "overlays").iterdir())
    assert painted == [line["frame"] for line in lines]
    for line in lines:
        assert line["stamp_ns"] == round(1e9 * line["frame"] / 20)
    np.testing.assert_allclose(np.array(lines[0]["T_cam_obj"])[:3, 3], pose(0)[:3, 3], atol=0.005)
    ended = storm_edge("track", scene, *options[:-3], 0, "--out", out)
    assert ended.status == 1
    assert "--rate" in ended.err


@pytest.mark.parametrize("tracker", ["batched", "stepwise"])
def test_two_objects_are_followed_together(storm_edge: Command, thing: Path, tmp_path: Path, tracker: str) -> None:
    """A second box of the same make stands beside the first, under a number of its own."""
    mesh, folder = box_mesh(), tmp_path / "pair"
    poses = {3: pose(0), 4: make_T(pose(0)[:3, :3], pose(0)[:3, 3] + [-0.18, 0.0, 0.05])}
    seen = {number: render(mesh, T, K, SIZE_PX) for number, T in poses.items()}
    rgb, depth_m = np.full((*SIZE_PX, 3), 90, dtype=np.uint8), np.full(SIZE_PX, WALL_M, dtype=np.float32)
    for picture in seen.values():
        mask = (picture.mask[0] > 0) & (picture.depth[0] < depth_m)
        rgb[mask], depth_m[mask] = picture.colour[0][mask] * 255.0, picture.depth[0][mask]
    with BopWriter(folder) as writer:
        labels = [GroundTruth(object_id=number, T_cam_obj=T) for number, T in poses.items()]
        for index in range(3):
            writer.add(Frame(rgb=rgb, depth_m=depth_m, K=K, index=index), labels)
        writer.add_model(3, mesh)
        writer.add_model(4, mesh)
    onboard(folder / "models" / "obj_000004.ply", "mm", view_subdivisions=1).save(tmp_path / "obj_000004")
    options = ["--object", thing, "--object", tmp_path / "obj_000004"]
    out = tmp_path / "out"
    more = ["--init", "gt", "--bundle", "none", "--no-pictures", "--tracker", tracker, "--out", out]
    ended = storm_edge("track", folder, *options, *more)
    assert (ended.status, ended.err) == (0, "")
    followed = json.loads((out / "summary.json").read_text())["tracker"]
    assert followed["kind"] == tracker
    assert f"tracker {tracker}" in ended.out
    if tracker == "batched":
        assert followed["launches"] == "eager: graphs are for CUDA"
        assert followed["launches"] in ended.out
    lines = [json.loads(line) for line in (out / "poses.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["object"]) for line in lines] == [
        (frame, f"obj_{number:06d}") for frame in range(3) for number in poses
    ]
    for line in lines:
        T = poses[int(line["object"][-6:])]
        np.testing.assert_allclose(np.array(line["T_cam_obj"])[:3, 3], T[:3, 3], atol=0.005)


def test_nothing_but_images_cameras_and_a_model_is_needed(
    storm_edge: Command, thing: Path, networks: Path, tmp_path: Path
) -> None:
    """What a new user has: no labels, no masks, and no option named. Where a mask is asked for, the line says how to
    do without."""
    scene = write_tiny_scene(tmp_path / "scene", frame_count=2)
    for name in ("mask", "mask_visib"):
        shutil.rmtree(scene / name)
    for name in ("scene_gt.json", "scene_gt_info.json"):
        (scene / name).unlink()
    options = ["--object", thing, "--bundle", "none", "--no-pictures", "--out", tmp_path / "out"]
    ended = storm_edge("track", scene, *options)
    assert (ended.status, ended.err) == (0, "")
    assert "TRACKING 2" in ended.out
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["init"] == "auto"
    for init in ("mask", "gt"):
        ended = storm_edge("track", scene, *options, "--init", init)
        assert ended.status == 1
        assert "use --init auto, which needs none" in ended.err


def test_a_paced_run_says_what_it_passed_over_and_what_it_was_still_looking_for(tmp_path: Path) -> None:
    """By what a run reports, not by the clock of the machine that tests it."""
    lost = Track(frame=0, stamp_ns=0, object_id="mug", state=TrackState.SEARCHING, T_cam_obj=None)
    found = Track(frame=0, stamp_ns=0, object_id="box", state=TrackState.TRACKING, T_cam_obj=pose(0))
    summary = {"tracker": {"kind": "stepwise"}, "faults": {"frames": {}}, "skipped_frames": 14}
    summary["engines"] = {"schedule": "geometry", "launches": {}, "idle": []}
    run = SceneRun(tracks=[lost, found], summary=summary, folder=tmp_path)
    assert "14 frames came while another was worked on and were passed over" in describe(run)
    assert never_found(run) == ["mug"]


def test_a_schedule_that_asks_networks_which_are_not_there_is_refused(
    storm_edge: Command, scene: Path, thing: Path, tmp_path: Path
) -> None:
    bundle = write_full_bundle(tmp_path / "full")
    options = ["--object", thing, "--bundle", bundle, "--no-pictures", "--out", tmp_path / "out"]
    ended = storm_edge("track", scene, *options, "--schedule", "foundationpose")
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    assert "schedule foundationpose with bundle full: got no refine, score_attention, score_features" in ended.err
    assert not (tmp_path / "out").exists()


def test_a_run_says_which_networks_it_asked_and_which_lay_idle(
    storm_edge: Command, scene: Path, thing: Path, tmp_path: Path
) -> None:
    bundle, out, seen = write_full_bundle(tmp_path / "full", pose=True), tmp_path / "out", tmp_path / "seen"
    item = ObjectBundle.load(thing)
    segmenter = Segmenter(NetworkBundle.load(bundle))
    item.save(seen, embeddings=[make_template_embedding(segmenter, item, name="full")])
    options = ["--object", seen, "--init", "gt", "--bundle", bundle, "--no-pictures", "--out", out]
    ended = storm_edge("track", scene, *options)
    assert ended.status == 0
    assert ended.err.startswith("note: bundle full: schedule hybrid does not ask sam2_encoder, sam2_decoder\n")
    engines = json.loads((tmp_path / "out" / "summary.json").read_text())["engines"]
    assert engines["schedule"] == "hybrid"
    assert engines["idle"] == ["sam2_encoder", "sam2_decoder"]
    assert f"schedule hybrid; launches: {', '.join(f'{k} {v}' for k, v in engines['launches'].items() if v)}" in (
        ended.out
    )


def test_storms_rules_refuse_what_does_not_go_with_them(
    storm_edge: Command, scene: Path, thing: Path, networks: Path, tmp_path: Path
) -> None:
    cases = [
        (["--rules", "storm"], "--rules storm: got no masks"),
        (["--masks", "gt"], "--masks: got gt"),
        (["--rules", "storm", "--masks", "gt", "--init", "mask"], "--init, --tracker or --rate"),
        (["--rules", "storm", "--masks", "gt", "--schedule", "geometry"], "STORM's rules"),
    ]
    for options, said in cases:
        ended = storm_edge(
            "track", scene, "--object", thing, "--bundle", networks, *options, "--out", tmp_path / "out"
        )
        assert (ended.status, ended.err.count("\n")) == (1, 1)
        assert said in ended.err
        assert not (tmp_path / "out").exists()
