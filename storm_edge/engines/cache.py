"""Built engines on disk: found by what they were built from, so that nothing stale is ever loaded.

    ENGINES/<bundle>/<precision>/<sm>/refine-1f00c0ffee00.engine     named by the hash of its key
                                      refine-1f00c0ffee00.json      its manifest, see `engine_file`
                                      timing.cache                  makes the next build quicker
    ENGINES/<bundle>/.lock                                          held during a build

A key is everything an engine depends on, see `engine_key`. Engines of older keys stay: after a change that is taken
back, or another JetPack, they are fresh again.
"""

from __future__ import annotations

import fcntl
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt.api import Report, TensorRt
from storm_edge.engines.backends.tensorrt.build import DEFAULT_WORKSPACE_MIB, BuildOptions, Built, build_engine
from storm_edge.engines.engine_file import REBUILD, SUFFIX, read_engine, write_engine
from storm_edge.engines.engine_key import EngineKey, as_json, changes, key_of
from storm_edge.engines.exported_graphs import ExportedGraph
from storm_edge.errors import EngineError, OutputError, mismatch
from storm_edge.files import write_atomically
from storm_edge.parsing import parse_json

_log = logging.getLogger(__name__)

_TIMING = "timing.cache"
_PART = re.compile(r"\.(timing\.cache|\w+-[0-9a-f]{12}\.(engine|json))\.part-\d+")
_REPORT_PART = re.compile(r"\.engines\.(json|html)\.part-\d+")


class CacheState(str, Enum):
    """Whether an engine can be used."""

    FRESH = "fresh"
    """Built from what is there now."""
    STALE = "stale"
    """Built from something that has changed since."""
    MISSING = "missing"
    """Never built."""
    BROKEN = "broken"
    """Its files are damaged."""


@dataclass(frozen=True, kw_only=True)
class EngineStatus:
    """One engine that is wanted, and whether it is there."""

    key: EngineKey
    """What it depends on."""
    graph: ExportedGraph
    """What it is built from."""
    state: CacheState
    """Whether it can be used."""
    reason: str
    """Why not; empty if it is fresh."""


class EngineCache:
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
        return self.folder(key) / f"{key.stem}{SUFFIX}"

    def check(
        self,
        graphs: Sequence[ExportedGraph],
        api: TensorRt,
        target: GpuTarget,
        *,
        workspace_mib: int = DEFAULT_WORKSPACE_MIB,
    ) -> list[EngineStatus]:
        """Which engines of some graphs can be used; nothing is built. Arguments as for `build`.

        Raises:
            EngineError: A graph is INT8 as ONNX Runtime wants it.
        """
        statuses = []
        for graph in graphs:
            _refuse_int8(graph)
            key = key_of(graph, api, target, workspace_mib=workspace_mib)
            state, reason = self._state(key)
            if state is not CacheState.FRESH:
                _log.info("engine of %s in %s is %s: %s", key.graph, key.precision, state.value, reason)
            statuses.append(EngineStatus(key=key, graph=graph, state=state, reason=reason))
        return statuses

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
        return CacheState.STALE, changes(others[-1][1], asdict(key))

    def find(self, graph: ExportedGraph, api: TensorRt, here: GpuTarget) -> Path:
        """The engine that was built of a graph and runs here; of several the newest.

        How much workspace the builder had changes nothing for who runs it, and an engine that was built for any GPU
        of this compute capability will do.

        Raises:
            EngineError: There is none, and why not: never built, for another GPU, or of something that has changed.
        """
        what = f"engine of {graph.graph} in {graph.precision}"
        _refuse_int8(graph)
        wanted = asdict(key_of(graph, api, here, workspace_mib=DEFAULT_WORKSPACE_MIB))
        remedy = f"{REBUILD} --backend {api.flavour} --precision {graph.precision}"
        stale = ""
        kept, damaged = self._manifests(self.root / graph.precision / here.sm, graph.graph)
        for path, key in kept[::-1]:
            alike = {name: key.get(name) for name in ("gpu", "system") if key.get(name) == "any"}
            like_it = {**wanted, **alike, "workspace_mib": key.get("workspace_mib")}
            if as_json(key) == as_json(like_it):
                return path.with_suffix(SUFFIX)
            stale = stale or changes(key, like_it)
        if stale:
            _log.info("%s is stale: %s", what, stale)
            raise EngineError(
                mismatch(what, f"a stale one ({stale})", f"one of {graph.path.name} as it is now", remedy)
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
                found.append((path, dict(parse_json(path.read_text(encoding="utf-8"))["key"])))
            except (OSError, ValueError, KeyError, TypeError) as error:
                remedy = f"remove it and {REBUILD}"
                damaged = EngineError(mismatch(path, error, "a manifest of storm-edge build", remedy))
        return found, damaged

    def build(
        self,
        graphs: Sequence[ExportedGraph],
        api: TensorRt,
        target: GpuTarget,
        *,
        workspace_mib: int = DEFAULT_WORKSPACE_MIB,
        progress: Report | None = None,
        waiting: Callable[[], None] | None = None,
    ) -> list[EngineStatus]:
        """Build what is not fresh.

        Args:
            graphs: What to build.
            api: TensorRT with a builder.
            target: For which GPU.
            workspace_mib: Scratch memory a kernel may take [MiB].
            progress: Called with a graph and the finished share.
            waiting: Called when another build of this bundle has to be waited for.

        Returns:
            The status of each engine before.

        Raises:
            BackendError: There is not enough memory.
            EngineError: A graph is refused.
            OutputError: The folder cannot be written; engines that were there stay.
        """
        with self._locked(waiting):
            # What another build did meanwhile is fresh now.
            statuses = self.check(graphs, api, target, workspace_mib=workspace_mib)
            for status in statuses:
                if status.state is not CacheState.FRESH:
                    self._build_one(status, api, target, progress)
        return statuses

    def _build_one(self, status: EngineStatus, api: TensorRt, target: GpuTarget, progress: Report | None) -> None:
        key, graph = status.key, status.graph
        timing = self.folder(key) / _TIMING
        options = BuildOptions(
            workspace_mib=key.workspace_mib, timing_cache=timing.read_bytes() if timing.is_file() else b""
        )
        built = build_engine(
            api, graph.path, profiles=graph.profiles, target=target, options=options, progress=progress
        )
        if built.timing_cache:
            write_atomically(timing, built.timing_cache, remedy="free some, or choose --out")
        write_engine(self.engine_path(key), built.data, _manifest(key, graph, built))
        _log.info("built engine %s in %.1f s: %s", self.engine_path(key), built.seconds, status.reason)

    def _parts(self) -> Iterator[Path]:
        """What builds that were killed while they wrote have left, by the names that they give; no other file."""
        for place, pattern in ((self.root, _REPORT_PART), *((p, _PART) for p in self.root.glob("*/*") if p.is_dir())):
            yield from (path for path in place.iterdir() if pattern.fullmatch(path.name) and path.is_file())

    @contextmanager
    def _locked(self, waiting: Callable[[], None] | None) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("a", encoding="ascii")  # which leaves a file of that name as it is
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
            for part in self._parts():
                part.unlink(missing_ok=True)
            yield  # the system lets go of it with the file, however this process ends


def _manifest(key: EngineKey, graph: ExportedGraph, built: Built) -> dict[str, Any]:
    return {
        "key": asdict(key),
        "digest": key.digest,
        "onnx": graph.path.name,
        "cosine_to_fp32": graph.cosine,
        "build_seconds": round(built.seconds, 2),
        "build_peak_bytes": built.peak_bytes,
        "build_estimate_bytes": built.estimate_bytes,
    }


def _refuse_int8(graph: ExportedGraph) -> None:
    """ONNX Runtime's Q/DQ has zero points and biases that TensorRT does not take."""
    if graph.precision == "int8":
        what, remedy = f"engine of {graph.graph} in int8", "use the bundle's int8-fp16 graphs"
        raise EngineError(mismatch(what, "INT8 as ONNX Runtime wants it", "int8-fp16", remedy))
