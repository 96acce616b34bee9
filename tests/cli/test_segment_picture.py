"""A single picture: by STORM's segmenter without depth, by any with it; tiny networks find what has a colour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.images import read_mask, write_png
from tests.cli.conftest import Command
from tests.full_tier import write_full_bundle
from tests.tiny_scene import K

ORANGE = (255, 128, 0)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_full_bundle(tmp_path_factory.mktemp("full"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Grey, with an orange square."""
    rgb = np.full((120, 160, 3), 127, dtype=np.uint8)
    rgb[30:90, 50:110] = ORANGE
    write_png(tmp_path / "picture.png", rgb)
    return tmp_path / "picture.png"


def write_views(folder: Path, colour: tuple[int, int, int], count: int = 16) -> Path:
    folder.mkdir()
    for number in range(count):
        rgb = np.full((48, 64, 3), 127, dtype=np.uint8)
        rgb[12:36, 20:44] = colour
        write_png(folder / f"{number:03d}.png", rgb)
    return folder


@pytest.mark.parametrize("sam2", [False, True])
def test_an_object_known_by_views_is_found(
    storm_edge: Command, full: Path, picture: Path, tmp_path: Path, sam2: bool
) -> None:
    out, views = tmp_path / "out", write_views(tmp_path / "mug", ORANGE)
    options = ["--sam2"] if sam2 else []
    ended = storm_edge("segment", "--image", picture, "--views", views, "--bundle", full, "--out", out, *options)
    assert (ended.status, ended.err) == (0, "")
    assert "mug, found in 1 of 1 images" in ended.out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["scene"] == "picture.png"
    assert summary["engines"]["launches"]["sam2_decoder"] == int(sam2)
    mask = read_mask(out / summary["results"][0]["mask"])
    truth = np.zeros((120, 160), dtype=bool)
    truth[30:90, 50:110] = True
    assert np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth) > 0.7
    # The same command again replaces its own result.
    ended = storm_edge("segment", "--image", picture, "--views", views, "--bundle", full, "--out", out, *options)
    assert ended.status == 0


def test_a_higher_threshold_marks_less(storm_edge: Command, full: Path, picture: Path, tmp_path: Path) -> None:
    views, sizes = write_views(tmp_path / "mug", ORANGE), []
    for threshold in (0.2, 0.9):
        out = tmp_path / f"out-{threshold}"
        options = ["--views", views, "--bundle", full, "--threshold", threshold, "--out", out]
        assert storm_edge("segment", "--image", picture, *options).status == 0
        sizes.append(int(read_mask(out / "masks" / "000000_000000.png").sum()))
    assert sizes[0] > sizes[1] > 0


def test_a_picture_with_depth_is_for_every_segmenter(
    storm_edge: Command, scene: Path, thing: Path, tmp_path: Path
) -> None:
    """It gives the mask that the scene's first image gives."""
    image, depth = scene / "rgb" / "000000.png", scene / "depth" / "000000.png"
    camera = [f"{K[0, 0]},{K[1, 1]},{K[0, 2]},{K[1, 2]}", "--depth-scale", "0.1"]
    options = ["--object", thing, "--colour", "--raw", "--no-pictures"]
    out, whole = tmp_path / "out", tmp_path / "whole"
    ended = storm_edge("segment", "--image", image, "--depth", depth, "--intrinsics", *camera, *options, "--out", out)
    assert (ended.status, ended.err) == (0, "")
    assert storm_edge("segment", scene, *options, "--out", whole).status == 0
    name = Path("masks") / "000000_000000.png"
    assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_what_cannot_be_done_is_one_line(
    storm_edge: Command, full: Path, picture: Path, thing: Path, scene: Path, tmp_path: Path
) -> None:
    views, few, out = write_views(tmp_path / "mug", ORANGE), write_views(tmp_path / "few", ORANGE, 15), tmp_path / "o"
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    depth = scene / "depth" / "000000.png"
    cases: list[tuple[list[object], str]] = [
        (["--image", picture, "--object", thing], "no depth"),
        (["--image", picture, "--object", thing, "--colour"], "no depth"),
        (["--image", picture, "--views", few, "--bundle", full], "15 pictures"),
        (["--image", picture, "--views", tmp_path / "none", "--bundle", full], "no such folder"),
        (["--image", picture, "--bundle", full], "--views and --object: got neither"),
        (["--image", picture, "--views", views, "--object", thing, "--bundle", full], "got both"),
        (["--image", tmp_path / "none.png", "--views", views, "--bundle", full], "none.png"),
        (["--image", broken, "--views", views, "--bundle", full], "broken.png"),
        (["--image", picture, "--object", thing, "--depth", depth], "--intrinsics: got nothing"),
        (["--image", picture, "--object", thing, "--depth", depth, "--intrinsics", "1,2"], "--intrinsics: got 1,2"),
        (["--image", picture, "--object", thing, "--depth", depth, "--intrinsics", "9,9,9,9"], "align depth"),
        ([scene, "--object", thing, "--views", views], "--views"),
    ]
    for arguments, said in cases:
        ended = storm_edge("segment", *arguments, "--out", out)
        assert (ended.status, ended.err.count("\n")) == (1, 1), arguments
        assert said in ended.err
        assert not out.exists()
    assert storm_edge("segment", "--out", out).status == 2
