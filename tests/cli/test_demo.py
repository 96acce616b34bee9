from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from storm_edge.objects import onboard as onboarding
from storm_edge.synthetic import demo as demo_data
from tests.cli.conftest import Command
from tests.tiny_scene import MODEL, write_tiny_scene


def test_the_demo_ends_with_a_table_and_pictures(
    storm_edge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a tiny recording and with few views: what the real ones look like is tested where they are made."""
    build = onboarding.build_viewpoints
    monkeypatch.setattr(onboarding, "build_viewpoints", lambda mesh, **_: build(mesh, subdivisions=1))
    monkeypatch.setattr(demo_data, "write_demo", lambda path: write_tiny_scene(path, frame_count=3))
    ended = storm_edge("demo", "--bundle", "none", "--out", tmp_path / "out")
    assert (ended.status, ended.err) == (0, "")
    for heading in ("state", "ADD-S median", "latency p50", "latency p99", "plot.png"):
        assert heading in ended.out
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left >= {"poses.jsonl", "summary.json", "overlay.webm", "overlay_sheet.png", "overlays", "plot.png"}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["frame_count"], summary["init"]) == (3, "auto")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "scene" / MODEL).is_file()


def test_the_commands_that_the_demo_prints_work_as_printed(
    storm_edge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the same folder, one after the other; without networks only because tiny scenes need none."""
    build = onboarding.build_viewpoints
    monkeypatch.setattr(onboarding, "build_viewpoints", lambda mesh, **_: build(mesh, subdivisions=1))
    monkeypatch.setattr(demo_data, "write_demo", lambda path: write_tiny_scene(path, frame_count=3))
    monkeypatch.setattr(sys, "argv", [".venv/bin/storm-edge"])
    monkeypatch.chdir(tmp_path)
    printed = [line.split() for line in storm_edge("demo", "--bundle", "none").out.splitlines() if ".venv" in line]
    assert [line[:2] for line in printed] == [[".venv/bin/storm-edge", name] for name in ("onboard", "track", "eval")]
    for _, *arguments in printed:
        ended = storm_edge(*arguments, *(["--bundle", "none"] if arguments[0] == "track" else []))
        assert ended.status == 0, ended.err
    assert "a pose in 3 of 3 frames" in " ".join(ended.out.split())
    assert storm_edge("demo", "--bundle", "none").status == 0, "an older demo, its scene included, gives way"
