"""What `storm-edge export` tells the builder of engines: the graphs of a bundle, their profiles, their hashes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from storm_edge.engines.backends.onnxruntime import file_sha256
from storm_edge.errors import EngineError, mismatch
from storm_edge.strict_model import StrictModel

FOLDER = "recipes"
_EXPORT = "export it with storm-edge export"


class GraphFile(StrictModel):
    """One graph in one precision."""

    file: str
    """Relative to the bundle."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the file."""
    cosine: float | None = None
    """Least cosine of an output to FP32."""


class GraphNote(StrictModel):
    """One graph."""

    profiles: dict[str, tuple[int, int, int]]
    """Batch sizes by use, least, usual and most."""
    files: dict[Literal["fp32", "fp16", "int8", "int8-fp16"], GraphFile]
    """By precision."""


class NetworkNote(StrictModel):
    """``recipes/<network>.json``."""

    format: Literal[1] = 1
    recipe_sha256: str
    """Of the recipe."""
    calibration_sha256: str | None
    """Of the calibration set, where INT8 was made."""
    graphs: dict[str, GraphNote]
    """By name."""


@dataclass(frozen=True, kw_only=True)
class ExportedGraph:
    """One graph to build an engine of."""

    graph: str
    """Its name."""
    precision: str
    """What it computes in."""
    path: Path
    """The ONNX file, its hash checked."""
    sha256: str
    """Of the file."""
    recipe_sha256: str
    """Of its recipe."""
    calibration_sha256: str | None
    """Of the calibration set, for INT8."""
    profiles: dict[str, tuple[int, int, int]]
    """Batch sizes by use."""
    cosine: float | None
    """Least cosine of an output to FP32."""


def write_note(folder: Path, network: str, note: NetworkNote) -> None:
    """Write the note of one network into a bundle."""
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    (target / f"{network}.json").write_text(note.model_dump_json(indent=2) + "\n", encoding="utf-8")


def exported_graphs(folder: Path, precision: str) -> list[ExportedGraph]:
    """The graphs of an exported bundle in one precision.

    Raises:
        EngineError: It is no exported bundle, has no such precision, or a file is missing or was changed.
    """
    found = []
    for note in _notes(folder):
        for graph, entry in note.graphs.items():
            file = next((f for p, f in entry.files.items() if p == precision), None)
            if file is None:
                remedy = "export with --calibration, or build another precision"
                raise EngineError(mismatch(f"{folder}: {graph}", sorted(entry.files), precision, remedy))
            sha256 = file_sha256(folder / file.file)
            if sha256 != file.sha256:
                raise EngineError(mismatch(folder / file.file, f"sha256 {sha256[:12]}", file.sha256[:12], _EXPORT))
            found.append(_graph(folder, note, graph, precision, file))
    return found


def graph_of(path: Path, sha256: str) -> tuple[Path, ExportedGraph]:
    """The exported graph that a network's file is, and the folder of its bundle.

    Args:
        path: The file, in the bundle's folder or in that of one of its precisions.
        sha256: Its hash.

    Raises:
        EngineError: `storm-edge export` did not write it, or wrote another.
    """
    path = path.resolve()
    for folder in (path.parent, path.parent.parent):
        for note in _notes(folder, none_is_wrong=False):
            for graph, entry in note.graphs.items():
                for precision, file in entry.files.items():
                    if folder / file.file == path:
                        if file.sha256 != sha256:
                            raise EngineError(mismatch(path, f"sha256 {sha256[:12]}", file.sha256[:12], _EXPORT))
                        return folder, _graph(folder, note, graph, precision, file)
    raise EngineError(mismatch(path, f"no {FOLDER}/*.json that names it", "a network of an exported bundle", _EXPORT))


def _notes(folder: Path, *, none_is_wrong: bool = True) -> list[NetworkNote]:
    paths = sorted((folder / FOLDER).glob("*.json"))
    if not paths and none_is_wrong:
        raise EngineError(mismatch(folder, f"no {FOLDER}/*.json", "an exported bundle", _EXPORT))
    notes = []
    for path in paths:
        try:
            notes.append(NetworkNote.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            raise EngineError(
                mismatch(path, error.errors()[0]["msg"], "a note of storm-edge export", _EXPORT)
            ) from error
    return notes


def _graph(folder: Path, note: NetworkNote, graph: str, precision: str, file: GraphFile) -> ExportedGraph:
    return ExportedGraph(
        graph=graph,
        precision=precision,
        path=folder / file.file,
        sha256=file.sha256,
        recipe_sha256=note.recipe_sha256,
        calibration_sha256=note.calibration_sha256 if precision.startswith("int8") else None,
        profiles=note.graphs[graph].profiles,
        cosine=file.cosine,
    )
