"""Every graph in every precision: exported, checked, compiled by TensorRT-RTX; what INT8 costs and gains on a CPU.

    python -m benchmarks run export [--tier nano|full] [--random-weights SEED] [--work FOLDER]

The recipes of a tier are exported in FP32, a calibration set is collected with that bundle over generated recordings,
and the bundle is exported again with INT8. Then: every graph x precision is built for SM86 and SM89, which needs no
GPU; a second export and build, which must build nothing; one recipe changed, which must build its own engines only;
and for the nano tier RefineNet's speed in INT8 against FP32, and tracking on synthetic recordings with either.
With ``--random-weights`` the graphs are tried without checkpoints, and only tensors are compared. The
calibration manifest goes to ``calib/<tier>.json``.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.registry import Outcome, RecordOptions, case
from benchmarks.timing import measure
from storm_edge.bop.scene import BopScene
from storm_edge.calib.collect import collect
from storm_edge.calib.sets import MANIFEST as SET_MANIFEST
from storm_edge.calib.sets import CalibrationSet, load_set
from storm_edge.calib.synthetic import synthetic_recordings
from storm_edge.choices import Init
from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt.api import load_tensorrt
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.cache import CacheState, EngineCache
from storm_edge.engines.contract import EngineOptions
from storm_edge.engines.exported_graphs import exported_graphs
from storm_edge.evaluate.pose_evaluation import evaluate_scene
from storm_edge.evaluate.poses import score
from storm_edge.evaluate.predictions import read_predictions
from storm_edge.export.recipe import Gates, Graph, Recipe, Source, TensorGate, read_recipe
from storm_edge.export.run import ExportOptions, export_bundle
from storm_edge.generator.config import GeneratorConfig, PoolConfig
from storm_edge.generator.refine_pairs import RefinePairs
from storm_edge.live.config import StormConfig
from storm_edge.objects.onboard import onboard
from storm_edge.pipeline.config import TrackConfig
from storm_edge.pipeline.register.config import REFINE_FIRST
from storm_edge.pipeline.track.config import StepwiseTrackConfig
from storm_edge.replay.pose_log import POSES
from storm_edge.replay.track_scene import TrackSceneOptions, track_scene
from storm_edge.synthetic.scene_renderer import OBJECT_ID, write_scene
from storm_edge.synthetic.scenes import evaluation_sequences
from storm_edge.synthetic.splits import SEQUENCES_VAL_BUNDLE, STREAMS_VAL

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("sm86", "sm89")
PRECISIONS = ("fp32", "fp16", "int8-fp16")
_ANYTHING = Gates(tensors=TensorGate(cosine=-1.0, max_error=1e12))
_ALWAYS = StormConfig(
    register=replace(REFINE_FIRST, network_weight=0.0),
    track=TrackConfig(stepwise=StepwiseTrackConfig(ask_network="always", network_iterations=2)),
)


def recipes_of(tier: str, *, random_weights: int | None) -> list[Recipe]:
    """The recipes of a tier."""
    read = [read_recipe(path) for path in sorted((ROOT / "export").glob(f"{tier}-*.yaml"))]
    if random_weights is not None:
        # Random weights answer at random: what passes is no measure, what compiles is.
        open_gates = {"fp16": _ANYTHING, "int8": _ANYTHING}
        return [r.model_copy(update={"gates": open_gates, "graphs": _without_sweep(r)}) for r in read]
    return read


def _without_sweep(recipe: Recipe) -> dict[str, Graph]:
    return {
        name: graph.model_copy(update={"int8": graph.int8 and graph.int8.model_copy(update={"sweep": False})})
        for name, graph in recipe.graphs.items()
    }


def from_bundle(recipe: Recipe, bundle: Path) -> Recipe:
    """The recipe with graphs that are exported already as its source."""
    return recipe.model_copy(update={"source": Source(bundle=str(bundle))})


def build_all(
    bundle: Path,
    engines: Path,
    precisions: Sequence[str] = PRECISIONS,
) -> tuple[list[dict[str, Any]], int]:
    """Build every precision for every target; a row per engine, and how many were built."""
    api, cache = load_tensorrt("tensorrt_rtx"), EngineCache(engines, bundle.name)
    rows, built = [], 0
    for precision in precisions:
        graphs = exported_graphs(bundle, precision)
        for sm in TARGETS:
            for status in cache.build(graphs, api, GpuTarget(sm=sm, gpu="any", system="any")):
                built += status.state is not CacheState.FRESH
                path = cache.engine_path(status.key)
                made = json.loads(path.with_suffix(".json").read_text())
                names = ("engine_bytes", "build_seconds", "build_peak_bytes", "build_estimate_bytes")
                rows.append(
                    {"graph": status.key.graph, "precision": precision, "sm": sm, **{n: made[n] for n in names}}
                )
                print(f"  {rows[-1]['graph']:<16} {precision:<10} {sm} {made['build_seconds']:7.1f} s", flush=True)
    return rows, built


def refine_speed(bundle: Path) -> dict[str, Any]:
    """RefineNet on one thread, FP32 and INT8 in turns, in the batches of tracking and of registration."""
    pictures = GeneratorConfig(pool=PoolConfig(objects=12))
    drawn = RefinePairs(STREAMS_VAL.seed(7), config=pictures).batch(42)
    pairs = {name: tensor.numpy() for name, tensor in drawn.items()}
    options = EngineOptions(threads=1)
    figures: dict[str, Any] = {}
    for count in (2, 42):
        feed = {k: pairs[k][:count] for k in ("rendered", "observed")}
        engines = {p: NetworkBundle.load(bundle / p).open("refine", options) for p in (".", "int8")}
        times: dict[str, list[float]] = {".": [], "int8": []}
        for _ in range(5):  # in turns, so that a busy moment hits both
            for name, engine in engines.items():
                timing = measure(partial(engine.run, feed), seconds=0.5, at_least=5)
                times[name].append(timing.cpu_ms["p50"])
        fp32, int8 = (float(np.median(times[name])) for name in (".", "int8"))
        figures[f"batch_{count}"] = {"fp32_cpu_ms": fp32, "int8_cpu_ms": int8, "speed_up": round(fp32 / int8, 3)}
    return figures


def tracking(bundle: Path, count: int, frames: int, init: Init) -> dict[str, Any]:
    """Track synthetic recordings, RefineNet on every frame, with FP32 and with INT8."""
    scores: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in (".", "int8"):
            judged = []
            networks = NetworkBundle.load(bundle / precision)
            for index, script in enumerate(evaluation_sequences(count, frames, SEQUENCES_VAL_BUNDLE.first)):
                path = Path(folder) / f"{index:06d}"
                if not path.exists():
                    write_scene(path, script)
                item = onboard(path / "models" / f"obj_{OBJECT_ID:06d}.ply", "mm", view_subdivisions=2)
                scene, out = BopScene(path), Path(folder) / "run"
                options = TrackSceneOptions(init=init, pictures=False, config=_ALWAYS)
                track_scene(scene, [item], networks, out, options)
                judged += evaluate_scene(scene, read_predictions(out / POSES), [item])
            scores["fp32" if precision == "." else precision] = asdict(score(precision, judged))
    return scores


class Tier(str, Enum):
    """Which networks."""

    NANO = "nano"
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class ExportCaseOptions(RecordOptions):
    """What is exported and compared."""

    tier: Annotated[Tier, typer.Option(help="Which networks.")] = Tier.NANO
    random_weights: Annotated[int | None, typer.Option(help="Seed, where there are no checkpoints.")] = None
    fp32: Annotated[Path | None, typer.Option(help="A bundle in FP32 of these recipes, exported earlier.")] = None
    no_int8: Annotated[bool, typer.Option("--no-int8", help="Only FP32 and FP16; no calibration.")] = False
    networks: Annotated[list[str] | None, typer.Option(help="Only these; given again for each.")] = None
    recordings: Annotated[int, typer.Option(help="Generated recordings to calibrate on.")] = 12
    sequences: Annotated[int, typer.Option(help="Held-out recordings to track, nano tier.")] = 6
    held_out: Annotated[int, typer.Option(help="Held-out samples of a gate.")] = 48
    work: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps set, bundles and engines, to go on after a break."),
    ] = None
    track: Annotated[
        Path | None, typer.Option(help="Only track with this bundle from the true first pose; its own record.")
    ] = None


@case(record="export-*")  # what it times is CPU time, of two precisions in turns: a busy machine does not spoil it
def export(options: ExportCaseOptions) -> Outcome:
    """Export, calibrate, build and compare a tier."""
    if options.track is not None:
        found = tracking(options.track, options.sequences, 30, Init.GT)
        summary = {**found, "refine_speed": refine_speed(options.track)}
        return Outcome(summary=summary, record="export-nano-tracking")
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        results = export_and_build(options, work)
    rows = [{"kind": kind, **row} for kind in ("networks", "engines") for row in results.get(kind, ())]
    return Outcome(summary=summarise(results), rows=rows, record=f"export-{options.tier.value}")


def summarise(results: dict[str, Any]) -> dict[str, Any]:
    """The same with a line per network's gate, and per graph and precision."""
    networks = []
    for network in results.get("networks", ()):
        sizes = {g["graph"]: _mib(g["size_bytes"]) for g in network["graphs"] if g["precision"] == "fp32"}
        graphs = {f"{g['graph']} {g['precision']}": _graph(g) for g in network["graphs"] if g["precision"] != "fp32"}
        figures: dict[str, dict[str, Any]] = {}
        for precision, found in network["metrics"].items():
            for figure in found:
                row = figures.setdefault(figure["name"], {"fp32": _short(figure["fp32"]), "limit": figure["limit"]})
                row[precision] = _short(figure["reduced"])
        kept = {key: network[key] for key in ("network", "data", "seconds", "failures") if network[key]}
        networks.append({**kept, "fp32_mib": sizes, "graphs": graphs, "figures": figures})
    engines: dict[str, dict[str, list[float]]] = {}
    for engine in results["engines"]:
        row = engines.setdefault(
            f"{engine['graph']} {engine['precision']}", {"mib": [], "build_s": [], "peak_mib": []}
        )
        row["mib"].append(_mib(engine["engine_bytes"]))
        row["build_s"].append(round(engine["build_seconds"], 1))
        row["peak_mib"].append(_mib(engine["build_peak_bytes"]))
    return {**results, "networks": networks, "engines": engines, "engines_of": list(TARGETS)}


def _graph(graph: dict[str, Any]) -> dict[str, Any]:
    """Size, what stays in FP32, and how far the answers are from those in FP32."""
    row: dict[str, Any] = {"mib": _mib(graph["size_bytes"])}
    if graph["fp32_nodes"]:
        row["fp32_nodes"] = [graph["fp32_nodes"], graph["nodes"]]
    if graph["layers"]:
        row["int8_layers"] = [sum(layer["int8"] for layer in graph["layers"]), len(graph["layers"])]
    if graph["drift"]:
        row["cosine"] = round(min(error["cosine"] for error in graph["drift"].values()), 7)
        row["max_error"] = _short(max(error["max_error"] for error in graph["drift"].values()))
    return row


def _mib(count: int) -> float:
    return round(count / 2**20, 2)


def _short(value: float | None) -> float | None:
    """Four digits."""
    return None if value is None else float(f"{value:.4g}")


def _first_changed(recipes: list[Recipe]) -> list[Recipe]:
    """The recipes with other profiles of the first one's first graph."""
    first = recipes[0]
    graph = next(iter(first.graphs))
    wider = first.graphs[graph].model_copy(update={"profiles": {"track": (1, 1, 4)}})
    return [first.model_copy(update={"graphs": {**first.graphs, graph: wider}}), *recipes[1:]]


def _print_engines(title: str, built: list[dict[str, Any]]) -> None:
    table = Table("graph", "precision", "engine SM86 [MiB]", "build [s]", "peak [MiB]", title=title)
    for row in built:
        if row["sm"] == TARGETS[0]:
            sizes = f"{row['engine_bytes'] / 2**20:.1f}", f"{row['build_seconds']:.1f}"
            table.add_row(row["graph"], row["precision"], *sizes, f"{row['build_peak_bytes'] / 2**20:.0f}")
    Console().print(table)


def export_and_build(options: ExportCaseOptions, work: Path) -> dict[str, Any]:
    """Export, calibrate, build; what `build_summary` summarises."""
    started, untrained = time.perf_counter(), options.random_weights is not None
    recipes = recipes_of(options.tier.value, random_weights=options.random_weights)
    if options.networks:
        recipes = [recipe for recipe in recipes if recipe.network in options.networks]
    first, bundle, engines = options.fp32 or work / "fp32", work / options.tier.value, work / "engines"
    if options.fp32 is None:
        export_bundle(
            recipes,
            first,
            name=options.tier.value,
            options=ExportOptions(random_weights=options.random_weights, held_out=4),
        )
    parity = {
        graph: values
        for network in json.loads((first / "report.json").read_text())["networks"]
        for graph, values in network["parity"].items()
    }
    if options.no_int8:
        built, count = build_all(first, engines, PRECISIONS[:2])
        return {"untrained": untrained, "parity_fp32": parity, "engines": built, "engines_built": count}
    if (work / "set").is_dir():  # kept by an earlier run in the same --work
        rows = load_set(work / "set")
    else:
        with synthetic_recordings(options.recordings) as recordings:
            rows = collect(recordings, NetworkBundle.load(first), work / "set")
    (ROOT / "calib").mkdir(exist_ok=True)
    if not untrained:  # what random weights see is of no use to anybody
        shutil.copyfile(work / "set" / SET_MANIFEST, ROOT / "calib" / f"{options.tier.value}.json")
    taken = [from_bundle(recipe, first) for recipe in recipes]

    def export_to(changed: list[Recipe], calibration: CalibrationSet) -> Any:
        return export_bundle(
            changed,
            bundle,
            name=options.tier.value,
            calibration=calibration,
            options=ExportOptions(held_out=options.held_out, tensors_only=untrained),
        )

    report = export_to(taken, rows)
    export_s = time.perf_counter() - started
    results: dict[str, Any] = {
        "untrained": untrained,
        "export_s": round(export_s, 1),
        "parity_fp32": parity,
        "networks": [asdict(network) for network in report.networks],
    }

    built, count = build_all(bundle, engines)
    results |= {
        "engines": built,
        "engines_built": count,
        "engines_total_s": round(sum(row["build_seconds"] for row in built), 1),
    }
    if not untrained:
        export_to(taken, rows)
        results["rebuilt_after_nothing_changed"] = build_all(bundle, engines)[1]
        export_to(_first_changed(taken), rows)
        results["rebuilt_after_one_recipe_changed"] = {
            "recipe": taken[0].network,
            "its_engines": len(taken[0].graphs) * len(TARGETS) * len(PRECISIONS),
            "built": build_all(bundle, engines)[1],
        }
        results["refine_speed"] = refine_speed(bundle)
        results["tracking"] = tracking(bundle, options.sequences, 30, Init.MASK)
    _print_engines(options.tier.value, built)
    return results
