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

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storm_edge.calib.sets import CalibrationSet, Tensors
from storm_edge.choices import Precision
from storm_edge.engines.contract import Engine
from storm_edge.engines.exported_graphs import GraphExport, GraphFile, NetworkExport, write_network_export
from storm_edge.engines.manifest import FileConventions, file_sha256, write_manifest
from storm_edge.errors import ConfigError, EngineError, mismatch
from storm_edge.export.graph_engines import REDUCED, open_graphs, varies
from storm_edge.export.recipe import Recipe
from storm_edge.export.reduce import Progress, Reducer, describe, gates_of, tensor_failure
from storm_edge.export.report import write_report
from storm_edge.export.results import EXPORT, FAILED_EXPORT, PAGE, REPORT, ExportReport, GraphReport, NetworkReport
from storm_edge.export.sources import make_fp32
from storm_edge.export.task_metrics import TaskMetric, make_task
from storm_edge.result_folder import atomic_folder, check_replaceable

_SIZE_PX, _PRESET = 80, "default"  # of bundles whose recipes say nothing about crops


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Which weights are exported, and what the networks are compared on."""

    random_weights: int | None = None
    """Seed of random weights in place of the recipes' sources."""
    held_out: int = 48
    """Pairs, crops or images that a network is compared on, about."""
    tensors_only: bool = False
    """Whether outputs alone are compared, as is done for random weights anyway; for trying graphs."""
    force: bool = False
    """Whether files that are not ours may lie beside the bundle."""


def export_bundle(
    recipes: Sequence[Recipe],
    out: Path,
    *,
    name: str,
    calibration: CalibrationSet | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Export networks into a bundle.

    Args:
        recipes: One per network.
        out: Folder of the bundle; an older bundle there is replaced.
        name: Of the bundle.
        calibration: What INT8 ranges are read from; without one, no INT8 is made.
        options: Weights, and what they are compared on.
        progress: Called with a stage and its finished share.

    Raises:
        ConfigError: Two recipes for one network, or crops that differ.
        InputError: The calibration set is of another bundle, or lacks a network.
        EngineError: A source is wrong, or a gate failed.
        OutputError: The folder cannot be written.
    """
    _check_together(recipes)
    report = progress or (lambda stage, share: None)
    failed = out.with_name(f"{out.name}.failed")
    check_replaceable(failed, FAILED_EXPORT)
    settings = options or ExportOptions()
    with atomic_folder(out, EXPORT, force=settings.force) as folder:
        with tempfile.TemporaryDirectory() as work:
            networks = [_export_one(recipe, folder, Path(work), calibration, settings, report) for recipe in recipes]
        result = ExportReport(
            name=name, calibration=calibration.sha256 if calibration else None, networks=tuple(networks)
        )
        write_report(folder, result)
        if result.failures:
            with atomic_folder(failed, FAILED_EXPORT) as kept:
                for file in (REPORT, PAGE):
                    shutil.copyfile(folder / file, kept / file)
            expected = "every gate to pass"
            remedy = f"read {failed / PAGE}, keep more in FP32 or widen the gate in the recipe"
            raise EngineError(mismatch(out, "; ".join(result.failures), expected, remedy))
        _write_manifests(folder, recipes, name)
        for recipe, network in zip(recipes, networks, strict=True):
            write_network_export(folder, recipe.network, _network_export(recipe, network, result.calibration))
    return result


def _check_together(recipes: Sequence[Recipe]) -> None:
    remedy = "export them into bundles of their own"
    networks = [recipe.network for recipe in recipes]
    if len(networks) != len(set(networks)):
        raise ConfigError(mismatch("recipes", f"networks {networks}", "each network once", remedy))
    tiers = sorted({recipe.tier for recipe in recipes})
    if len(tiers) > 1:
        raise ConfigError(mismatch("recipes", f"tiers {tiers}", "one tier", remedy))
    for what in ("size_px", "preset"):
        values = sorted({str(v) for r in recipes if (v := getattr(r, what)) is not None})
        if len(values) > 1:
            raise ConfigError(mismatch(f"recipes: {what}", values, "one value", remedy))


def _export_one(
    recipe: Recipe,
    folder: Path,
    work: Path,
    calibration: CalibrationSet | None,
    options: ExportOptions,
    progress: Progress,
) -> NetworkReport:
    started = time.perf_counter()
    progress(f"{recipe.network} fp32", 0.0)
    sources = work / recipe.network
    sources.mkdir()
    made = make_fp32(recipe, sources, random_weights=options.random_weights)
    files = {graph: folder / f"{graph}.onnx" for graph in recipe.graphs}
    for graph, target in files.items():
        shutil.copyfile(made.graphs[graph].path, target)
    fp32 = open_graphs(recipe, files)
    captured = {graph: _captured(recipe, graph, files[graph], calibration) for graph in recipe.graphs}
    present = {graph: rows for graph, rows in captured.items() if rows is not None}
    no_task = made.untrained or options.tensors_only
    task = make_task(recipe, fp32, untrained=no_task, size=options.held_out, captured=_one_call(present, fp32))
    progress(f"{recipe.network} fp32", 1.0)

    reducer = Reducer(
        recipe=recipe, folder=folder, work=work, fp32=fp32, task=task, captured=captured, progress=progress
    )
    reports = [describe(graph, Precision.FP32, path, {}) for graph, path in files.items()]
    reports += reducer.make_fp16()
    if calibration is not None:
        reports += reducer.make_int8()
    metrics, failures = _held_to_gates(reducer, reports)
    return NetworkReport(
        network=recipe.network,
        tier=recipe.tier,
        recipe_sha256=recipe.sha256,
        origin=made.origin,
        untrained=made.untrained,
        data=task.data,
        parity={g: (made.graphs[g].parity, made.graphs[g].reference) for g in recipe.graphs},
        graphs=tuple(reports),
        metrics=metrics,
        failures=tuple(failures),
        seconds=round(time.perf_counter() - started, 1),
    )


def _held_to_gates(
    reducer: Reducer, reports: Sequence[GraphReport]
) -> tuple[dict[str, tuple[TaskMetric, ...]], list[str]]:
    """Metrics of the reduced graphs by precision, and what fails of them and of their outputs."""
    recipe, task = reducer.recipe, reducer.task
    metrics: dict[str, tuple[TaskMetric, ...]] = {}
    failures: list[str] = []
    for precision in REDUCED:
        graphs = [item for item in reports if item.precision == precision.value]
        if not graphs:
            continue
        gates = gates_of(recipe, precision)
        for item in graphs:
            failure = tensor_failure(item.drift, gates.tensors) or tensor_failure(item.true_drift, gates.tensors)
            if failure is not None:
                failures.append(f"{item.graph} {precision.value}: {failure}")
        reduced = open_graphs(recipe, {graph: reducer.path(graph, precision) for graph in recipe.graphs})
        metrics[precision.value] = tuple(task.metrics(reducer.fp32, reduced, gates))
        failures += [
            f"{precision.value}: {m.name} {m.reduced:.4g} beyond {m.limit:g}"
            for m in metrics[precision.value]
            if not m.passed
        ]
    return metrics, failures


def _captured(recipe: Recipe, graph: str, path: Path, calibration: CalibrationSet | None) -> Tensors | None:
    plan = recipe.graphs[graph].int8
    if calibration is None or plan is None:
        return None
    return calibration.rows(graph, file_sha256(path), most=plan.rows)


def _one_call(captured: Mapping[str, Tensors], engines: Mapping[str, Engine]) -> dict[str, Tensors]:
    """Captured rows as inputs of one call."""
    return {
        graph: rows if varies(engines[graph]) else {name: array[0] for name, array in rows.items()}
        for graph, rows in captured.items()
    }


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
            conventions={
                graph: FileConventions(layout=recipe.source.layout, tensors=recipe.source.tensors.get(graph, {}))
                for graph, recipe in graphs.items()
            },
        )


def _network_export(recipe: Recipe, network: NetworkReport, calibration: str | None) -> NetworkExport:
    """What the builder of engines needs to know."""
    return NetworkExport(
        recipe_sha256=recipe.sha256,
        calibration_sha256=calibration,
        graphs={
            graph: GraphExport(
                profiles=plan.profiles,
                files={
                    Precision(item.precision): GraphFile(
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
