"""What does the whole chain lose without each of its networks?

    python -m benchmarks run make_sets SETS
    python -m benchmarks run without_networks SETS [--scenes 20] [--count 8] [--searches 15] [--jobs 2]

The same recordings are run with one network after the other left out: a copy of the bundle lacks its graphs, and the
chain does what it does for users without it. Three tasks, on dev seeds: pictures registered from their first mask
(`accuracy`, ``SETS/scenes``), recordings with a loss (`recovery`), and clutter in which an object is looked for
(`search`). ``all`` leaves geometry and colours alone.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.cases import accuracy, recovery, search
from benchmarks.registry import Outcome, RecordingOptions, case
from storm_edge.choices import Init, TrackerKind
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import MANIFEST
from storm_edge.evaluate.poses import score
from storm_edge.evaluate.recovery import report_recovery

NETWORKS = ("som", "score", "tom")
"""Left out one by one where the bundle has them; graphs of a network begin with its name. A bundle without RefineNet
is refused, since tracking asks it where geometry is in doubt: what it brings is in ``all``."""


@dataclass(frozen=True, kw_only=True)
class WithoutNetworksOptions(RecordingOptions):
    """How much is run with each bundle."""

    scenes: Annotated[int, typer.Option(help="Pictures that are registered.")] = 20
    searches: Annotated[int, typer.Option(help="Pictures in which an object is looked for.")] = 15
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2


def lacking(bundle: Path, networks: Sequence[str], out: Path) -> Path:
    """A copy of a bundle without the graphs of some networks."""
    shutil.copytree(bundle, out)
    manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    for name in [n for n in manifest["networks"] if n.split("_")[0] in networks]:
        (out / manifest["networks"].pop(name)["file"]).unlink()
    (out / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return out


def held_of(graphs: Iterable[str]) -> list[str]:
    """Which of the networks are there, of the graphs of a bundle."""
    held = {graph.split("_")[0] for graph in graphs}
    return [network for network in NETWORKS if network in held]


@case(record="without_networks")
def without_networks(options: WithoutNetworksOptions) -> Outcome:
    """Leave out one network after the other, and run the same recordings."""
    bundle = NetworkBundle.load(options.bundle)
    whole, held = bundle.folder, held_of(bundle.networks)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for left_out in ("nothing", *held, "all"):
            gone = {"nothing": (), "all": (*held, "refine")}.get(left_out, (left_out,))
            rest = "none" if left_out == "all" else str(lacking(whole, gone, Path(folder) / left_out))
            figures[left_out] = judged(options, rest, segmenter="som" not in gone)
            print(left_out, {name: round(value, 4) for name, value in figures[left_out].items()}, flush=True)
    table = Table("figure", *figures)
    for name in figures["nothing"]:
        table.add_row(name, *(f"{row[name]:.3f}" for row in figures.values()))
    Console(width=140).print(table)
    return Outcome(summary={"bundle": options.bundle, "without": figures})


def judged(options: WithoutNetworksOptions, bundle: str, *, segmenter: bool) -> dict[str, float]:
    """All figures of one bundle."""
    folders = sorted(p for p in (options.sets / "scenes").glob("*") if p.is_dir())[: options.scenes]
    tasks = [(path, "scene_gt.json", bundle, Init.MASK.value) for path in folders]
    pictures = accuracy.run_set("scenes", tasks, options.jobs)
    poses = score("scenes", [judgement for run in pictures for judgement in run.judged])
    recordings = [
        recovery.Task(
            sets=options.sets,
            number=options.first + i,
            bundle=bundle,
            tracker=TrackerKind.STEPWISE,
            rate_hz=None,
        )
        for i in range(options.count)
    ]
    followed = recovery.run_all(recordings, options.jobs)
    losses = report_recovery([records for records in followed if records is not None])
    searched = search.SearchOptions(bundle=bundle, scenes=options.searches, colour=not segmenter, jobs=options.jobs)
    found = search.summary(search.search_all(searched))
    return {
        "registered within ADD 0.1 d": poses.add_recall or 0.0,
        "AUC of ADD": poses.add_auc or 0.0,
        "losses noticed": float(len(losses.lost.detected)),
        "losses missed": float(losses.lost.missed_count),
        "false alarms per 1000": losses.lost.false_per_1000,
        "silent drift share": losses.drift_share,
        "found again within 30": round((losses.recovered_share or 0.0) * losses.hidden_count),
        "found again, median frames": float(np.median(losses.recovered)) if losses.recovered else np.nan,
        "search: right place": found["right_place"],
        "search: found": found["found"],
        "search: absent, not found": found["absent_right"],
        "search: iou first": found["iou_first"],
    }
