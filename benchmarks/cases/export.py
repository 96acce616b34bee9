"""Every graph in every precision: exported, checked, compiled by TensorRT-RTX; what INT8 costs and gains on a CPU.

    python -m benchmarks run export [--tier nano | full] [--random-weights SEED] [--recordings 12] [--sequences 6]

The recipes of a tier are exported in FP32, a calibration set is collected with that bundle over generated recordings,
and the bundle is exported again with INT8. Then: every graph x precision is built for SM86 and SM89, which needs no
GPU; a second export and build, which must build nothing; one recipe changed, which must build its own engines only;
and for the nano tier RefineNet's speed in INT8 against FP32, and tracking on held-out recordings with either.
With ``--random-weights`` the graphs are tried without checkpoints, and only tensors are compared. The record is
``records/export-<tier>.json``, the calibration manifest goes to ``calib/<tier>.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.common import measure, write_record
from storm_edge.bop.scene import BopScene
from storm_edge.calib.collect import collect
from storm_edge.calib.sets import MANIFEST as SET_MANIFEST
from storm_edge.calib.sets import CalibrationSet, load_set
from storm_edge.calib.synthetic import synthetic_recordings
from storm_edge.choices import Init
from storm_edge.engines.backends.targets import Target
from storm_edge.engines.backends.tensorrt_api import load_tensorrt
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.cache import CacheState, EngineStore
from storm_edge.engines.contract import EngineOptions
from storm_edge.engines.exported import exported_graphs
from storm_edge.evaluate.pose_evaluation import evaluate_scene
from storm_edge.evaluate.poses import score
from storm_edge.evaluate.predictions import read_predictions
from storm_edge.export.recipe import Gates, Graph, Recipe, Source, TensorGate, read_recipe
from storm_edge.export.run import export_bundle
from storm_edge.live.config import StormConfig
from storm_edge.objects.onboard import onboard
from storm_edge.pipeline.config import TrackConfig
from storm_edge.pipeline.register.registrar import REFINE_FIRST
from storm_edge.pipeline.track.stepwise import StepwiseTrackConfig
from storm_edge.replay.outputs import POSES
from storm_edge.replay.track_scene import track_scene
from storm_edge.synthetic.pairs import PairConfig, PairSampler
from storm_edge.synthetic.scenes import OBJECT_ID, evaluation_sequences, write_scene

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("sm86", "sm89")
PRECISIONS = ("fp32", "fp16", "int8-fp16")
_ANYTHING = Gates(tensors=TensorGate(cosine=-1.0, max_error=1e12))
_ALWAYS = StormConfig(
    register=replace(REFINE_FIRST, network_weight=0.0),
    track=TrackConfig(stepwise=StepwiseTrackConfig(ask_network="always", network_iterations=2)),
)


def recipes_of(tier: str, *, random_weights: int | None) -> list[Recipe]:
    """The recipes of a tier whose weights are there."""
    read = [read_recipe(path) for path in sorted((ROOT / "export").glob(f"{tier}-*.yaml"))]
    if random_weights is not None:
        # Random weights answer at random: what passes is no measure, what compiles is.
        open_gates = {"fp16": _ANYTHING, "int8": _ANYTHING}
        return [r.model_copy(update={"gates": open_gates, "graphs": _without_sweep(r)}) for r in read]
    kept = []
    for recipe in read:
        lacking = recipe.source.bundle is not None and not (
            recipe.graphs.keys() <= NetworkBundle.load(recipe.source.bundle).networks.keys()
        )
        if lacking:
            print(f"left out, not in the bundle yet: {recipe.network}")
        else:
            kept.append(recipe)
    return kept


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
    note: Callable[[list[dict[str, Any]]], object] = len,
) -> tuple[list[dict[str, Any]], int]:
    """Build every precision for every target; a row per engine, and how many were built. ``note`` gets all so far."""
    api, store = load_tensorrt("tensorrt_rtx"), EngineStore(engines, bundle.name)
    rows, built = [], 0
    for precision in precisions:
        graphs = exported_graphs(bundle, precision)
        for sm in TARGETS:
            for standing in store.build(graphs, api, Target(sm=sm, gpu="any", system="any")):
                built += standing.state is not CacheState.FRESH
                path = store.engine_path(standing.key)
                made = json.loads(path.with_suffix(".json").read_text())
                names = ("engine_bytes", "build_seconds", "build_peak_bytes", "build_estimate_bytes")
                rows.append(
                    {"graph": standing.key.graph, "precision": precision, "sm": sm, **{n: made[n] for n in names}}
                )
                print(f"  {rows[-1]['graph']:<16} {precision:<10} {sm} {made['build_seconds']:7.1f} s", flush=True)
            note(rows)
    return rows, built


def refine_speed(bundle: Path) -> dict[str, Any]:
    """RefineNet on one thread, FP32 and INT8 in turns, in the batches of tracking and of registration."""
    pairs = PairSampler(1_000_007, config=PairConfig(pool_size=12, poses_per_scene=1)).refine_batch(42)
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
    """Track held-out recordings, RefineNet on every frame, with FP32 and with INT8."""
    scores: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in (".", "int8"):
            judged = []
            networks = NetworkBundle.load(bundle / precision)
            for index, script in enumerate(evaluation_sequences(count, frames, 40_000)):
                path = Path(folder) / f"{index:06d}"
                if not path.exists():
                    write_scene(path, script)
                item = onboard(path / "models" / f"obj_{OBJECT_ID:06d}.ply", "mm", view_subdivisions=2)
                scene, out = BopScene(path), Path(folder) / "run"
                track_scene(scene, [item], networks, out, init=init, pictures=False, config=_ALWAYS)
                judged += evaluate_scene(scene, read_predictions(out / POSES), [item])
            scores["fp32" if precision == "." else precision] = asdict(score(precision, judged))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", choices=["nano", "full"], default="nano")
    parser.add_argument("--random-weights", type=int, help="seed, where there are no checkpoints")
    parser.add_argument("--fp32", type=Path, help="a bundle in FP32 of these recipes, exported earlier")
    parser.add_argument("--no-int8", action="store_true", help="only FP32 and FP16; no calibration")
    parser.add_argument("--networks", nargs="*", help="only these")
    parser.add_argument("--record", help="name of the record")
    parser.add_argument("--recordings", type=int, default=12, help="generated recordings to calibrate on")
    parser.add_argument("--sequences", type=int, default=6, help="held-out recordings to track, nano tier")
    parser.add_argument("--held-out", type=int, default=48)
    parser.add_argument("--work", type=Path, help="folder to keep bundles and engines in")
    parser.add_argument(
        "--track", type=Path, help="only track with this bundle from the true first pose; its own record"
    )
    args = parser.parse_args()
    if args.track is not None:
        found = tracking(args.track, args.sequences, 30, Init.GT)
        print(write_record("export-nano-tracking", {**found, "refine_speed": refine_speed(args.track)}))
        return
    untrained = args.random_weights is not None
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        results = run(args, work, untrained)
    print(write_record(args.record or f"export-{args.tier}", results))


def run(args: argparse.Namespace, work: Path, untrained: bool) -> dict[str, Any]:
    """All of it."""
    started = time.perf_counter()
    recipes = recipes_of(args.tier, random_weights=args.random_weights)
    if args.networks:
        recipes = [recipe for recipe in recipes if recipe.network in args.networks]
    first, bundle, engines = args.fp32 or work / "fp32", work / args.tier, work / "engines"
    if args.fp32 is None:
        export_bundle(recipes, first, name=args.tier, random_weights=args.random_weights, held_out=4)
    parity = {
        graph: values
        for network in json.loads((first / "report.json").read_text())["networks"]
        for graph, values in network["parity"].items()
    }
    if args.no_int8:
        built, count = build_all(first, engines, PRECISIONS[:2])
        return {"untrained": untrained, "parity_fp32": parity, "engines": built, "engines_built": count}
    if (work / "set").is_dir():  # kept by an earlier run in the same --work
        rows = load_set(work / "set")
    else:
        with synthetic_recordings(args.recordings) as recordings:
            rows = collect(recordings, NetworkBundle.load(first), work / "set")
    (ROOT / "calib").mkdir(exist_ok=True)
    if not untrained:  # what random weights see is of no use to anybody
        shutil.copyfile(work / "set" / SET_MANIFEST, ROOT / "calib" / f"{args.tier}.json")
    taken = [from_bundle(recipe, first) for recipe in recipes]

    def export(changed: list[Recipe], calibration: CalibrationSet) -> Any:
        return export_bundle(
            changed, bundle, name=args.tier, calibration=calibration, held_out=args.held_out, tensors_only=untrained
        )

    report = export(taken, rows)
    export_s = time.perf_counter() - started
    results: dict[str, Any] = {
        "untrained": untrained,
        "export_s": round(export_s, 1),
        "parity_fp32": parity,
        "networks": [asdict(network) for network in report.networks],
    }

    def note(rows: list[dict[str, Any]]) -> None:
        """A build may take an hour; what is done by then is on record."""
        write_record(args.record or f"export-{args.tier}", {**results, "engines": rows, "complete": False})

    built, count = build_all(bundle, engines, note=note)
    results |= {
        "engines": built,
        "engines_built": count,
        "engines_total_s": round(sum(row["build_seconds"] for row in built), 1),
        "complete": True,
    }
    if not untrained:
        export(taken, rows)
        results["rebuilt_after_nothing_changed"] = build_all(bundle, engines)[1]
        graph = next(iter(taken[0].graphs))
        wider = taken[0].graphs[graph].model_copy(update={"profiles": {"track": (1, 1, 4)}})
        export([taken[0].model_copy(update={"graphs": {**taken[0].graphs, graph: wider}}), *taken[1:]], rows)
        results["rebuilt_after_one_recipe_changed"] = {
            "recipe": taken[0].network,
            "its_engines": len(taken[0].graphs) * len(TARGETS) * len(PRECISIONS),
            "built": build_all(bundle, engines)[1],
        }
        results["refine_speed"] = refine_speed(bundle)
        results["tracking"] = tracking(bundle, args.sequences, 30, Init.MASK)
    table = Table("graph", "precision", "engine SM86 [MiB]", "build [s]", "peak [MiB]", title=args.tier)
    for row in built:
        if row["sm"] == TARGETS[0]:
            sizes = f"{row['engine_bytes'] / 2**20:.1f}", f"{row['build_seconds']:.1f}"
            table.add_row(row["graph"], row["precision"], *sizes, f"{row['build_peak_bytes'] / 2**20:.0f}")
    Console().print(table)
    return results


if __name__ == "__main__":
    main()
