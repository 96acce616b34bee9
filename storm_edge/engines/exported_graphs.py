"""What an export says of its graphs, for those who build engines of them: profiles, precisions and hashes.

BUNDLE/recipes/<network>.json      one `NetworkExport` per network
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from storm_edge.choices import Precision
from storm_edge.engines.manifest import file_sha256
from storm_edge.errors import EngineError, mismatch
from storm_edge.strict_model import StrictModel

_FOLDER = "recipes"
_EXPORT = "export it with storm-edge export"


class GraphFile(StrictModel):
    """One graph in one precision."""

    file: str
    """Relative to the bundle."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the file."""
    cosine: float | None = None
    """Least cosine of an output to FP32."""


class GraphExport(StrictModel):
    """One graph."""

    profiles: dict[str, tuple[int, int, int]]
    """Batch sizes by use, least, usual and most."""
    files: dict[Precision, GraphFile]
    """By precision."""


class NetworkExport(StrictModel):
    """``recipes/<network>.json``."""

    format: Literal[1] = 1
    recipe_sha256: str
    """Of the recipe."""
    calibration_sha256: str | None
    """Of the calibration set, where INT8 was made."""
    graphs: dict[str, GraphExport]
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


def write_network_export(folder: Path, network: str, content: NetworkExport) -> None:
    """Write ``recipes/<network>.json`` into a bundle."""
    target = folder / _FOLDER
    target.mkdir(exist_ok=True)
    (target / f"{network}.json").write_text(content.model_dump_json(indent=2) + "\n", encoding="utf-8")


def exported_graphs(folder: Path, precision: str) -> list[ExportedGraph]:
    """The graphs of an exported bundle in one precision.

    Raises:
        EngineError: It is no exported bundle, has no such precision, or a file is missing or was changed.
    """
    found = []
    for network in _networks(folder):
        for graph, entry in network.graphs.items():
            file = next((f for p, f in entry.files.items() if p.value == precision), None)
            if file is None:
                there = sorted(p.value for p in entry.files)
                remedy = "export with --calibration, or build another precision"
                raise EngineError(mismatch(f"{folder}: {graph}", there, precision, remedy))
            sha256 = file_sha256(folder / file.file)
            if sha256 != file.sha256:
                raise EngineError(mismatch(folder / file.file, f"sha256 {sha256[:12]}", file.sha256[:12], _EXPORT))
            found.append(_graph(folder, network, graph, precision, file))
    return found


def find_exported_graph(path: Path, sha256: str) -> tuple[Path, ExportedGraph]:
    """The exported graph that a network's file is, and the folder of its bundle.

    Args:
        path: The file, in the bundle's folder or in that of one of its precisions.
        sha256: Its hash.

    Raises:
        EngineError: `storm-edge export` did not write it, or wrote another.
    """
    path = path.resolve()
    for folder in (path.parent, path.parent.parent):
        for network in _networks(folder, required=False):
            for graph, entry in network.graphs.items():
                for precision, file in entry.files.items():
                    if folder / file.file == path:
                        if file.sha256 != sha256:
                            raise EngineError(mismatch(path, f"sha256 {sha256[:12]}", file.sha256[:12], _EXPORT))
                        return folder, _graph(folder, network, graph, precision.value, file)
    got = f"no {_FOLDER}/*.json that names it"
    raise EngineError(mismatch(path, got, "a network of an exported bundle", _EXPORT))


def _networks(folder: Path, *, required: bool = True) -> list[NetworkExport]:
    paths = sorted((folder / _FOLDER).glob("*.json"))
    if not paths and required:
        raise EngineError(mismatch(folder, f"no {_FOLDER}/*.json", "an exported bundle", _EXPORT))
    networks = []
    for path in paths:
        try:
            networks.append(NetworkExport.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            raise EngineError(
                mismatch(path, error.errors()[0]["msg"], "a file of storm-edge export", _EXPORT)
            ) from error
    return networks


def _graph(folder: Path, network: NetworkExport, graph: str, precision: str, file: GraphFile) -> ExportedGraph:
    return ExportedGraph(
        graph=graph,
        precision=precision,
        path=folder / file.file,
        sha256=file.sha256,
        recipe_sha256=network.recipe_sha256,
        calibration_sha256=network.calibration_sha256 if precision.startswith("int8") else None,
        profiles=network.graphs[graph].profiles,
        cosine=file.cosine,
    )
