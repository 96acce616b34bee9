"""What a robot installs must import without the workshop, and importing must stay cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

ROBOT_ROOMS = (
    "errors",
    "frame",
    "geometry",
    "kernels",
    "objects",
    "bop",
    "synthetic",
    "engines",
    "pipeline",
    "live",
    "replay",
    "bench",
    "evaluate",
)

IMPORT_ALL_WITHOUT_TORCH = """
import importlib, importlib.abc, pkgutil, sys

class NotInstalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"torch", "onnx", "onnxscript"}}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
import storm_edge
for module in pkgutil.walk_packages(storm_edge.__path__, "storm_edge."):
    if module.name.split(".")[1] in {rooms!r}:
        importlib.import_module(module.name)
        print(module.name)
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_robot_rooms_need_no_torch() -> None:
    imported = python(IMPORT_ALL_WITHOUT_TORCH.format(rooms=ROBOT_ROOMS))
    for room in ROBOT_ROOMS:
        assert f"storm_edge.{room}" in imported


@pytest.mark.parametrize("heavy", ["numpy", "warp", "onnxruntime", "torch", "cv2"])
def test_importing_the_package_loads_nothing_heavy(heavy: str) -> None:
    assert python(f"import sys, storm_edge; print({heavy!r} in sys.modules)").strip() == "False"


@pytest.mark.parametrize("heavy", ["warp", "onnxruntime", "torch", "cv2", "trimesh", "matplotlib", "scipy"])
def test_the_command_line_starts_light(heavy: str) -> None:
    """Heavy imports sit inside the commands, so that --help answers at once on a robot."""
    assert python(f"import sys, storm_edge.cli.main; print({heavy!r} in sys.modules)").strip() == "False"
