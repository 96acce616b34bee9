"""The engine cache: built once, rebuilt for a reason, never half there."""

from __future__ import annotations

import errno
import fcntl
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storm_edge.engines import cache as module
from storm_edge.engines.backends.tensorrt.api import TensorRt
from storm_edge.engines.backends.tensorrt.build import Built
from storm_edge.engines.cache import CacheState, EngineCache
from storm_edge.engines.engine_file import read_engine
from storm_edge.errors import EngineError, OutputError
from tests.engines.tensorrt import SM86, doubled, exported


class Ten:
    """As much of TensorRT as a key needs."""

    __version__ = "10.3.0"
    Builder = object


API = TensorRt(flavour="tensorrt", module=Ten)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Graphs that were built, by a builder that only copies."""
    names: list[str] = []

    def build(api: TensorRt, onnx: Path, **options: Any) -> Built:
        names.append(onnx.stem)
        return Built(data=onnx.read_bytes(), timing_cache=b"t", seconds=0.1, peak_bytes=1, estimate_bytes=2)

    monkeypatch.setattr(module, "build_engine", build)
    return names


@pytest.fixture
def graphs(tmp_path: Path) -> list[Any]:
    return [exported(doubled(tmp_path / f"{name}.onnx", factor=i)) for i, name in enumerate(("refine", "score"), 2)]


def test_nothing_changed_builds_nothing_and_one_recipe_builds_its_own(
    tmp_path: Path, graphs: list[Any], calls: list[str]
) -> None:
    cache = EngineCache(tmp_path / "engines", "nano")
    assert [s.state for s in cache.build(graphs, API, SM86)] == [CacheState.MISSING, CacheState.MISSING]
    assert calls == ["refine", "score"]
    assert [s.state for s in cache.build(graphs, API, SM86)] == [CacheState.FRESH, CacheState.FRESH]
    assert calls == ["refine", "score"]
    changed = [replace(graphs[0], recipe_sha256="b" * 64), graphs[1]]
    statuses = cache.check(changed, API, SM86)
    assert statuses[0].reason == f"recipe changed from {'a' * 12} to {'b' * 12}"
    cache.build(changed, API, SM86)
    assert calls == ["refine", "score", "refine"]
    assert all(
        s.state is CacheState.FRESH for s in cache.check(graphs, API, SM86)
    )  # taken back: the old one is still there


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": "10.16.2"}, "TensorRT version changed from 10.3.0 to 10.16.2"),
        ({"gpu": "Orin Nano"}, "GPU changed from any to Orin Nano"),
        ({"workspace_mib": 256}, "workspace changed from 1024 to 256"),
    ],
)
def test_what_made_an_engine_stale_is_said(
    tmp_path: Path, graphs: list[Any], calls: list[str], change: dict[str, Any], why: str
) -> None:
    cache = EngineCache(tmp_path / "engines", "nano")
    cache.build(graphs, API, SM86)
    target = replace(SM86, gpu=change.get("gpu", "any"))
    newer = TensorRt(flavour="tensorrt", module=type("Newer", (), {"__version__": change.get("version", "10.3.0")}))
    status = cache.check(graphs, newer, target, workspace_mib=change.get("workspace_mib", 1024))[0]
    assert (status.state, status.reason) == (CacheState.STALE, why)


@pytest.mark.parametrize(("damage", "message"), [("cut", r"got \d+ bytes"), ("edit", "got sha256")])
def test_a_damaged_engine_is_refused_and_built_again(
    tmp_path: Path, graphs: list[Any], calls: list[str], damage: str, message: str
) -> None:
    cache = EngineCache(tmp_path / "engines", "nano")
    (status, _) = cache.build(graphs, API, SM86)
    path = cache.engine_path(status.key)
    data = path.read_bytes()
    path.write_bytes(data[:-5] if damage == "cut" else b"x" + data[1:])
    with pytest.raises(EngineError, match=message):
        read_engine(path)
    assert cache.check(graphs, API, SM86)[0].state is CacheState.BROKEN
    cache.build(graphs, API, SM86)
    assert read_engine(path)[0] == data


def test_a_full_disk_leaves_the_old_engines_and_no_parts(
    tmp_path: Path, graphs: list[Any], calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EngineCache(tmp_path / "engines", "nano")
    cache.build(graphs, API, SM86)
    before = sorted(p.name for p in (tmp_path / "engines").rglob("*"))

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device, expected room for"):
        cache.build([replace(graphs[0], recipe_sha256="b" * 64)], API, SM86)
    monkeypatch.undo()
    assert sorted(p.name for p in (tmp_path / "engines").rglob("*")) == before
    assert all(s.state is CacheState.FRESH for s in cache.check(graphs, API, SM86))


def test_an_engine_without_its_manifest_is_none(tmp_path: Path, graphs: list[Any], calls: list[str]) -> None:
    """What a build leaves that was killed between the two files."""
    cache = EngineCache(tmp_path / "engines", "nano")
    (status, _) = cache.build(graphs, API, SM86)
    cache.engine_path(status.key).with_suffix(".json").unlink()
    assert cache.check(graphs, API, SM86)[0].state is CacheState.MISSING
    with pytest.raises(EngineError, match="an engine with its manifest"):
        read_engine(cache.engine_path(status.key))


def test_what_a_killed_build_left_goes(tmp_path: Path, graphs: list[Any], calls: list[str]) -> None:
    cache = EngineCache(tmp_path / "engines", "nano")
    (status, _) = cache.build(graphs, API, SM86)
    place = cache.folder(status.key)
    ours = [place / name for name in (".refine-0123456789ab.engine.part-1", ".timing.cache.part-22")]
    ours.append(cache.root / ".engines.json.part-3")
    mine = [cache.root / name for name in (".notes.part-1", ".lock", "sub/.refine-0123456789ab.engine.part-1")]
    mine += [place / name for name in (".thesis.part-2", ".refine-0.engine.part-1", "deep/.timing.cache.part-22")]
    for path in (*ours, *mine):
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    cache.build(graphs, API, SM86)
    assert not any(path.exists() for path in ours)
    assert [path.read_text() for path in mine] == ["mine"] * len(mine)


def test_two_builds_do_not_clash(tmp_path: Path, graphs: list[Any], calls: list[str]) -> None:
    """The second waits, says so, and finds everything done."""
    cache = EngineCache(tmp_path / "engines", "nano")
    cache.build(graphs[:1], API, SM86)
    told = threading.Event()
    with (tmp_path / "engines" / "nano" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=lambda: cache.build(graphs[:1], API, SM86, waiting=told.set))
        second.start()
        assert told.wait(5.0)
        assert second.is_alive()
    second.join(5.0)
    assert not second.is_alive()
    assert calls == ["refine"]


def test_what_is_stale_and_what_is_built_is_logged(
    tmp_path: Path, graphs: list[Any], calls: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    cache = EngineCache(tmp_path / "engines", "nano")
    cache.build(graphs, API, SM86)
    changed = [replace(graphs[0], recipe_sha256="b" * 64), graphs[1]]
    with caplog.at_level(logging.INFO, logger="storm_edge"):
        cache.build(changed, API, SM86)
    stale, built = (record.getMessage() for record in caplog.records)
    assert stale == f"engine of refine in fp16 is stale: recipe changed from {'a' * 12} to {'b' * 12}"
    assert built.startswith("built engine ")
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="storm_edge"), pytest.raises(EngineError, match="a stale one"):
        cache.find(replace(graphs[0], sha256="c" * 64), API, SM86)
    (line,) = caplog.records
    assert "is stale: network changed from" in line.getMessage()


def test_int8_for_onnx_runtime_is_not_built(tmp_path: Path, graphs: list[Any], calls: list[str]) -> None:
    cache = EngineCache(tmp_path / "engines", "nano")
    with pytest.raises(EngineError, match="INT8 as ONNX Runtime wants it, expected int8-fp16"):
        cache.build([replace(graphs[0], precision="int8")], API, SM86)
    assert calls == []
