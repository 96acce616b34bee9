"""How long a robot waits for `import storm_edge.live`, and what that loads.

    python -m benchmarks run import_time [--repeats 10] [--module storm_edge.live --module ...]

Every import happens in a fresh interpreter, whose own start does not count. One import before them brings files into
the system's cache and writes bytecode.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from benchmarks.registry import Outcome, RecordOptions, case
from storm_edge.errors import InputError, mismatch
from storm_edge.percentiles import percentiles

MODULES = ("storm_edge.live", "storm_edge.live.factory")
"""The package itself, and what makes sessions of objects, which needs all that a session runs."""
WORKSHOP = ("torch", "matplotlib", "trimesh", "storm_edge.synthetic", "storm_edge.train", "storm_edge.networks")
"""What a robot's program must not load; said by name where it is."""

_WORK = """
import sys, time
before, began = set(sys.modules), time.perf_counter()
__import__({module!r})
took_s = time.perf_counter() - began
import json
print(json.dumps({{"ms": 1e3 * took_s, "modules": sorted(set(sys.modules) - before)}}))
"""


@dataclass(frozen=True, kw_only=True)
class ImportOptions(RecordOptions):
    """What is imported, and how often."""

    module: Annotated[
        list[str] | None, typer.Option(help="What is imported; given again for each. The live package and a session.")
    ] = None
    repeats: Annotated[int, typer.Option(help="Fresh interpreters.")] = 10


@case(record="import_time", timing=True)
def import_time(options: ImportOptions) -> Outcome:
    """Import modules in fresh interpreters."""
    summary: dict[str, Any] = {}
    rows = []
    for module in options.module or MODULES:
        measure_import(module)
        measured = [measure_import(module) for _ in range(options.repeats)]
        names: list[str] = measured[0]["modules"]
        packages = Counter(name.partition(".")[0] for name in names)
        summary[module] = {
            "import_ms": percentiles([one["ms"] for one in measured]),
            "module_count": len(names),
            "own_module_count": packages["storm_edge"],
            "workshop": [name for name in WORKSHOP if name in names],
            "packages_with_most_modules": dict(packages.most_common(12)),
        }
        rows += [{"imported": module, "module": name} for name in names]
        print(f"import {module}: p50 {summary[module]['import_ms']['p50']:.0f} ms, {len(names)} modules")
        print(f"  of the workshop: {', '.join(summary[module]['workshop']) or 'none'}")
    return Outcome(summary=summary, rows=rows)


def measure_import(module: str) -> dict[str, Any]:
    """Time [ms] and loaded modules of one import in a fresh interpreter.

    Raises:
        InputError: It cannot be imported.
    """
    done = subprocess.run(
        [sys.executable, "-c", _WORK.format(module=module)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1]
        raise InputError(mismatch("--module", said, "a module that can be imported", "name another one"))
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
