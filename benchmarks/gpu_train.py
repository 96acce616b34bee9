"""Everything that a GPU machine without a network is asked to do, in one command: train, export, measure.

    python -m benchmarks.gpu_train --minutes 60 --out runs/gpu
    python -m benchmarks.gpu_train --dry-run --out /tmp/dry

The generator's speed is measured, the four networks are trained on the GPU, a bundle is exported of them, and each of
its networks is asked what it is there for, beside the shipped ones. Every step is a process of its own with a limit;
one that fails is told and the others go on. What it prints is in ``STEP.txt``, what came of all in ``summary.json``.
The same command again goes on where a run was killed. A dry run does all of it on a CPU, with a few items each.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from benchmarks.record import RECORDS
from benchmarks.registry import case_names
from storm_edge.choices import Network
from storm_edge.errors import StormEdgeError
from storm_edge.files import write_atomically
from storm_edge.train.shares import PLAN

_RECIPES = Path(__file__).resolve().parents[1] / "export"
_BUNDLE_MIN, _MEASURE_MIN = 20.0, 15.0  # limits of the steps whose time is not given [min]
_TRAIN_OVER_MIN = 5.0  # of training beyond its minutes: pictures for the first step, last evaluations [min]
_SHOWN_LINES = 15
_ANYTHING = {"cosine": -1.0, "max_error": 1e12}
_DRY = "dry-"  # before the names of records that nobody is to keep


@dataclass(frozen=True, kw_only=True)
class Step:
    """One process."""

    name: str
    """What it does, and the name of its text."""
    command: list[str]
    """Arguments of this Python."""
    limit_min: float
    """Time after which it is ended [min]."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a step ended."""

    name: str
    """Its name."""
    status: int | None
    """Exit status; None where it ran past its limit."""
    minutes: float
    """What it took [min]."""


def steps_of(out: Path, minutes: float, *, device: str, dry_run: bool) -> Iterator[Step]:
    """The steps, made as they come, since later ones read what earlier ones left.

    Args:
        out: Folder of all.
        minutes: Of training.
        device: Where.
        dry_run: Whether a few items are enough.
    """
    few = ["--steps", "2", "--batch", "16", "--pool", "32", "--held-out", "16"] if dry_run else []
    cases = case_names()
    if "generator" in cases:
        seconds = ["--seconds", "1", "--record", f"{_DRY}generator"] if dry_run else []
        command = ["-m", "benchmarks", "run", "generator", "--device", device, *seconds]
        yield Step(name="generator", command=command, limit_min=_MEASURE_MIN)
    networks = out / "networks"
    go_on = ["--resume"] if (networks / PLAN).exists() else []
    command = ["-m", "storm_edge", "train", "all", "--minutes", f"{minutes:g}", "--device", device]
    command += ["--out", str(networks), *go_on, *few]
    yield Step(name="train", command=command, limit_min=minutes + _TRAIN_OVER_MIN)
    bundle, held_out = out / "bundle", ["--held-out", "4" if dry_run else "48"]
    recipes = write_recipes(out, gates_open=dry_run)
    command = ["-m", "storm_edge", "export", *map(str, recipes), "--out", str(bundle), *held_out]
    yield Step(name="export", command=command, limit_min=_BUNDLE_MIN)
    if "network_tasks" in cases:
        scenes = ["--scenes", "1"] if dry_run else []
        for name, which in (("tasks-before", "nano"), ("tasks-after", str(bundle))):
            record = f"{_DRY if dry_run else ''}network_{name}"
            command = ["-m", "benchmarks", "run", "network_tasks", "--bundle", which, *scenes, "--record", record]
            yield Step(name=name, command=command, limit_min=_MEASURE_MIN)


def write_recipes(out: Path, *, gates_open: bool = False) -> list[Path]:
    """Recipes of the nano tier whose weights are the checkpoints of this run.

    Args:
        out: Folder of the run.
        gates_open: Whether every answer passes: networks of two steps answer at random, and are tried, not measured.
    """
    folder = out / "recipes"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for network in Network:
        name = f"nano-{network.value}.yaml"
        recipe: dict[str, Any] = yaml.safe_load((_RECIPES / name).read_text(encoding="utf-8"))
        recipe["source"] = {"checkpoint": str((out / "networks" / network.value / "checkpoint.pt").resolve())}
        if gates_open:
            recipe["gates"] = {precision: {"tensors": _ANYTHING} for precision in recipe["gates"]}
        paths.append(folder / name)
        write_atomically(paths[-1], yaml.safe_dump(recipe, sort_keys=False).encode())
    return paths


def run_step(step: Step, out: Path) -> Ended:
    """Run one step, its output to a file; the end of it is printed."""
    print(f"{step.name}: python {' '.join(step.command)}", flush=True)
    began_s = time.monotonic()
    with (out / f"{step.name}.txt").open("wb") as text:
        process = subprocess.Popen([sys.executable, *step.command], stdout=text, stderr=subprocess.STDOUT)
        try:
            status: int | None = process.wait(timeout=60.0 * step.limit_min)
        except subprocess.TimeoutExpired:
            process.terminate()  # a training writes its checkpoint
            status = None
            try:
                process.wait(timeout=60.0)
            except subprocess.TimeoutExpired:
                process.kill()
    lines = (out / f"{step.name}.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    print("\n".join(lines[-_SHOWN_LINES:]), flush=True)
    return Ended(name=step.name, status=status, minutes=round((time.monotonic() - began_s) / 60.0, 2))


def gpu_train(
    out: Annotated[Path, typer.Option(help="Folder of everything.")],
    minutes: Annotated[float, typer.Option(help="Time of training [min].")] = 60.0,
    device: Annotated[str, typer.Option(help="cuda or cuda:i.")] = "cuda",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="A few items each, on a CPU.")] = False,
) -> None:
    """Train, export and measure; exit status 1 where a step failed."""
    out.mkdir(parents=True, exist_ok=True)
    where, time_min = ("cpu", minutes) if dry_run else (device, minutes)
    ended = []
    before = {path.name: path.stat().st_mtime_ns for path in RECORDS.glob("*.json")}
    for step in steps_of(out, time_min, device=where, dry_run=dry_run):
        ended.append(run_step(step, out))
        summary = {"device": where, "dry_run": dry_run, "steps": [asdict(step) for step in ended]}
        write_atomically(out / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
    for path in RECORDS.glob("*.json"):
        if path.stat().st_mtime_ns != before.get(path.name):
            shutil.copy(path, out)
            if path.name.startswith(_DRY):
                path.unlink()
    for step_ended in ended:
        said = "done" if step_ended.status == 0 else "FAILED" if step_ended.status is not None else "out of time"
        print(f"{step_ended.name:<14} {step_ended.minutes:6.1f} min  {said}")
    if any(step_ended.status != 0 for step_ended in ended):
        sys.exit(1)


if __name__ == "__main__":
    try:
        typer.run(gpu_train)
    except StormEdgeError as error:
        sys.exit(f"error: {error}")
