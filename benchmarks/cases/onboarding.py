"""What a user waits for before the first pose: onboarding a model, loading the bundle, starting the command.

    python -m benchmarks run onboarding [--bundle nano] [--repeats 3]

Models are one procedural mug at 1k, 5k and 20k triangles. The start is measured from outside: `storm-edge track` is
run on the demo's recording, and the clock stops when the first line of `poses.jsonl` is on disk. The first such run
may compile kernels; it is reported on its own as "cold" if the kernel cache was emptied before (``--empty-cache``).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.registry import NetworkOptions, Outcome, case
from benchmarks.timing import measure
from storm_edge.bop.json_file import MM_PER_M
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.replay.pose_log import POSES
from storm_edge.synthetic.demo import write_demo
from storm_edge.synthetic.objects import make_object
from storm_edge.synthetic.splits import OBJECTS_DEV

FACE_COUNTS = (1_000, 5_000, 20_000)
_TIMEOUT_S = 120.0


def onboard_mug(folder: Path, face_count: int) -> dict[str, Any]:
    """Onboard, save and load one mug."""
    mug = make_object(OBJECTS_DEV.seed(12), evaluation=True, family="mug", diameter_m=0.15, face_count=face_count)
    model = folder / f"mug_{face_count}.ply"
    write_ply(model, mug.mesh, units_per_metre=MM_PER_M)
    finished: dict[str, float] = {}
    start, start_cpu = time.perf_counter(), time.process_time()

    def mark(stage: str, share: float) -> None:
        if share == 1.0:
            finished[stage] = time.perf_counter() - start

    bundle = onboard(model, "mm", progress=mark)
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    path = folder / f"mug_{face_count}"
    bundle.save(path)
    loaded = measure(lambda: ObjectBundle.load(path))
    if len(ObjectBundle.load(path).viewpoints.directions) != len(bundle.viewpoints.directions):
        raise SystemExit("a bundle did not survive the disk; no record")
    return {
        "faces": len(bundle.mesh.faces),
        "onboard_s": round(wall_s, 2),
        "onboard_cpu_s": round(cpu_s, 2),
        "stage_end_s": {stage: round(seconds, 2) for stage, seconds in finished.items()},
        "bundle_mb": round(sum(f.stat().st_size for f in path.iterdir()) / 1e6, 1),
        "load_ms": loaded.wall_ms,
        "load_cpu_ms": loaded.cpu_ms,
    }


def start_to_first_pose(scene: Path, thing: Path, networks: str, folder: Path) -> float:
    """Seconds from starting the process to the first line of poses on disk."""
    out = folder / "run"
    command = [sys.executable, "-m", "storm_edge", "track", str(scene), "--object", str(thing)]
    command += ["--bundle", networks, "--no-pictures", "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while time.perf_counter() - start < _TIMEOUT_S:
            # The folder has a hidden name until the run is complete.
            if any(log.stat().st_size for log in folder.glob(f".run.partial-*/{POSES}.part")):
                return time.perf_counter() - start
            if process.poll() not in (None, 0):
                raise SystemExit("storm-edge track failed; no record")
            time.sleep(0.002)
        raise SystemExit(f"no pose after {_TIMEOUT_S:.0f} s; no record")
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True, kw_only=True)
class OnboardingOptions(NetworkOptions):
    """How often, and from which state."""

    repeats: Annotated[int, typer.Option(help="Starts of the command.")] = 3
    empty_cache: Annotated[bool, typer.Option("--empty-cache", help="Empty the kernel cache before.")] = False


@case(record="onboarding", timing=True)
def onboarding(options: OnboardingOptions) -> Outcome:
    """Onboard three models, and start the command; bundle `none` is geometry alone."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = [onboard_mug(folder, count) for count in FACE_COUNTS]
        scene = folder / "scene"
        write_demo(scene)
        thing = folder / "thing"
        onboard(next((scene / "models").glob("*.ply")), "mm").save(thing)
        if options.empty_cache:
            import warp as wp

            wp.clear_kernel_cache()
        starts_s = []
        for repeat in range(options.repeats):
            (folder / f"start_{repeat}").mkdir()
            starts_s.append(start_to_first_pose(scene, thing, options.bundle, folder / f"start_{repeat}"))

    table = Table(title="Onboarding", title_justify="left")
    for heading in ("faces", "onboard", "CPU", "bundle", "load p50", "load p99"):
        table.add_column(heading, justify="right")
    for row in rows:
        load = row["load_ms"]
        table.add_row(
            f"{row['faces']:,}",
            f"{row['onboard_s']:.1f} s",
            f"{row['onboard_cpu_s']:.1f} s",
            f"{row['bundle_mb']} MB",
            f"{load['p50']:.1f} ms",
            f"{load['p99']:.1f} ms",
        )
    console = Console()
    console.print(table)
    console.print("start to first pose: " + ", ".join(f"{seconds:.1f} s" for seconds in starts_s))
    results = {
        "onboarding": rows,
        "start_to_first_pose_s": [round(seconds, 2) for seconds in starts_s],
        "bundle": options.bundle,
        "kernel_cache_emptied": options.empty_cache,
    }
    return Outcome(summary=results)
