"""Does a change of the code change what it computes? A digest of every pose and state of fixed recordings.

    python -m benchmarks.digests SETS [--real DATA] [--recoveries 20] [--jobs 2] [--against FILE] [--json FILE]

runs ``storm-edge track`` over the real recordings `cup` and `mustard` (first pose from the mask, and found by
itself),
``storm-edge demo``, and ``storm-edge track`` over ``SETS/recovery/000000 ...``, which are made where they are not
there. Every run is one process of the command line, so that the digests need nothing of the code's inside. With
``--against`` it compares with an earlier file, names the first frame that differs, and exits 1 if any does.

Digests hold for one kind of processor and one set of package versions: compare runs of one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storm_edge.synthetic.occlusions import recovery_sequence
from storm_edge.synthetic.scene_renderer import write_scene
from storm_edge.synthetic.splits import RECOVERIES_DEV

FIRST_SEED = RECOVERIES_DEV.first
_KEPT = ("frame", "object", "state", "T_cam_obj", "confidence", "pose_age_ms")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A command whose ``poses.jsonl`` is digested."""

    name: str
    arguments: tuple[str, ...]
    seed: int | None = None
    """Of the recording that is made first, if it is not there."""
    scene: Path | None = None


def frames_of(poses: Path) -> list[str]:
    """A digest per line, of what does not depend on the machine's speed."""
    lines = []
    for line in poses.read_text().splitlines():
        row = json.loads(line)
        kept = json.dumps([row.get(key) for key in _KEPT])
        lines.append(hashlib.sha256(kept.encode()).hexdigest()[:12])
    return lines


def digest(run: Run) -> tuple[str, list[str] | str]:
    """Run it; a digest per frame and object, or what it said when it failed."""
    if run.scene is not None and run.seed is not None and not run.scene.is_dir():
        run.scene.parent.mkdir(parents=True, exist_ok=True)
        write_scene(run.scene, recovery_sequence(run.seed).script)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "storm_edge", *run.arguments, "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        poses = out / "poses.jsonl"
        if not poses.is_file():
            said = (done.stderr or done.stdout).strip().splitlines()
            return run.name, said[-1] if said else f"exit {done.returncode}"
        return run.name, frames_of(poses)


def all_runs(sets: Path, real: Path | None, recoveries: int) -> list[Run]:
    """The fixed list; recordings with the longest searches first, so that two processes end together."""
    runs = []
    for i in range(recoveries):
        scene = sets / "recovery" / f"{i:06d}"
        arguments = ("track", str(scene), *_object(scene), "--init", "mask", "--no-pictures")
        runs.append(Run(name=f"recovery-{i:06d}", arguments=arguments, seed=FIRST_SEED + i, scene=scene))
    for name, model in (("cup", "obj_000001.ply"), ("mustard", "obj_000005.ply")) if real else ():
        assert real is not None
        for init in ("mask", "auto"):
            scene = real / name
            what = ("--object", str(scene / "models" / model), "--unit", "mm", "--init", init, "--no-pictures")
            runs.append(Run(name=f"{name}-{init}", arguments=("track", str(scene), *what)))
    runs.append(Run(name="demo", arguments=("demo",)))
    return runs


def _object(scene: Path) -> tuple[str, ...]:
    return ("--object", str(scene / "models" / "obj_000001.ply"), "--unit", "mm")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, help="folder for the recordings")
    parser.add_argument("--real", type=Path, default=None, help="folder of the real recordings")
    parser.add_argument("--recoveries", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=None, help="names of runs, or what they begin with")
    parser.add_argument("--against", type=Path, default=None, help="an earlier file to compare with")
    parser.add_argument("--json", type=Path, default=None, help="where to write the digests")
    options = parser.parse_args(arguments)

    runs = all_runs(options.sets, options.real, options.recoveries)
    if options.only is not None:
        runs = [run for run in runs if any(run.name.startswith(name) for name in options.only)]
    before = {} if options.against is None else json.loads(options.against.read_text())["runs"]
    found: dict[str, list[str] | str] = {}
    different = 0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for name, frames in pool.imap(digest, runs):
            found[name] = frames
            whole = frames if isinstance(frames, str) else hashlib.sha256("".join(frames).encode()).hexdigest()[:16]
            verdict = ""
            if name in before:
                verdict = _compared(before[name], frames)
                different += verdict != "same"
            print(
                f"{name:18s} {len(frames) if isinstance(frames, list) else 0:4d} frames  {whole}  {verdict}",
                flush=True,
            )
    if options.json is not None:
        options.json.write_text(json.dumps({"runs": found}, indent=1) + "\n")
    print(f"{len(found)} runs" + (f", {different} different" if before else ""))
    sys.exit(1 if different else 0)


def _compared(before: list[str] | str, now: list[str] | str) -> str:
    if before == now:
        return "same"
    if isinstance(before, str) or isinstance(now, str):
        return "DIFFERENT"
    first = next((i for i, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), min(len(before), len(now)))
    return f"DIFFERENT from line {first}"


if __name__ == "__main__":
    main()
