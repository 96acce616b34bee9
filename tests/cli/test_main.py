from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from storm_edge import __version__
from storm_edge.choices import Network
from storm_edge.cli import main
from tests.cli.conftest import Command

HEAVY = ("torch", "warp", "trimesh", "matplotlib", "onnxruntime", "cv2", "scipy", "pydantic")


def test_version(storm_edge: Command) -> None:
    ended = storm_edge("--version")
    assert (ended.status, ended.out) == (0, f"storm-edge {__version__}\n")


@pytest.mark.parametrize("command", [[], ["onboard"], ["eval"], ["eval", "poses"], ["train"], ["build"]])
def test_every_command_has_help(storm_edge: Command, command: list[str]) -> None:
    ended = storm_edge(*command, "--help")
    assert ended.status == 0
    assert "Usage" in ended.out


def test_help_imports_nothing_heavy() -> None:
    """What keeps `--help` under half a second; in a fresh interpreter, since this one has imported everything."""
    code = f"import sys, storm_edge.cli.main; print([m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main, "app", broken)
    with pytest.raises(ZeroDivisionError):
        main.run([])


def test_the_disk_is_a_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device", "out/video.mp4")

    monkeypatch.setattr(main, "app", full)
    with pytest.raises(SystemExit) as ended:
        main.run([])
    assert ended.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith("error: out/video.mp4: got No space left on device")
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", ["--verbose", "-v", "--quiet", "-q", "--log-json", "--version"])
def test_the_root_command_has_the_option(storm_edge: Command, option: str) -> None:
    assert option in storm_edge("--help").out


def test_verbose_and_quiet_exclude_each_other(storm_edge: Command) -> None:
    ended = storm_edge("-v", "-q", "doctor")
    assert ended.status == 1
    assert ended.err.startswith("error: --quiet: got --verbose as well")


def test_an_error_is_a_line_of_json_for_a_service(storm_edge: Command, tmp_path: Path) -> None:
    ended = storm_edge("--log-json", "segment", tmp_path / "gone", "--object", tmp_path, "--out", tmp_path / "out")
    assert ended.status == 1
    entry = json.loads(ended.err)
    assert (entry["level"], entry["logger"]) == ("error", "storm_edge.cli")
    assert str(tmp_path / "gone") in entry["message"]


@pytest.mark.parametrize("network", list(Network))
def test_train_takes_every_network_by_name(
    storm_edge: Command, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storm_edge.train import run as trainer
    from storm_edge.train.config import TrainConfig, TrainResult

    asked: list[TrainConfig] = []

    def train(config: TrainConfig, report: object) -> TrainResult:
        asked.append(config)
        return TrainResult(checkpoint=tmp_path / "checkpoint.pt", steps=3, elapsed_s=60.0, held_out={"loss": 0.5})

    monkeypatch.setattr(trainer, "train", train)
    ended = storm_edge("train", network.value, "--out", tmp_path, "--batch", 8, "--minutes", 1.5)
    assert ended.status == 0
    assert ended.out == f"{tmp_path / 'checkpoint.pt'}: 3 steps in 1.0 min; held out: loss 0.5\n"
    assert asked == [TrainConfig(network=network, out=tmp_path, batch=8, minutes=1.5)]


def test_train_all_says_what_came_of_each_network(
    storm_edge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storm_edge.train import run_all
    from storm_edge.train.config import TrainConfig, TrainResult

    def train_all(template: TrainConfig, report: object) -> dict[Network, TrainResult]:
        assert template.minutes == 9.0
        ended = {} if template.resume else {network: network.value for network in Network}
        return {
            network: TrainResult(checkpoint=tmp_path / name, steps=3, elapsed_s=60.0, held_out={"iou": 0.5})
            for network, name in ended.items()
        }

    monkeypatch.setattr(run_all, "train_all", train_all)
    ended = storm_edge("train", "all", "--out", tmp_path, "--minutes", 9)
    assert [line.split(":")[0] for line in ended.out.splitlines()] == [str(tmp_path / n.value) for n in Network]
    again = storm_edge("train", "all", "--out", tmp_path, "--minutes", 9, "--resume")
    assert again.out == f"{tmp_path}: all networks are finished\n"


def test_train_without_any_time_is_one_line(storm_edge: Command, tmp_path: Path) -> None:
    for network in ("refine", "all"):
        ended = storm_edge("train", network, "--out", tmp_path / "new", "--minutes", 0)
        assert (ended.status, ended.err) == (1, "error: --minutes: got 0, expected more than 0; raise it\n")
    assert not (tmp_path / "new").exists()


def test_train_refuses_an_unknown_network(storm_edge: Command, tmp_path: Path) -> None:
    ended = storm_edge("train", "detector", "--out", tmp_path)
    assert ended.status == 2
    assert "refine" in ended.err


@pytest.mark.parametrize(
    ("options", "got"),
    [(["--backend", "torch"], "--backend: got torch"), (["--precision", "int8"], "--precision: got int8")],
)
def test_build_refuses_what_makes_no_engine(
    storm_edge: Command, options: list[str], got: str, tmp_path: Path
) -> None:
    ended = storm_edge("build", tmp_path, *options)
    assert ended.status == 1
    assert ended.err.startswith(f"error: {got}")
    assert ended.err.count("\n") == 1


def test_help_keeps_its_brackets(storm_edge: Command) -> None:
    assert "[MiB]" in storm_edge("build", "--help").out
    assert "[Hz]" in storm_edge("bench", "run", "--help").out


def test_the_shell_completes(storm_edge: Command) -> None:
    assert "--install-completion" in storm_edge("--help").out


def test_threads_bound_every_library(storm_edge: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from storm_edge import thread_limit
    from storm_edge.engines.contract import EngineOptions

    monkeypatch.setattr(thread_limit, "_limit", None)
    for name in thread_limit._VARIABLES:
        monkeypatch.setenv(name, "8")
    assert EngineOptions().threads is None
    assert storm_edge("--threads", 2, "config", "show", "--json").status == 0
    assert EngineOptions().threads == 2
    assert {os.environ[name] for name in thread_limit._VARIABLES} == {"2"}


def test_threads_are_what_the_libraries_then_use() -> None:
    code = (
        "from storm_edge.thread_limit import limit_threads; limit_threads(1); import cv2; print(cv2.getNumThreads())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"
