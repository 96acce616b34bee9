"""What an export did, as values: by graph, by network, and in all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storm_edge.choices import Precision
from storm_edge.engines.manifest import MANIFEST
from storm_edge.export.compare import OutputDrift
from storm_edge.export.int8_layers import LayerChoice
from storm_edge.export.task_metrics import TaskMetric
from storm_edge.result_kind import MADE_BY, ResultKind

REPORT = "report.json"
PAGE = "report.html"
CARD = "MODEL_CARD.md"
_FOLDERS = frozenset(precision.folder for precision in Precision)


def _exported(folder: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """Graphs and recipes of the networks that a report is about, in every precision."""
    networks = content.get("networks")
    for network in networks if isinstance(networks, list) else []:
        if not isinstance(network, dict):
            continue
        yield f"recipes/{network.get('network')}.json"
        graphs = network.get("graphs")
        for graph in graphs if isinstance(graphs, list) else []:
            if isinstance(graph, dict):
                yield from (str(Path(precision) / f"{graph.get('graph')}.onnx") for precision in _FOLDERS)


EXPORT = ResultKind(
    command="storm-edge export",
    marker=REPORT,  # a manifest may be a user's own, for networks of another source
    keys=frozenset({"name", "calibration", "networks"}),
    names=frozenset({PAGE, CARD, *(str(Path(precision) / MANIFEST) for precision in _FOLDERS)}),
    folders=_FOLDERS | {"recipes"},
    listed=_exported,
)
"""Of `export`."""
FAILED_EXPORT = ResultKind(command=EXPORT.command, marker=REPORT, keys=EXPORT.keys, names=frozenset({PAGE}))
"""The report on an export whose gates failed."""


@dataclass(frozen=True, kw_only=True)
class GraphReport:
    """One graph in one precision."""

    graph: str
    """Its name."""
    precision: str
    """What it computes in."""
    sha256: str
    """Of the file."""
    size_bytes: int
    """Of the file."""
    nodes: int
    """In the graph."""
    fp32_nodes: int
    """Of an FP16 graph, those that stay in FP32."""
    drift: Mapping[str, OutputDrift]
    """By output, against FP32; empty for FP32 itself."""
    true_drift: Mapping[str, OutputDrift] = field(default_factory=dict)
    """Of an FP16 graph, the same in true FP16 arithmetic on a few rows; empty where that would take too long."""
    layers: tuple[LayerChoice, ...] = ()
    """Of an INT8 graph, every layer with weights."""
    note: str = ""
    """What a reader should know."""


@dataclass(frozen=True, kw_only=True)
class NetworkReport:
    """One recipe's networks."""

    network: str
    """Which."""
    tier: str
    """Whose."""
    recipe_sha256: str
    """Of the recipe."""
    origin: str
    """Where the weights are from."""
    untrained: bool
    """Whether they are random."""
    data: str
    """What the outputs were compared on."""
    parity: Mapping[str, tuple[float | None, str]]
    """By graph: largest difference of ONNX Runtime in FP32, and from what."""
    graphs: tuple[GraphReport, ...]
    """Every graph in every precision."""
    metrics: Mapping[str, tuple[TaskMetric, ...]]
    """By precision: what the network is for, measured."""
    failures: tuple[str, ...]
    """Gates that failed."""
    seconds: float
    """How long it took."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What an export did."""

    name: str
    """Of the bundle."""
    calibration: str | None
    """Hash of the calibration set's manifest."""
    networks: tuple[NetworkReport, ...]
    """By recipe."""

    @property
    def failures(self) -> list[str]:
        """All gates that failed."""
        return [f"{n.network}: {line}" for n in self.networks for line in n.failures]


def as_json(report: ExportReport) -> str:
    """The report as it is written."""
    return json.dumps({MADE_BY: EXPORT.made_by, **asdict(report)}, indent=2) + "\n"
