"""A disk that is really full: nothing of the user's is lost, one line says so, and nothing half is left."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storm_edge.engines import cache as engine_cache
from storm_edge.engines.backends.tensorrt.api import TensorRt
from storm_edge.engines.backends.tensorrt.build import Built
from storm_edge.engines.cache import EngineCache
from storm_edge.errors import OutputError
from tests.cli.conftest import Command
from tests.engines.tensorrt import SM86, doubled, exported
from tests.result_kinds import EXAMPLES, everything

FREE = {example.kind.command.removeprefix("storm-edge "): example for example in EXAMPLES}
LEFT_BYTES = [0, 4096, 48 * 4096]
Leave = Callable[[int], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], check=False)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def fill(disk: Path, left_bytes: int) -> None:
    """Leave so much room."""
    free = shutil.disk_usage(disk).free
    (disk / "photos.raw").write_bytes(b"x" * (free - left_bytes))


@pytest.mark.parametrize("left_bytes", LEFT_BYTES)
@pytest.mark.parametrize("command", ["track", "segment", "onboard", "bench", "eval poses"])
def test_a_full_disk_costs_the_new_result_alone(
    command: str,
    left_bytes: int,
    storm_edge: Command,
    disk: Path,
    scene: Path,
    model: Path,
    thing: Path,
    predictions: Path,
) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "track": (scene, "--object", thing, "--bundle", "none", "--init", "gt"),
        "segment": (scene, "--object", thing, "--colour", "--raw"),
        "onboard": (model, "--unit", "mm", "--bundle", "none"),
        "bench": (scene, "--object", thing, "--bundle", "none", "--frames", 2, "--warm-up", 1),
        "eval poses": (predictions, "--scene", scene, "--object", thing),
    }
    FREE[command].write(disk / "out")
    fill(disk, left_bytes)
    before = everything(disk)
    ended = storm_edge(*command.split(), *arguments[command], "--out", disk / "out")
    if ended.status == 0:  # what is small may find room
        assert left_bytes
        assert everything(disk)["photos.raw"] == before["photos.raw"]
        return
    assert ended.status == 1
    (line,) = [line for line in ended.err.splitlines() if not line.startswith("note:")]  # how far a slow one is
    assert "No space left on device" in line
    assert everything(disk) == before


@pytest.mark.parametrize("left_bytes", LEFT_BYTES)
def test_a_full_disk_leaves_the_engines_that_were_there(
    left_bytes: int, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ten:
        __version__ = "10.3.0"
        Builder = object

    def build(api: TensorRt, onnx: Path, **options: object) -> Built:
        return Built(data=bytes(300_000), timing_cache=b"t", seconds=0.1, peak_bytes=1, estimate_bytes=2)

    monkeypatch.setattr(engine_cache, "build_engine", build)
    api = TensorRt(flavour="tensorrt", module=Ten)
    cache = EngineCache(disk / "engines", "b")
    (cache.root / "fp16" / "sm86").mkdir(parents=True)
    (cache.root / "fp16" / "sm86" / "mine.engine").write_text("mine")
    (cache.root / ".lock").touch()
    fill(disk, left_bytes)
    before = everything(disk)
    with pytest.raises(OutputError, match="No space left on device"):
        cache.build([exported(doubled(tmp_path / "refine.onnx"))], api, SM86)
    after = everything(disk)
    after.pop("engines/b/fp16/sm86/timing.cache", None)  # whole, and of use to the next build
    assert after == before


@pytest.mark.parametrize("left_bytes", LEFT_BYTES[:2])
def test_a_full_disk_ends_training_in_one_line(
    left_bytes: int, disk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    from tests.train.toy import train_here

    (disk / "run").mkdir()
    (disk / "run" / "notes.txt").write_text("mine")
    fill(disk, left_bytes)
    before = everything(disk)
    assert train_here(monkeypatch, "--workers", "0", "--steps", "2", "--out", str(disk / "run")) == 1
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert "error:" in told.splitlines()[-1]
    after = everything(disk)
    after.pop("run/log.jsonl", None)
    assert after == before
