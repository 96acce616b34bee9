"""`--backend`: what runs the networks is what was asked for, or one line says why not."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from tests.cli.conftest import Command
from tests.cli.test_bad_input import assert_refused, snapshot
from tests.engines import stand_in
from tests.engines.backends.tensorrt.test_engine import NANO
from tests.engines.tensorrt import StandIn, as_exported, install_stand_in
from tests.tiny_scene import write_tiny_scene

PROFILES = {"track": (1, 1, 8), "register": (1, 42, 64)}


@pytest.fixture
def standing_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return install_stand_in(monkeypatch)


@pytest.fixture
def bundle(networks: Path, tmp_path: Path) -> Path:
    return as_exported(networks, tmp_path / "mine", {"refine": PROFILES, "score_features": PROFILES})


def _poses(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "poses.jsonl").read_text().splitlines()]


def test_a_whole_track_on_engines_equals_that_on_onnx_runtime(
    storm_edge: Command, standing_in: StandIn, thing: Path, tmp_path: Path
) -> None:
    """Built by the command, then run by it: all nano networks, their batches within the recipes' profiles."""
    bundle = as_exported(NetworkBundle.load("nano").folder, tmp_path / "nano", NANO)
    scene = write_tiny_scene(tmp_path / "scene", frame_count=3)
    engines = tmp_path / "engines"
    built = storm_edge("build", bundle, "--precision", "fp32", "--out", engines)
    assert "8 engines built, 0 were fresh" in built.out, built.err
    for backend in ("onnxruntime", "tensorrt"):
        options = ["--init", "mask", "--bundle", bundle, "--backend", backend, "--engines", engines, "--no-pictures"]
        ended = storm_edge("track", scene, "--object", thing, *options, "--out", tmp_path / backend)
        assert (ended.status, ended.err) == (0, "")
        assert json.loads((tmp_path / backend / "summary.json").read_text())["backend"] == backend
        assert bool(stand_in.launches) == (backend == "tensorrt")
    assert stand_in.broken == []
    expected, found = _poses(tmp_path / "onnxruntime"), _poses(tmp_path / "tensorrt")
    assert len(expected) == 3
    for wanted, line in zip(expected, found, strict=True):
        assert line["state"] == wanted["state"]
        np.testing.assert_allclose(line["T_cam_obj"], wanted["T_cam_obj"], atol=1e-5)  # type: ignore[arg-type]
        assert line["confidence"] == pytest.approx(wanted["confidence"], abs=1e-4)


def test_pytorch_tracks_as_onnx_runtime_does(
    storm_edge: Command, scene: Path, thing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'storm-edge[export]'")
    from storm_edge.networks.onnx_graph import OnnxGraph

    asked, compute = [], OnnxGraph.__call__
    monkeypatch.setattr(OnnxGraph, "__call__", lambda self, inputs: asked.append(1) or compute(self, inputs))
    for backend in ("onnxruntime", "torch"):
        options = [
            "--init",
            "mask",
            "--bundle",
            "nano",
            "--backend",
            backend,
            "--no-pictures",
            "--out",
            tmp_path / backend,
        ]
        ended = storm_edge("track", scene, "--object", thing, *options)
        assert (ended.status, ended.err) == (0, "")
        assert bool(asked) == (backend == "torch")
    for wanted, line in zip(_poses(tmp_path / "onnxruntime"), _poses(tmp_path / "torch"), strict=True):
        assert line["state"] == wanted["state"]
        np.testing.assert_allclose(line["T_cam_obj"], wanted["T_cam_obj"], atol=1e-5)  # type: ignore[arg-type]


DAMAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("never built", shutil.rmtree, "engine of refine in fp32: got none in"),
    ("cut short", lambda e: os.truncate(next(e.rglob("refine-*.engine")), 50), ".engine: got 50 bytes"),
    ("edited", lambda e: next(e.rglob("refine-*.engine")).write_bytes(b""), ".engine: got 0 bytes"),
    ("of another GPU", lambda e: (e / "mine/fp32/sm87").rename(e / "mine/fp32/sm89"), "got none but for sm89"),
]


@pytest.mark.parametrize(("name", "spoil", "names"), DAMAGES, ids=[case[0] for case in DAMAGES])
def test_an_engine_that_is_not_there_as_it_was_built(
    storm_edge: Command,
    standing_in: StandIn,
    scene: Path,
    thing: Path,
    bundle: Path,
    tmp_path: Path,
    name: str,
    spoil: Callable[[Path], object],
    names: str,
) -> None:
    engines = tmp_path / "engines"
    standing_in.build(bundle, engines)
    spoil(engines)
    before = snapshot(tmp_path)
    options = ["--init", "mask", "--bundle", bundle, "--backend", "tensorrt", "--engines", engines]
    assert_refused(storm_edge("track", scene, "--object", thing, *options, "--out", tmp_path / "out"), names)
    assert snapshot(tmp_path) == before


def test_an_engine_of_another_tensorrt(
    storm_edge: Command,
    standing_in: StandIn,
    scene: Path,
    thing: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What users see today after a JetPack upgrade is "Version tag does not match"."""
    engines = tmp_path / "engines"
    standing_in.build(bundle, engines)
    monkeypatch.setattr(stand_in, "__version__", "10.16.2")
    options = ["--bundle", bundle, "--backend", "tensorrt", "--engines", engines, "--out", tmp_path / "out"]
    before = snapshot(tmp_path)
    names = "a stale one (TensorRT version changed from 10.3.0.26 to 10.16.2)"
    assert_refused(storm_edge("track", scene, "--object", thing, "--init", "mask", *options), names)
    assert_refused(storm_edge("segment", scene, "--object", thing, *options), "mine")  # a bundle without segmenter
    assert snapshot(tmp_path) == before


def test_a_profile_that_does_not_admit_the_batch(
    storm_edge: Command, standing_in: StandIn, scene: Path, thing: Path, networks: Path, tmp_path: Path
) -> None:
    small = as_exported(networks, tmp_path / "small", {"refine": {"register": (16, 42, 64)}})
    standing_in.build(small, tmp_path / "engines")
    options = ["--init", "mask", "--bundle", small, "--backend", "tensorrt", "--engines", tmp_path / "engines"]
    ended = storm_edge("track", scene, "--object", thing, *options, "--out", tmp_path / "out")
    assert_refused(ended, "expected 16 to 64; use smaller chunks, or widen the recipe's profiles and build again")
    assert not (tmp_path / "out").exists()


def test_tensorrt_without_a_gpu_is_refused_before_the_work(
    storm_edge: Command, scene: Path, thing: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tensorrt", stand_in)
    for command in (["track", scene, "--object", thing], ["demo"], ["bench"]):
        ended = storm_edge(*command, "--bundle", bundle, "--backend", "tensorrt", "--out", tmp_path / "out")
        assert_refused(ended, "TensorRT: got device cpu")
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_up_while_building(
    storm_edge: Command, standing_in: StandIn, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was built stays and still runs; nothing half-written is left."""
    build = ("build", bundle, "--out", tmp_path / "engines", "--precision")
    assert storm_edge(*build, "fp32").status == 0
    before = snapshot(tmp_path)

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    ended = storm_edge(*build, "fp16")
    monkeypatch.undo()
    assert_refused(ended, "got No space left on device, expected room for")
    assert {p for p in snapshot(tmp_path) if p.is_file()} == {p for p in before if p.is_file()}
    install_stand_in(monkeypatch)
    assert "0 engines built, 2 were fresh" in storm_edge(*build, "fp32").out
    assert "2 engines built, 0 were fresh" in storm_edge(*build, "fp16").out


def test_an_interrupted_build_leaves_what_was_there(
    storm_edge: Command, standing_in: StandIn, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of an engine: the earlier ones stay, the lock is free, the next build goes on."""
    build = ("build", bundle, "--out", tmp_path / "engines", "--precision")
    assert storm_edge(*build, "fp32").status == 0
    before = {p for p in snapshot(tmp_path) if p.is_file()}
    with monkeypatch.context() as patch:

        def interrupt(*given: object, **named: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("storm_edge.cli.console.progress_lines", lambda: interrupt)
        ended = storm_edge(*build, "fp16")
    assert ended.status == 130
    assert "Traceback" not in ended.err
    assert {p for p in snapshot(tmp_path) if p.is_file()} == before
    assert "2 engines built, 0 were fresh" in storm_edge(*build, "fp16").out
    assert stand_in.broken == []
