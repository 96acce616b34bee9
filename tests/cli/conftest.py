"""The command as a user runs it, and a tiny scene to run it on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storm_edge.cli.main import run
from storm_edge.engines.manifest import write_manifest
from storm_edge.objects.onboard import onboard
from tests.engines import tiny
from tests.tiny_scene import MODEL, OBJECT_ID, pose, write_tiny_scene


@dataclass(frozen=True)
class Ended:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command sets up the log of the whole process; the next test must not inherit it."""
    logger = logging.getLogger("storm_edge")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def storm_edge(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command with arguments; both streams as a terminal would have got them, native libraries included."""

    def command(*arguments: object) -> Ended:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, out, err)

    return command


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_tiny_scene(tmp_path / "scene")


@pytest.fixture
def model(scene: Path) -> Path:
    return scene / MODEL


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """The true poses of the tiny scene as `poses.jsonl`."""
    lines = [
        {
            "frame": index,
            "stamp_ns": 0,
            "object": f"obj_{OBJECT_ID:06d}",
            "state": "TRACKING",
            "T_cam_obj": pose(index).tolist(),
            "confidence": 1.0,
            "pose_age_ms": 0.0,
            "latency_ms": {"track": 9.0},
        }
        for index in range(2)
    ]
    path = tmp_path / "poses.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network bundle that opens and runs; what it answers is of no use."""
    folder = tmp_path_factory.mktemp("networks")
    tiny.refine(folder / "refine.onnx", size_px=32)
    tiny.score_features(folder / "score_features.onnx", size_px=32)
    tiny.score_attention(folder / "score_attention.onnx")
    files = {name: f"{name}.onnx" for name in ("refine", "score_features", "score_attention")}
    write_manifest(folder, name="tiny", size_px=32, preset="default", networks=files)
    return folder


@pytest.fixture(scope="session")
def thing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the tiny scene's box."""
    folder = tmp_path_factory.mktemp("thing")
    scene = write_tiny_scene(folder / "scene")
    onboard(scene / MODEL, "mm", view_subdivisions=1).save(folder / "object")
    return folder / "object"
