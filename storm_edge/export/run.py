"""Recipes to a bundle: FP32, FP16 and INT8 graphs of every network, each held to its gates.

    BUNDLE/                manifest, FP32 graphs, report.json, report.html, MODEL_CARD.md
    BUNDLE/fp16/           a bundle by itself: FP16 with FP32 islands, for TensorRT
    BUNDLE/int8/           Q/DQ in FP32, for ONNX Runtime on a CPU
    BUNDLE/int8-fp16/      Q/DQ in FP16, for TensorRT
    BUNDLE/recipes/        what the builder of engines needs to know, by network

Every one of the four folders is what ``--bundle`` takes. The bundle appears whole, and only if every gate passed; if
one fails the report is left in ``BUNDLE.failed/`` and an older bundle stays.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from storm_edge.calib.sets import CalibrationSet, Tensors
from storm_edge.engines.bundle import MANIFEST, write_manifest
from storm_edge.engines.exported import GraphFile, GraphNote, NetworkNote, write_note
from storm_edge.engines.layout import ChannelsLastEngine
from storm_edge.engines.onnx_runtime import OnnxRuntimeEngine, OrtOptions, file_sha256
from storm_edge.engines.spec import Engine
from storm_edge.errors import ConfigError, EngineError, bad
from storm_edge.export.compare import OutputDrift, compare
from storm_edge.export.half import island_nodes, named_nodes, to_fp16
from storm_edge.export.int8 import LayerChoice, quantise
from storm_edge.export.recipe import Gates, Recipe, TensorGate
from storm_edge.export.sources import Fp32Network, is_small, make_fp32
from storm_edge.export.tasks import Figure, Task, make_task
from storm_edge.files import whole_folder

REPORT = "report.json"
PAGE = "report.html"
CARD = "MODEL_CARD.md"
_TRUE_FP16_ROWS = 4
_SIZE_PX, _PRESET = 80, "default"  # of bundles whose recipes say nothing about crops

Progress = Callable[[str, float], None]


class Precision(str, Enum):
    """What a graph computes in; the value is its folder in the bundle."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    INT8_FP16 = "int8-fp16"

    @property
    def folder(self) -> str:
        """Where its bundle is, relative to the exported one."""
        return "." if self is Precision.FP32 else self.value


REDUCED = (Precision.FP16, Precision.INT8, Precision.INT8_FP16)


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
    figures: Mapping[str, tuple[Figure, ...]]
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


def export_bundle(
    recipes: Sequence[Recipe],
    out: Path,
    *,
    name: str,
    calibration: CalibrationSet | None = None,
    random_weights: int | None = None,
    held_out: int = 48,
    tensors_only: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Export networks into a bundle.

    Args:
        recipes: One per network.
        out: Folder of the bundle; an older bundle there is replaced.
        name: Of the bundle.
        calibration: What INT8 ranges are read from; without one, no INT8 is made.
        random_weights: Seed of random weights in place of the recipes' sources.
        held_out: Pairs, crops or pictures that a network is compared on, about.
        tensors_only: Compare outputs alone, as is done for random weights anyway; for trying graphs.
        progress: Called with a stage and its finished share.

    Raises:
        ConfigError: Two recipes for one network, or crops that differ.
        InputError: The calibration set is of another bundle, or lacks a network.
        EngineError: A source is wrong, or a gate failed.
        OutputError: The folder cannot be written.
    """
    from storm_edge.export.report import write_report

    _check_together(recipes)
    report = progress or (lambda stage, share: None)
    failed = out.parent / f"{out.name}.failed"
    with whole_folder(out, marker=MANIFEST) as folder:
        with tempfile.TemporaryDirectory() as work:
            networks = [
                _export_one(recipe, folder, Path(work), calibration, random_weights, held_out, tensors_only, report)
                for recipe in recipes
            ]
        result = ExportReport(
            name=name, calibration=calibration.sha256 if calibration else None, networks=tuple(networks)
        )
        write_report(folder, result)
        if result.failures:
            with whole_folder(failed, marker=REPORT) as kept:
                for file in (REPORT, PAGE):
                    shutil.copyfile(folder / file, kept / file)
            expected = "every gate to pass"
            remedy = f"read {failed / PAGE}, keep more in FP32 or widen the gate in the recipe"
            raise EngineError(bad(out, "; ".join(result.failures), expected, remedy))
        _write_manifests(folder, recipes, name)
        for recipe, network in zip(recipes, networks, strict=True):
            write_note(folder, recipe.network, _note(recipe, network, result.calibration))
    return result


def _check_together(recipes: Sequence[Recipe]) -> None:
    remedy = "export them into bundles of their own"
    networks = [recipe.network for recipe in recipes]
    if len(networks) != len(set(networks)):
        raise ConfigError(bad("recipes", f"networks {networks}", "each network once", remedy))
    tiers = sorted({recipe.tier for recipe in recipes})
    if len(tiers) > 1:
        raise ConfigError(bad("recipes", f"tiers {tiers}", "one tier", remedy))
    for what in ("size_px", "preset"):
        values = sorted({str(v) for r in recipes if (v := getattr(r, what)) is not None})
        if len(values) > 1:
            raise ConfigError(bad(f"recipes: {what}", values, "one value", remedy))


def _export_one(
    recipe: Recipe,
    folder: Path,
    work: Path,
    calibration: CalibrationSet | None,
    random_weights: int | None,
    held_out: int,
    tensors_only: bool,
    progress: Progress,
) -> NetworkReport:
    started = time.perf_counter()
    progress(f"{recipe.network} fp32", 0.0)
    made = make_fp32(recipe, _subfolder(work, recipe.network), random_weights=random_weights)
    files = {Precision.FP32: {g: folder / f"{g}.onnx" for g in recipe.graphs}}
    for graph, target in files[Precision.FP32].items():
        shutil.copyfile(made.graphs[graph].path, target)
    fp32 = open_graphs(recipe, files[Precision.FP32])
    captured = {g: _captured(recipe, g, files[Precision.FP32][g], calibration) for g in recipe.graphs}
    present = {g: rows for g, rows in captured.items() if rows is not None}
    no_task = made.untrained or tensors_only
    task = make_task(recipe, fp32, untrained=no_task, size=held_out, captured=_one_call(present, fp32))
    progress(f"{recipe.network} fp32", 1.0)

    reports = [_describe(g, Precision.FP32, path, {}) for g, path in files[Precision.FP32].items()]
    expected = {g: fp32[g].run(task.inputs[g]) for g in recipe.graphs}
    reports += _make_fp16(recipe, files, folder, expected, task)
    if calibration is not None:
        reports += _make_int8(recipe, files, folder, work, captured, expected, task, made, fp32, progress)

    failures: list[str] = []
    figures: dict[str, tuple[Figure, ...]] = {}
    for precision in (p for p in REDUCED if p in files):
        gates = _gates(recipe, precision)
        for item in (r for r in reports if r.precision == precision.value):
            failure = _tensor_failure(item.drift, gates.tensors) or _tensor_failure(item.true_drift, gates.tensors)
            if failure is not None:
                failures.append(f"{item.graph} {precision.value}: {failure}")
        figures[precision.value] = tuple(task.figures(fp32, open_graphs(recipe, files[precision]), gates))
        failures += [
            f"{precision.value}: {f.name} {f.reduced:.4g} beyond {f.limit:g}"
            for f in figures[precision.value]
            if not f.passed
        ]
    return NetworkReport(
        network=recipe.network,
        tier=recipe.tier,
        recipe_sha256=recipe.sha256,
        origin=made.origin,
        untrained=made.untrained,
        data=task.data,
        parity={g: (made.graphs[g].parity, made.graphs[g].reference) for g in recipe.graphs},
        graphs=tuple(reports),
        figures=figures,
        failures=tuple(failures),
        seconds=round(time.perf_counter() - started, 1),
    )


def _make_fp16(
    recipe: Recipe,
    files: dict[Precision, dict[str, Path]],
    folder: Path,
    expected: Mapping[str, Tensors],
    task: Task,
) -> list[GraphReport]:
    target = _subfolder(folder, Precision.FP16.folder)
    files[Precision.FP16] = {}
    reports = []
    for graph, plan in recipe.graphs.items():
        path = target / f"{graph}.onnx"
        model = onnx.load(str(files[Precision.FP32][graph]))
        onnx.save(to_fp16(model, plan.fp16, name=graph), str(path))
        files[Precision.FP16][graph] = path
        item = _describe(graph, Precision.FP16, path, _drift(recipe, graph, path, expected, task))
        named_nodes(model)
        note, drift = _in_true_fp16(recipe, graph, path, task)
        kept = len(island_nodes(model, plan.fp16, name=graph))
        reports.append(replace(item, fp32_nodes=kept, note=note, true_drift=drift))
    return reports


def _in_true_fp16(recipe: Recipe, graph: str, path: Path, task: Task) -> tuple[str, dict[str, OutputDrift]]:
    """Drift with every FP16 node computed in FP16, which ONNX Runtime on a CPU widens; on a few rows."""
    model = onnx.load(str(path))
    names = recipe.source.tensors.get(graph, {})
    if not is_small(model) or recipe.source.layout == "nhwc":
        return "compared with FP16 widened to FP32", {}
    rows = {name: array[:_TRUE_FP16_ROWS] for name, array in task.inputs[graph].items()}
    if len({len(array) for array in rows.values()}) != 1:
        return "compared with FP16 widened to FP32", {}
    feed = {names.get(name, name): array for name, array in rows.items()}
    with np.errstate(all="ignore"):  # a sigmoid that saturates; what is not finite in the end is seen by `compare`
        found = ReferenceEvaluator(model).run(None, feed)
    # A set is not the sum of its rows, so the reference answers anew.
    engine = open_graph(recipe, graph, path.parent.parent / path.name)
    wanted = engine.run(rows)
    outputs = [tensor.name for tensor in engine.spec.outputs]
    return "", compare(wanted, dict(zip(outputs, map(np.asarray, found), strict=True)))


def _make_int8(
    recipe: Recipe,
    files: dict[Precision, dict[str, Path]],
    folder: Path,
    work: Path,
    captured: Mapping[str, Tensors | None],
    expected: Mapping[str, Tensors],
    task: Task,
    made: Fp32Network,
    fp32: Mapping[str, Engine],
    progress: Progress,
) -> list[GraphReport]:
    """Both INT8 forms; a graph's own outputs and the network's task, its other graphs in FP32, are its gate."""
    for precision in (Precision.INT8, Precision.INT8_FP16):
        _subfolder(folder, precision.folder)
        files[precision] = {g: folder / precision.folder / f"{g}.onnx" for g in recipe.graphs}
    gates = _gates(recipe, Precision.INT8)
    reports = []
    for graph, plan in recipe.graphs.items():
        source = files[Precision.FP32][graph]
        rows = captured[graph]
        layers: tuple[LayerChoice, ...] = ()
        note = "no INT8 plan in the recipe: FP32 on the CPU, FP16 in TensorRT"
        cpu = gpu = source
        if plan.int8 is not None:
            assert rows is not None  # `_captured` refuses a plan without rows

            def gate(cpu: Path, gpu: Path, graph: str = graph) -> str | None:
                for path in (cpu, gpu):
                    failure = _tensor_failure(_drift(recipe, graph, path, expected, task), gates.tensors)
                    if failure is not None:
                        return failure
                    engines = {**fp32, graph: open_graph(recipe, graph, path)}
                    for figure in task.figures(fp32, engines, gates):
                        if not figure.passed:
                            return f"{figure.name} {figure.reduced:.4g} beyond {figure.limit:g}"
                return None

            result = quantise(
                source,
                plan.int8,
                rows,
                folder=work,
                gate=gate,
                chunk=8 if _varies(fp32[graph]) else None,
                sweep=plan.int8.sweep,
                progress=lambda share, graph=graph: progress(f"{graph} int8", share),  # type: ignore[misc]
            )
            cpu, gpu, layers = result.cpu, result.gpu, result.layers
            note = f"{result.count} of {len(layers)} layers with weights in INT8"
        shutil.copyfile(cpu, files[Precision.INT8][graph])
        half = to_fp16(onnx.load(str(gpu)), plan.fp16, name=graph)
        onnx.save(half, str(files[Precision.INT8_FP16][graph]))
        for precision in (Precision.INT8, Precision.INT8_FP16):
            path = files[precision][graph]
            item = _describe(graph, precision, path, _drift(recipe, graph, path, expected, task))
            reports.append(replace(item, layers=layers, note=note))
    return reports


def _captured(recipe: Recipe, graph: str, path: Path, calibration: CalibrationSet | None) -> Tensors | None:
    plan = recipe.graphs[graph].int8
    if calibration is None or plan is None:
        return None
    return calibration.rows(graph, file_sha256(path), most=plan.rows)


def _one_call(captured: Mapping[str, Tensors], engines: Mapping[str, Engine]) -> dict[str, Tensors]:
    """Captured rows as inputs of one call."""
    return {
        graph: rows if _varies(engines[graph]) else {name: array[0] for name, array in rows.items()}
        for graph, rows in captured.items()
    }


def _varies(engine: Engine) -> bool:
    return any(None in tensor.shape for tensor in engine.spec.inputs)


def open_graphs(recipe: Recipe, files: Mapping[str, Path]) -> dict[str, Engine]:
    """All graphs of a recipe on ONNX Runtime."""
    return {graph: open_graph(recipe, graph, path) for graph, path in files.items()}


def open_graph(recipe: Recipe, graph: str, path: Path) -> Engine:
    """One graph, with our names and channels first.

    Q/DQ in FP16 is for TensorRT. ONNX Runtime would quantise the biases with the product of two FP16 scales, which
    underflows; node by node it computes what the file says.
    """
    as_written = path.parent.name == Precision.INT8_FP16.folder
    names = {theirs: ours for ours, theirs in recipe.source.tensors.get(graph, {}).items()}
    engine: Engine = OnnxRuntimeEngine(path, name=graph, names=names, options=OrtOptions(as_written=as_written))
    return ChannelsLastEngine(engine) if recipe.source.layout == "nhwc" else engine


def _drift(
    recipe: Recipe, graph: str, path: Path, expected: Mapping[str, Tensors], task: Task
) -> dict[str, OutputDrift]:
    return compare(expected[graph], open_graph(recipe, graph, path).run(task.inputs[graph]))


def _tensor_failure(drift: Mapping[str, OutputDrift], gate: TensorGate) -> str | None:
    for output, error in drift.items():
        if not error.passes(gate):
            return f"{output}: cosine {error.cosine:.5f} (at least {gate.cosine:g}), error {error.max_error:.3g}"
    return None


def _gates(recipe: Recipe, precision: Precision) -> Gates:
    return recipe.gates.get("fp16" if precision is Precision.FP16 else "int8", Gates())


def _describe(graph: str, precision: Precision, path: Path, drift: Mapping[str, OutputDrift]) -> GraphReport:
    return GraphReport(
        graph=graph,
        precision=precision.value,
        sha256=file_sha256(path),
        size_bytes=path.stat().st_size,
        nodes=len(onnx.load(str(path)).graph.node),
        fp32_nodes=0,
        drift=drift,
    )


def _subfolder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir(parents=True, exist_ok=True)
    return made


def _write_manifests(folder: Path, recipes: Sequence[Recipe], name: str) -> None:
    """A manifest per precision."""
    size_px = next((r.size_px for r in recipes if r.size_px is not None), _SIZE_PX)
    preset = next((r.preset for r in recipes if r.preset is not None), _PRESET)
    graphs = {graph: recipe for recipe in recipes for graph in recipe.graphs}
    for precision in Precision:
        target = folder / precision.folder
        if not target.is_dir():
            continue
        write_manifest(
            target,
            name=name if precision is Precision.FP32 else f"{name}-{precision.value}",
            size_px=size_px,
            preset=preset,
            networks={graph: f"{graph}.onnx" for graph in graphs},
            tier=recipes[0].tier,
            layouts={graph: recipe.source.layout for graph, recipe in graphs.items()},
            tensors={graph: recipe.source.tensors.get(graph, {}) for graph, recipe in graphs.items()},
        )


def _note(recipe: Recipe, network: NetworkReport, calibration: str | None) -> NetworkNote:
    """What the builder of engines needs to know."""
    return NetworkNote(
        recipe_sha256=recipe.sha256,
        calibration_sha256=calibration,
        graphs={
            graph: GraphNote(
                profiles=plan.profiles,
                files={
                    Precision(item.precision).value: GraphFile(
                        file=str(Path(Precision(item.precision).folder) / f"{graph}.onnx"),
                        sha256=item.sha256,
                        cosine=min((drift.cosine for drift in item.drift.values()), default=None),
                    )
                    for item in network.graphs
                    if item.graph == graph
                },
            )
            for graph, plan in recipe.graphs.items()
        },
    )


def as_json(report: ExportReport) -> str:
    """The report as it is written."""
    return json.dumps(asdict(report), indent=2) + "\n"
