"""One network's graphs in the reduced precisions, each held to its gates while it is made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from storm_edge.calib.sets import Tensors
from storm_edge.choices import Precision
from storm_edge.engines.contract import Engine
from storm_edge.engines.manifest import file_sha256
from storm_edge.export.compare import OutputDrift, compare
from storm_edge.export.fp16 import island_nodes, named_nodes, to_fp16
from storm_edge.export.graph_engines import open_graph, varies
from storm_edge.export.int8_layers import LayerChoice, QuantisedGraph, quantise
from storm_edge.export.published import is_small
from storm_edge.export.recipe import Gates, Int8Plan, Recipe, TensorGate
from storm_edge.export.results import GraphReport
from storm_edge.export.task_metrics import NetworkTask

_TRUE_FP16_ROWS = 4
_WIDENED = "compared with FP16 widened to FP32"

Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Reducer:
    """Makes reduced graphs of one network and says how far they are from FP32."""

    recipe: Recipe
    """Which network, and what may be reduced."""
    folder: Path
    """The bundle; FP32 graphs are in it."""
    work: Path
    """For files nobody keeps."""
    fp32: Mapping[str, Engine]
    """The graphs in FP32, open."""
    task: NetworkTask
    """Held-out inputs and metrics."""
    captured: Mapping[str, Tensors | None]
    """Rows of the calibration set by graph, None where nothing is to be quantised."""
    progress: Progress
    """Called with a stage and its finished share."""
    expected: dict[str, Tensors] = field(init=False)
    """What FP32 answers to the task's inputs, by graph."""

    def __post_init__(self) -> None:
        answers = {graph: self.fp32[graph].run(self.task.inputs[graph]) for graph in self.recipe.graphs}
        object.__setattr__(self, "expected", answers)

    def path(self, graph: str, precision: Precision) -> Path:
        """Where a graph is in the bundle."""
        return self.folder / precision.folder / f"{graph}.onnx"

    def make_fp16(self) -> list[GraphReport]:
        """Every graph in FP16 with its FP32 islands."""
        self._make_folder(Precision.FP16)
        reports = []
        for graph, plan in self.recipe.graphs.items():
            path = self.path(graph, Precision.FP16)
            model = onnx.load(str(self.path(graph, Precision.FP32)))
            onnx.save(to_fp16(model, plan.fp16, name=graph), str(path))
            named_nodes(model)
            note, drift = self._in_true_fp16(graph, path)
            kept = len(island_nodes(model, plan.fp16, name=graph))
            item = describe(graph, Precision.FP16, path, self.drift(graph, path))
            reports.append(replace(item, fp32_nodes=kept, note=note, true_drift=drift))
        return reports

    def make_int8(self) -> list[GraphReport]:
        """Every graph in both INT8 precisions; without a plan FP32 on the CPU, FP16 in TensorRT."""
        for precision in (Precision.INT8, Precision.INT8_FP16):
            self._make_folder(precision)
        reports = []
        for graph, plan in self.recipe.graphs.items():
            layers: tuple[LayerChoice, ...] = ()
            note = "no INT8 plan in the recipe: FP32 on the CPU, FP16 in TensorRT"
            cpu = gpu = self.path(graph, Precision.FP32)
            if plan.int8 is not None:
                result = self._quantise(graph, plan.int8)
                cpu, gpu, layers = result.cpu, result.gpu, result.layers
                note = f"{result.count} of {len(layers)} layers with weights in INT8"
            shutil.copyfile(cpu, self.path(graph, Precision.INT8))
            half = to_fp16(onnx.load(str(gpu)), plan.fp16, name=graph)
            onnx.save(half, str(self.path(graph, Precision.INT8_FP16)))
            for precision in (Precision.INT8, Precision.INT8_FP16):
                path = self.path(graph, precision)
                item = describe(graph, precision, path, self.drift(graph, path))
                reports.append(replace(item, layers=layers, note=note))
        return reports

    def _quantise(self, graph: str, plan: Int8Plan) -> QuantisedGraph:
        rows = self.captured[graph]
        assert rows is not None  # a plan without rows is refused when rows are read
        gates = gates_of(self.recipe, Precision.INT8)

        def gate(cpu: Path, gpu: Path) -> str | None:
            """A graph's own outputs, and the network's task with its other graphs in FP32."""
            drifts = [self.drift(graph, path) for path in (cpu, gpu)]
            failures = [failure for drift in drifts if (failure := tensor_failure(drift, gates.tensors))]
            if failures:  # before the task is measured, which takes its time
                return failures[0]
            for path in (cpu, gpu):
                engines = {**self.fp32, graph: open_graph(self.recipe, graph, path)}
                for metric in self.task.metrics(self.fp32, engines, gates):
                    if not metric.passed:
                        return f"{metric.name} {metric.reduced:.4g} beyond {metric.limit:g}"
            return None

        return quantise(
            self.path(graph, Precision.FP32),
            plan,
            rows,
            folder=self.work,
            gate=gate,
            chunk=8 if varies(self.fp32[graph]) else None,
            progress=lambda share: self.progress(f"{graph} int8", share),
        )

    def _in_true_fp16(self, graph: str, path: Path) -> tuple[str, dict[str, OutputDrift]]:
        """Drift with every FP16 node computed in FP16, which ONNX Runtime on a CPU widens; on a few rows."""
        model = onnx.load(str(path))
        names = self.recipe.source.tensors.get(graph, {})
        if not is_small(model) or self.recipe.source.layout == "nhwc":
            return _WIDENED, {}
        rows = {name: array[:_TRUE_FP16_ROWS] for name, array in self.task.inputs[graph].items()}
        if len({len(array) for array in rows.values()}) != 1:
            return _WIDENED, {}
        feed = {names.get(name, name): array for name, array in rows.items()}
        with np.errstate(all="ignore"):  # a sigmoid saturates; `compare` sees what is not finite in the end
            found = ReferenceEvaluator(model).run(None, feed)
        engine = self.fp32[graph]
        wanted = engine.run(rows)  # a set is not the sum of its rows, so FP32 answers anew
        outputs = [tensor.name for tensor in engine.spec.outputs]
        return "", compare(wanted, dict(zip(outputs, map(np.asarray, found), strict=True)))

    def drift(self, graph: str, path: Path) -> dict[str, OutputDrift]:
        """How far a file's answers are from those of FP32."""
        found = open_graph(self.recipe, graph, path).run(self.task.inputs[graph])
        return compare(self.expected[graph], found)

    def _make_folder(self, precision: Precision) -> None:
        (self.folder / precision.folder).mkdir(parents=True, exist_ok=True)


def tensor_failure(drift: Mapping[str, OutputDrift], gate: TensorGate) -> str | None:
    """The first output that is too far off, in words."""
    for output, error in drift.items():
        if not error.passes(gate):
            return f"{output}: cosine {error.cosine:.5f} (at least {gate.cosine:g}), error {error.max_error:.3g}"
    return None


def gates_of(recipe: Recipe, precision: Precision) -> Gates:
    """What a precision must still be able to do."""
    return recipe.gates.get("fp16" if precision is Precision.FP16 else "int8", Gates())


def describe(graph: str, precision: Precision, path: Path, drift: Mapping[str, OutputDrift]) -> GraphReport:
    """One file of a bundle."""
    return GraphReport(
        graph=graph,
        precision=precision.value,
        sha256=file_sha256(path),
        size_bytes=path.stat().st_size,
        nodes=len(onnx.load(str(path)).graph.node),
        fp32_nodes=0,
        drift=drift,
    )
