from __future__ import annotations

import subprocess
import sys

import pytest

from storm_edge import __version__
from storm_edge.cli import main
from tests.cli.conftest import Command

HEAVY = ("torch", "warp", "trimesh", "matplotlib", "onnxruntime", "cv2", "scipy", "pydantic")


def test_version(storm_edge: Command) -> None:
    ended = storm_edge("--version")
    assert (ended.status, ended.out) == (0, f"storm-edge {__version__}\n")


@pytest.mark.parametrize("command", [[], ["onboard"], ["eval"], ["eval", "poses"], ["train"], ["train", "refine"]])
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
