"""Engines on disk: found by what they were built from, so that nothing stale is ever loaded.

    ENGINES/<bundle>/<precision>/<target>/refine-1f00c0ffee00.engine     named by its key
                                          refine-1f00c0ffee00.json      what went into the key, and what came of it
                                          timing.cache
    ENGINES/<bundle>/.lock                                              held while somebody builds

A key is the hash of everything an engine depends on. Engines of older keys stay: after a change that is taken back,
or another JetPack, they are fresh again. Files appear whole, the manifest last, so that one without the other is no
engine.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from storm_edge.engines.backends.targets import Target
from storm_edge.engines.backends.tensorrt_api import Report, TensorRt
from storm_edge.engines.backends.tensorrt_build import DEFAULT_WORKSPACE_MIB, Built, build_engine
from storm_edge.engines.exported import ExportedGraph
from storm_edge.errors import EngineError, OutputError, mismatch
from storm_edge.files import sha256

_TIMING = "timing.cache"
_BUILD = "build it again with storm-edge build"
_WORDS = {
    "onnx_sha256": "network",
    "recipe_sha256": "recipe",
    "calibration_sha256": "calibration set",
    "profiles": "profiles",
    "flavour": "TensorRT package",
    "version": "TensorRT version",
    "sm": "compute capability",
    "gpu": "GPU",
    "system": "driver or L4T",
    "workspace_mib": "workspace",
    "flags": "builder flags",
}


@dataclass(frozen=True, kw_only=True)
class EngineKey:
    """Everything an engine depends on."""

    graph: str
    """The graph."""
    precision: str
    """What it computes in."""
    onnx_sha256: str
    """Of the ONNX file."""
    recipe_sha256: str
    """Of the recipe."""
    calibration_sha256: str | None
    """Of the calibration set, for INT8."""
    profiles: dict[str, tuple[int, int, int]]
    """Batch sizes by use."""
    flavour: str
    """TensorRT package."""
    version: str
    """Its full version."""
    sm: str
    """Compute capability."""
    gpu: str
    """Name of the GPU, or ``any``."""
    system: str
    """Driver and L4T, or ``any``."""
    workspace_mib: int
    """Scratch memory a kernel may take [MiB]."""
    flags: tuple[str, ...] = ("STRONGLY_TYPED", "max_aux_streams=0")
    """How it is built."""

    @property
    def digest(self) -> str:
        """Hash of all of it."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode())

    @property
    def stem(self) -> str:
        """Name of its files."""
        return f"{self.graph}-{self.digest[:12]}"


class CacheState(str, Enum):
    """How an engine stands."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One engine that is wanted, and whether it is there."""

    key: EngineKey
    """What it must be."""
    graph: ExportedGraph
    """What it is built from."""
    state: CacheState
    """Whether it is."""
    why: str
    """In words, if it is not fresh."""


def key_of(graph: ExportedGraph, api: TensorRt, target: Target, *, workspace_mib: int) -> EngineKey:
    """The key of the engine that a graph becomes."""
    return EngineKey(
        graph=graph.graph,
        precision=graph.precision,
        onnx_sha256=graph.sha256,
        recipe_sha256=graph.recipe_sha256,
        calibration_sha256=graph.calibration_sha256,
        profiles=dict(graph.profiles),
        flavour=api.flavour,
        version=api.version,
        sm=target.sm,
        gpu=target.gpu,
        system=target.system,
        workspace_mib=workspace_mib,
    )


class EngineStore:
    """The engines of one bundle.

    Args:
        root: Folder of all engines.
        bundle: Name of the bundle.
    """

    def __init__(self, root: Path, bundle: str) -> None:
        self.root = root / bundle
        """Folder of this bundle's engines."""

    def folder(self, key: EngineKey) -> Path:
        """Where an engine lies."""
        return self.root / key.precision / key.sm

    def engine_path(self, key: EngineKey) -> Path:
        """The engine's file."""
        return self.folder(key) / f"{key.stem}.engine"

    def check(
        self,
        graphs: Sequence[ExportedGraph],
        api: TensorRt,
        target: Target,
        *,
        workspace_mib: int = DEFAULT_WORKSPACE_MIB,
    ) -> list[Standing]:
        """How the engines of some graphs stand; nothing is built and no TensorRT called."""
        standings = []
        for graph in graphs:
            key = key_of(graph, api, target, workspace_mib=workspace_mib)
            state, why = self._state(key)
            standings.append(Standing(key=key, graph=graph, state=state, why=why))
        return standings

    def _state(self, key: EngineKey) -> tuple[CacheState, str]:
        path = self.engine_path(key)
        if path.with_suffix(".json").is_file():
            try:
                read_engine(path)
            except EngineError as error:
                return CacheState.BROKEN, str(error)
            return CacheState.FRESH, ""
        others, damaged = self._manifests(self.folder(key), key.graph)
        if not others:
            return (CacheState.MISSING, "never built") if damaged is None else (CacheState.BROKEN, str(damaged))
        return CacheState.STALE, _changes(others[-1][1], asdict(key))

    def find(self, graph: ExportedGraph, api: TensorRt, here: Target) -> Path:
        """The engine that was built of a graph and runs here; of several the newest.

        How much workspace the builder had changes nothing for who runs it, and an engine that was built for any GPU
        of this compute capability will do.

        Raises:
            EngineError: There is none, and why not: never built, for another GPU, or of something that has changed.
        """
        what = f"engine of {graph.graph} in {graph.precision}"
        if graph.precision == "int8":
            remedy = "open the bundle's int8-fp16 folder"
            raise EngineError(mismatch(what, "INT8 as ONNX Runtime wants it", "int8-fp16", remedy))
        wanted = asdict(key_of(graph, api, here, workspace_mib=DEFAULT_WORKSPACE_MIB))
        remedy = f"{_BUILD} --backend {api.flavour} --precision {graph.precision}"
        why = ""
        kept, damaged = self._manifests(self.root / graph.precision / here.sm, graph.graph)
        for path, key in kept[::-1]:
            alike = {name: key.get(name) for name in ("gpu", "system") if key.get(name) == "any"}
            like_it = {**wanted, **alike, "workspace_mib": key.get("workspace_mib")}
            if _plain(key) == _plain(like_it):
                return path.with_suffix(".engine")
            why = why or _changes(key, like_it)
        if why:
            raise EngineError(
                mismatch(what, f"a stale one ({why})", f"one of {graph.path.name} as it is now", remedy)
            )
        if damaged is not None:
            raise damaged
        others = sorted(p.parent.name for p in self.root.glob(f"{graph.precision}/*/{graph.graph}-*.json"))
        got = f"none but for {', '.join(dict.fromkeys(others))}" if others else f"none in {self.root}"
        raise EngineError(mismatch(what, got, f"one for {here.sm} ({here.gpu})", remedy))

    @staticmethod
    def _manifests(folder: Path, graph: str) -> tuple[list[tuple[Path, dict[str, Any]]], EngineError | None]:
        """Manifests of a graph's engines with their keys, the newest last; and what is wrong with one, if any is."""
        paths = [p for p in folder.glob(f"{graph}-*.json") if p.stem.removeprefix(f"{graph}-").isalnum()]
        found, damaged = [], None
        for path in sorted(paths, key=lambda p: (p.stat().st_mtime_ns, p.name)):
            try:
                found.append((path, dict(json.loads(path.read_text(encoding="utf-8"))["key"])))
            except (OSError, ValueError, KeyError, TypeError) as error:
                remedy = f"remove it and {_BUILD}"
                damaged = EngineError(mismatch(path, error, "a manifest of storm-edge build", remedy))
        return found, damaged

    def build(
        self,
        graphs: Sequence[ExportedGraph],
        api: TensorRt,
        target: Target,
        *,
        workspace_mib: int = DEFAULT_WORKSPACE_MIB,
        progress: Report | None = None,
        waiting: Callable[[], None] | None = None,
    ) -> list[Standing]:
        """Build what is not fresh; how each engine stood before.

        Args:
            graphs: What to build.
            api: TensorRT with a builder.
            target: For which GPU.
            workspace_mib: Scratch memory a kernel may take [MiB].
            progress: Called with a graph and the finished share.
            waiting: Called when another build of this bundle has to be waited for.

        Raises:
            BackendError: There is not enough memory.
            EngineError: A graph is refused.
            OutputError: The store cannot be written; engines that were there stay.
        """
        with self._locked(waiting):
            # What another build did meanwhile is fresh now.
            standings = self.check(graphs, api, target, workspace_mib=workspace_mib)
            for standing in standings:
                if standing.state is not CacheState.FRESH:
                    self._build_one(standing, api, target, progress)
        return standings

    def _build_one(self, standing: Standing, api: TensorRt, target: Target, progress: Report | None) -> None:
        key, graph = standing.key, standing.graph
        timing = self.folder(key) / _TIMING
        built = build_engine(
            api,
            graph.path,
            profiles=graph.profiles,
            target=target,
            workspace_mib=key.workspace_mib,
            timing_cache=timing.read_bytes() if timing.is_file() else b"",
            progress=progress,
        )
        path = self.engine_path(key)
        write_whole(path, built.data)
        if built.timing_cache:
            write_whole(timing, built.timing_cache)
        # Last: an engine without a manifest is none.
        write_whole(path.with_suffix(".json"), _manifest(key, graph, built).encode())

    @contextmanager
    def _locked(self, waiting: Callable[[], None] | None) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w", encoding="ascii")
        except OSError as error:
            got = error.strerror or error
            raise OutputError(
                mismatch(self.root, got, "a folder that can be written", "choose another --out")
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is not None:
                    waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            for part in self.root.rglob(".*.part-*"):  # of a build that was killed while it wrote
                part.unlink(missing_ok=True)
            yield  # the system lets go of it with the file, however this process ends


def read_engine(path: Path) -> tuple[bytes, dict[str, Any]]:
    """An engine and its manifest.

    Raises:
        EngineError: Either is missing, or the engine is not the one that was built.
    """
    try:
        manifest: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        data = path.read_bytes()
        wanted, size = manifest["engine_sha256"], manifest["engine_bytes"]
        digest = sha256(json.dumps(manifest["key"], sort_keys=True).encode())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(mismatch(path, error, "an engine with its manifest", _BUILD)) from error
    if not path.stem.endswith(f"-{digest[:12]}"):
        got = f"a manifest that says it is {digest[:12]}"
        raise EngineError(mismatch(path, got, "the one it was built with", _BUILD))
    if len(data) != size:
        raise EngineError(mismatch(path, f"{len(data)} bytes", f"{size}", _BUILD))
    found = sha256(data)
    if found != wanted:
        raise EngineError(mismatch(path, f"sha256 {found[:12]}", f"{wanted[:12]}", _BUILD))
    return data, manifest


def check_fits(path: Path, key: dict[str, Any], api: TensorRt, here: Target | None) -> None:
    """Refuse an engine that this TensorRT or this GPU would crash on.

    Raises:
        EngineError: It was built by another package or version, or for another GPU.
    """
    flavours = {"tensorrt", "tensorrt_lean"}
    alike = key["flavour"] == api.flavour or {key["flavour"], api.flavour} <= flavours
    if not alike or key["version"] != api.version:
        got = f"an engine of {key['flavour']} {key['version']}"
        raise EngineError(mismatch(path, got, f"one of {api.flavour} {api.version}", _BUILD))
    if here is not None and (key["sm"] != here.sm or key["gpu"] not in ("any", here.gpu)):
        got = f"an engine for {key['sm']} ({key['gpu']})"
        raise EngineError(mismatch(path, got, f"one for {here.sm} ({here.gpu})", _BUILD))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Raises:
        OutputError: It cannot be written; what was there stays.
    """
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        got = error.strerror or error
        raise OutputError(
            mismatch(path, got, f"room for {len(data) // 1024} KiB", "free some, or choose --out")
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _manifest(key: EngineKey, graph: ExportedGraph, built: Built) -> str:
    content = {
        "format": 1,
        "key": asdict(key),
        "digest": key.digest,
        "onnx": graph.path.name,
        "cosine_to_fp32": graph.cosine,
        "engine_sha256": sha256(built.data),
        "engine_bytes": len(built.data),
        "build_seconds": round(built.seconds, 2),
        "build_peak_bytes": built.peak_bytes,
        "build_estimate_bytes": built.estimate_bytes,
    }
    return json.dumps(content, indent=2) + "\n"


def _plain(key: dict[str, Any]) -> dict[str, Any]:
    """A key as JSON gives it back: lists for tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(key))
    return plain


def _changes(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What differs between the key an engine has and the one it needs."""
    old, new = _plain(old), _plain(new)
    lines = []
    for field, word in _WORDS.items():
        if old.get(field) != new[field]:
            short = field.endswith("sha256")
            was, now = (str(key.get(field))[:12] if short else str(key.get(field)) for key in (old, new))
            lines.append(f"{word} changed from {was} to {now}")
    return "; ".join(lines) or "built by an older version of this program"
