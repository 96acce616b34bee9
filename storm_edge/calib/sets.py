"""Calibration sets on disk: rows of each engine's inputs, and a manifest that says where they came from.

    manifest.json      hashes, and of every row its scene, object, state and distance
    refine.npz         rendered, observed
    ...

A set belongs to the bundle it was captured with, by the hashes of its FP32 graphs: other networks see other tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from storm_edge.array_file import parse_arrays
from storm_edge.engines.manifest import file_sha256
from storm_edge.errors import EngineError, InputError, mismatch
from storm_edge.files import sha256
from storm_edge.result_folder import atomic_folder
from storm_edge.result_kind import ResultKind
from storm_edge.strict_model import StrictModel

MANIFEST = "manifest.json"
_LEAST_CORRELATION = 0.2  # of neighbouring cells; noise has none, images have 0.8 and more
IMAGE_INPUTS = frozenset({"rendered", "observed", "image", "views", "crop", "objects"})
"""Inputs that are images or made of them."""
_AGAIN = "collect it again with storm-edge calib collect"

Tensors = dict[str, NDArray[Any]]


class RowSource(StrictModel):
    """Where one row came from."""

    scene: str
    """The recording."""
    object_id: str
    """The object that was followed or searched for."""
    state: str
    """What the pipeline did: ``encode``, ``register``, ``track``, ``search``, ``sharpen``, ``verify``;
    ``verify lost`` beside the object."""
    distance_m: float | None = None
    """Distance of the object [m], where its pose was known."""


class _GraphEntry(StrictModel):
    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    onnx_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    rows: int = Field(ge=1)
    shapes: dict[str, tuple[int, ...]]
    sources: tuple[RowSource, ...]


class _Manifest(StrictModel):
    format: Literal[1]
    made_by: str | None = None
    bundle: str
    graphs: dict[str, _GraphEntry]


def _rows_files(folder: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """Files of rows that a manifest names."""
    graphs = content.get("graphs")
    for entry in graphs.values() if isinstance(graphs, dict) else ():
        if isinstance(entry, dict) and isinstance(file := entry.get("file"), str):
            yield file


CALIBRATION = ResultKind(
    command="storm-edge calib collect",
    marker=MANIFEST,
    keys=frozenset({"format", "bundle", "graphs"}),
    listed=_rows_files,
)
"""Of `calib collect`."""


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """A set that was read and checked."""

    folder: Path
    """Where it lies."""
    bundle: str
    """Name of the bundle it was captured with."""
    sha256: str
    """Of its manifest, which holds the hashes of everything else."""
    onnx_sha256: Mapping[str, str]
    """By graph, of the FP32 file it was captured with."""
    row_sources: Mapping[str, tuple[RowSource, ...]]
    """By graph, where every row came from."""
    _files: Mapping[str, Path]

    def count(self, graph: str) -> int:
        """Rows of a graph."""
        return len(self.row_sources[graph])

    def rows(self, graph: str, onnx_sha256: str, *, most: int) -> Tensors:
        """Up to ``most`` rows of a graph's inputs, spread evenly over the set.

        Args:
            graph: Its name.
            onnx_sha256: Of the FP32 graph that will be calibrated.
            most: Rows.

        Raises:
            InputError: The set has none for this graph, or was captured with another bundle.
        """
        if graph not in self._files:
            raise InputError(
                mismatch(self.folder, f"rows of {sorted(self._files)}", graph, "collect with this network")
            )
        if self.onnx_sha256[graph] != onnx_sha256:
            got = f"rows captured with {graph} {self.onnx_sha256[graph][:12]} of bundle {self.bundle}"
            raise InputError(mismatch(self.folder, got, f"{graph} {onnx_sha256[:12]}", _AGAIN))
        try:
            arrays = parse_arrays(self._files[graph].read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(mismatch(self._files[graph], error, "the rows of the manifest", _AGAIN)) from error
        check_rows(arrays, what=f"{self.folder.name}/{graph}")
        count = len(next(iter(arrays.values())))
        picked = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
        return {name: array[picked] for name, array in arrays.items()}


def write_set(
    out: Path,
    *,
    bundle: str,
    rows: Mapping[str, Tensors],
    sources: Mapping[str, Sequence[RowSource]],
    onnx_sha256: Mapping[str, str],
    force: bool = False,
) -> CalibrationSet:
    """Write a set whole or not at all.

    Args:
        out: Its folder.
        bundle: Name of the bundle it was captured with.
        rows: Inputs by graph and name, the first axis counts rows.
        sources: Of every row, by graph.
        onnx_sha256: Of the FP32 graphs.
        force: Whether files that are not ours may lie beside it.

    Raises:
        InputError: A tensor is empty, not finite, constant, or noise.
        OutputError: The folder cannot be written.
    """
    with atomic_folder(out, CALIBRATION, force=force) as folder:
        graphs = {}
        for graph, arrays in rows.items():
            check_rows(arrays, what=graph)
            file = folder / f"{graph}.npz"
            np.savez(file, **arrays)  # type: ignore[arg-type]
            graphs[graph] = _GraphEntry(
                file=file.name,
                sha256=file_sha256(file),
                onnx_sha256=onnx_sha256[graph],
                rows=len(sources[graph]),
                shapes={name: array.shape for name, array in arrays.items()},
                sources=tuple(sources[graph]),
            )
        manifest = _Manifest(format=1, made_by=CALIBRATION.made_by, bundle=bundle, graphs=graphs)
        (folder / MANIFEST).write_text(json.dumps(manifest.model_dump(), indent=1) + "\n", encoding="utf-8")
    return load_set(out)


def load_set(folder: Path) -> CalibrationSet:
    """Read a set and check its files against its manifest.

    Raises:
        InputError: There is none, its manifest does not parse, or a file is missing or was changed.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        manifest = _Manifest.model_validate_json(data)
    except OSError as error:
        raise InputError(mismatch(folder, error.strerror, f"a calibration set with {MANIFEST}", _AGAIN)) from error
    except ValidationError as error:
        raise InputError(
            mismatch(path, error.errors()[0]["msg"], "the manifest of a calibration set", _AGAIN)
        ) from error
    files = {}
    for graph, entry in manifest.graphs.items():
        file = folder / entry.file
        try:
            found = file_sha256(file)
        except EngineError as error:
            raise InputError(mismatch(file, "no such file", "the rows of the manifest", _AGAIN)) from error
        if found != entry.sha256:
            raise InputError(mismatch(file, f"sha256 {found[:12]}", f"{entry.sha256[:12]}", _AGAIN))
        files[graph] = file
    return CalibrationSet(
        folder=folder,
        bundle=manifest.bundle,
        sha256=sha256(data),
        onnx_sha256={graph: entry.onnx_sha256 for graph, entry in manifest.graphs.items()},
        row_sources={graph: entry.sources for graph, entry in manifest.graphs.items()},
        _files=files,
    )


def check_rows(arrays: Mapping[str, NDArray[Any]], *, what: str) -> None:
    """Refuse rows that say nothing about the ranges; ranges read from them would be ranges of nothing.

    Raises:
        InputError: No rows, unequal counts, a value that is not finite, a tensor that is constant, or one of images
            whose neighbouring cells have nothing to do with each other: noise.
    """
    counts = {len(array) for array in arrays.values()}
    if len(counts) != 1 or counts == {0}:
        raise InputError(mismatch(what, f"rows {sorted(counts)}", "the same number of rows, at least one", _AGAIN))
    for name, array in arrays.items():
        tensor = f"{what}.{name}"
        if not np.isfinite(array).all():
            raise InputError(mismatch(tensor, "a value that is not finite", "finite values", _AGAIN))
        if array.size and float(array.max()) == float(array.min()):
            raise InputError(mismatch(tensor, f"{float(array.min())} everywhere", "captured values", _AGAIN))
        if name in IMAGE_INPUTS and _neighbour_correlation(array) < _LEAST_CORRELATION:
            raise InputError(mismatch(tensor, "noise, neighbours do not agree", "captured images", _AGAIN))


def _neighbour_correlation(array: NDArray[Any]) -> float:
    """Correlation of horizontally neighbouring cells."""
    x = array.astype(np.float64)
    x = x - x.mean(axis=(-2, -1), keepdims=True)
    variance = float((x * x).mean())
    return float((x[..., 1:] * x[..., :-1]).mean()) / variance if variance > 0.0 else 1.0
