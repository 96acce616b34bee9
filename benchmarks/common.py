"""What every benchmark needs: the machine, the versions, percentiles, a timer, and the record it leaves.

A record is a JSON file in ``benchmarks/records/``; a number in the README or the changelog has one or is not claimed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RECORDS = Path(__file__).parent / "records"

_PACKAGES = ("numpy", "scipy", "opencv-python-headless", "warp-lang", "onnxruntime", "torch")


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory, system, and how busy the machine was when asked."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "cpu": cpu,
        "usable_cores": usable,
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Python, the packages that do the work, and the commit of this checkout."""
    found = {"python": platform.python_version()}
    installed = {
        d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions() if d.metadata["Name"]
    }
    found.update({package: installed[package] for package in _PACKAGES if package in installed})
    git = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=RECORDS.parent, capture_output=True, text=True, check=False
    )
    if git.returncode == 0:
        found["commit"] = git.stdout.strip()
    return found


def percentiles(samples_ms: Sequence[float]) -> dict[str, float]:
    """Percentiles, mean, and the first tenth against the last [ms]: a drift shows in the latter two."""
    x = np.asarray(samples_ms, dtype=np.float64)
    tenth = max(1, len(x) // 10)
    return {
        "count": len(x),
        "min": round(float(x.min()), 4),
        "p50": round(float(np.percentile(x, 50)), 4),
        "p95": round(float(np.percentile(x, 95)), 4),
        "p99": round(float(np.percentile(x, 99)), 4),
        "mean": round(float(x.mean()), 4),
        "first_tenth_p50": round(float(np.median(x[:tenth])), 4),
        "last_tenth_p50": round(float(np.median(x[-tenth:])), 4),
    }


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times of one piece of work."""

    wall_ms: dict[str, float]
    """`percentiles` of the wall time: what a user waits, other processes included."""
    cpu_ms: dict[str, float]
    """`percentiles` of this process's CPU time: near the wall time when the machine is idle and one core works."""


def measure(work: Callable[[], object], *, warm_up: int = 3, seconds: float = 1.0, at_least: int = 10) -> Timing:
    """Time calls of ``work``, which must block until done, for about ``seconds`` and ``at_least`` so many times."""
    for _ in range(warm_up):
        work()
    wall: list[float] = []
    cpu: list[float] = []
    end = time.perf_counter() + seconds
    while len(wall) < at_least or time.perf_counter() < end:
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        cpu.append(1e3 * (time.process_time() - start_cpu))
        wall.append(1e3 * (time.perf_counter() - start))
    return Timing(wall_ms=percentiles(wall), cpu_ms=percentiles(cpu))


def _argument(text: str) -> str:
    """An argument as the record shows it: of an absolute path only the last name, the rest is one machine's."""
    return Path(text).name if Path(text).is_absolute() else text


def write_record(name: str, results: Mapping[str, Any]) -> Path:
    """Write ``records/<name>.json`` with the results, machine, versions and command line; returns its path."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    record = {
        "name": name,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": " ".join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *map(_argument, sys.argv[1:])]),
        "machine": machine(),
        "versions": versions(),
        "results": dict(results),
    }
    path = RECORDS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path
