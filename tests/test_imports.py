"""What a robot runs must import without the packages of training and drawing, and importing must stay cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

PACKAGES_WITHOUT_TORCH = (
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
    "service",
    "evaluate",
    "training_data",
    "datasets",
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
    if module.name.split(".")[1] in {packages!r}:
        importlib.import_module(module.name)
        print(module.name)
"""


RUN_BY_A_ROBOT = ("live", "pipeline", "objects", "engines", "kernels", "geometry")

IMPORT_WHAT_A_ROBOT_RUNS = """
import importlib, importlib.abc, pkgutil, sys

LEFT_OUT = {{"torch", "onnx", "onnxscript", "matplotlib", "trimesh"}}
OF_OURS = {{"replay", "bench", "service", "synthetic", "bop", "train"}}
OF_OURS |= {{"evaluate", "networks", "export", "calib", "cli"}}

class NotInstalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        first, *rest = name.split(".")
        if first in LEFT_OUT or (first == "storm_edge" and rest and rest[0] in OF_OURS):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
import storm_edge
for name in {packages!r}:
    package = importlib.import_module("storm_edge." + name)
    print(package.__name__)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        print(module.name)
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_only_training_and_export_need_torch() -> None:
    imported = python(IMPORT_ALL_WITHOUT_TORCH.format(packages=PACKAGES_WITHOUT_TORCH))
    for package in PACKAGES_WITHOUT_TORCH:
        assert f"storm_edge.{package}" in imported


def test_what_a_robot_runs_imports_without_training_recordings_and_drawing() -> None:
    """Every module of it, in an interpreter where those packages and ours for them are not installed."""
    imported = python(IMPORT_WHAT_A_ROBOT_RUNS.format(packages=RUN_BY_A_ROBOT)).split()
    assert {f"storm_edge.{name}" for name in RUN_BY_A_ROBOT} <= set(imported)
    assert "storm_edge.live.session" in imported


@pytest.mark.parametrize("heavy", ["numpy", "warp", "onnxruntime", "torch", "cv2"])
def test_importing_the_package_loads_nothing_heavy(heavy: str) -> None:
    assert python(f"import sys, storm_edge; print({heavy!r} in sys.modules)").strip() == "False"


@pytest.mark.parametrize("heavy", ["numpy", "warp", "onnxruntime", "torch", "cv2", "trimesh", "matplotlib", "scipy"])
def test_the_command_line_starts_light(heavy: str) -> None:
    """Heavy imports sit inside the commands, so that --help answers at once on a robot."""
    assert python(f"import sys, storm_edge.cli.main; print({heavy!r} in sys.modules)").strip() == "False"
