"""`storm_edge.live` is what a robot imports: its names, and what that must not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import storm_edge.live

USE_ALL = """
import sys
import storm_edge.live
for name in storm_edge.live.__all__:
    getattr(storm_edge.live, name)
print(*sorted(sys.modules))
"""


def loaded(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_robot_loads_no_workshop() -> None:
    modules = loaded(USE_ALL)
    assert "storm_edge.live.session" in modules
    workshop = ("torch", "onnx", "matplotlib", "trimesh", "typer")
    workshop += tuple(f"storm_edge.{name}" for name in ("synthetic", "replay", "bench", "train", "networks", "cli"))
    found = [name for name in modules if any(name == one or name.startswith(f"{one}.") for one in workshop)]
    assert found == []


@pytest.mark.parametrize("heavy", ["warp", "onnxruntime"])
def test_its_names_are_loaded_when_they_are_used(heavy: str) -> None:
    assert loaded(f"import sys, storm_edge.live; print({heavy!r} in sys.modules)") == ["False"]


def test_all_names_are_there_and_no_others() -> None:
    for name in storm_edge.live.__all__:
        assert getattr(storm_edge.live, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute no_such_name"):
        storm_edge.live.no_such_name  # noqa: B018
