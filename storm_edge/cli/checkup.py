"""The findings of `storm-edge doctor`. Each check tries the thing itself, not only whether it is installed."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storm_edge.errors import StormEdgeError

if TYPE_CHECKING:
    from storm_edge.engines.bundle import NetworkBundle

MIN_PYTHON = (3, 10)
LIBRARIES = (
    "numpy",
    "scipy",
    "opencv-python-headless",
    "warp-lang",
    "onnxruntime",
    "trimesh",
    "fast-simplification",
    "mapbox-earcut",
    "pydantic",
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check and its outcome."""

    name: str
    """What."""
    passed: bool
    """Whether it is there and works."""
    required: bool
    """Whether registering and tracking on a CPU need it."""
    detail: str
    """Version, or what to do about it."""


def examine() -> list[Finding]:
    """All findings, what everything else needs first."""
    return [
        _python(),
        *(_library(name) for name in LIBRARIES),
        _tried("CPU kernels", True, _render_a_box),
        _tried("network bundle nano", True, _run_the_networks),
        _tried("video", False, _write_a_video),
        _tried("CUDA", False, _find_cuda),
        _tried("TensorRT", False, _find_tensorrt),
        _installed("PyTorch", ("torch",), "for training and export only: pip install 'storm-edge[train]'"),
    ]


def examine_bundle(name: str) -> list[Finding]:
    """Whether the networks of a bundle open, and what each schedule would ask of them.

    Raises:
        StormEdgeError: There is no such bundle, or its files are not those of its manifest.
    """
    from storm_edge.choices import Schedule
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.live.config import StormConfig
    from storm_edge.live.schedules import check_schedule, default_schedule, idle_networks, with_schedule

    bundle = NetworkBundle.load(name)
    findings = [_tried(f"network {network}", True, partial(_open, bundle, network)) for network in bundle.networks]
    default = default_schedule(bundle.tier, bundle.networks)
    for schedule in Schedule:
        config = with_schedule(StormConfig(), schedule)

        def asked(config: StormConfig = config) -> str:
            check_schedule(config, bundle)
            idle = idle_networks(config, bundle)
            return f"idle: {', '.join(idle)}" if idle else "asks all"

        name_shown = f"schedule {schedule.value}{' (default)' if schedule is default else ''}"
        findings.append(_tried(name_shown, schedule is default, asked))
    return findings


def _open(bundle: NetworkBundle, network: str) -> str:
    """Open one network, its tensors checked."""
    spec = bundle.open(network).spec
    return f"{', '.join(t.name for t in spec.inputs)} -> {', '.join(t.name for t in spec.outputs)}"


def _python() -> Finding:
    detail = f"{platform.python_version()} on {platform.machine()}, {platform.system()}"
    return Finding(name="Python", passed=sys.version_info >= MIN_PYTHON, required=True, detail=detail)


def _library(distribution: str) -> Finding:
    try:
        return Finding(name=distribution, passed=True, required=True, detail=version(distribution))
    except PackageNotFoundError:
        return Finding(name=distribution, passed=False, required=True, detail=f"pip install {distribution}")


def _installed(name: str, modules: tuple[str, ...], remedy: str) -> Finding:
    found = [module for module in modules if find_spec(module) is not None]
    return Finding(name=name, passed=bool(found), required=False, detail=", ".join(found) or remedy)


def _tried(name: str, required: bool, attempt: Callable[[], str]) -> Finding:
    """Passed when ``attempt`` returns; its answer, or its error, is the detail."""
    try:
        return Finding(name=name, passed=True, required=required, detail=attempt())
    except (StormEdgeError, ImportError, OSError, RuntimeError) as error:
        return Finding(name=name, passed=False, required=required, detail=" ".join(str(error).split()))


def _render_a_box() -> str:
    """Compile the rasteriser and see a square 0.5 m away where it is."""
    from storm_edge.geometry.mesh import make_mesh
    from storm_edge.geometry.se3 import make_T
    from storm_edge.kernels.renderer import render

    corners = np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
    square = make_mesh(0.1 * corners, np.array([[0, 1, 2], [0, 2, 3]]))
    K = np.array([[16.0, 0.0, 7.5], [0.0, 16.0, 7.5], [0.0, 0.0, 1.0]])
    depth = render(square, make_T(np.eye(3), [0.0, 0.0, 0.5]), K, 16).depth[0]
    if abs(float(depth[8, 8]) - 0.5) > 1e-5 or depth[0, 0] != 0.0:
        raise RuntimeError(f"a square at 0.5 m was rendered at {depth[8, 8]:.6f} m; report this machine")
    return "compile and render"


def _run_the_networks() -> str:
    """Load every network of the shipped bundle, its hash checked."""
    from storm_edge.engines.bundle import NetworkBundle

    bundle = NetworkBundle.load("nano")
    for network in bundle.networks:
        bundle.open(network)
    return f"{', '.join(bundle.networks)}; {bundle.size_px} px crops"


def _write_a_video() -> str:
    from storm_edge.replay.drawing.video import Video

    with tempfile.TemporaryDirectory() as folder, Video(Path(folder) / "v.webm", (16, 16)) as video:
        video.write(np.zeros((16, 16, 3), dtype=np.uint8))
    return "VP8 in WebM, written by OpenCV"


def _find_tensorrt() -> str:
    """Load the package that `storm-edge build` would take."""
    from storm_edge.engines.backends.tensorrt.api import load_installed_builder

    api = load_installed_builder()
    if not api.builds:
        raise RuntimeError(f"{api.flavour} {api.version} runs engines but builds none")
    return f"{api.flavour} {api.version}, for engines on NVIDIA"


def _find_cuda() -> str:
    from storm_edge.kernels.device import require_device

    device = require_device("cuda")
    return str(device.name)
