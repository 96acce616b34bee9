"""What a benchmark leaves: a summary in ``benchmarks/records``, and rows beside it that stay out of git.

A number in the README or in ``docs/`` has a record, or it is not claimed. A record is a JSON file of at most
`MAX_LINES` lines that says which command makes it again, on which machine, how busy that was, and which versions ran.
Times taken on a busy machine are no measure, so their record is refused (`LoadWatch`).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from storm_edge.environment import command_line, load_per_core, machine, usable_cores, versions
from storm_edge.errors import InputError, mismatch

RECORDS = Path(__file__).parent / "records"
ROWS = Path(__file__).parent / "rows"
"""One JSON line per row of a record; `.gitignore` has it."""

MAX_LINES = 200
"""Of a record."""
MAX_LOAD_PER_CORE = 1.0
"""Load average over cores above which times are not recorded."""
_WIDTH = 118
_LIBRARIES = ("scipy", "torch")


class LoadWatch:
    """How busy the machine is before and after a run, and how much of that was the run itself.

    Raises:
        InputError: Times are wanted and the machine is busy before the run has begun.
    """

    def __init__(self, *, timing: bool) -> None:
        self._timing = timing
        self.before = load_per_core()
        self._began_s, self._began_cpu_s = time.monotonic(), _cpu_s()
        self._refuse("before the run", self.before)

    def end(self) -> dict[str, float | None]:
        """Load per core before and after, and the cores over all cores that the run itself kept busy.

        Raises:
            InputError: Times are wanted and others kept the machine busy.
        """
        after = load_per_core()
        spent_s = max(time.monotonic() - self._began_s, 1e-3)
        own = (_cpu_s() - self._began_cpu_s) / spent_s / usable_cores()
        self._refuse("of others after the run", None if after is None else after - own)
        return {"before": self.before, "after": after, "of_the_run": round(own, 3)}

    def _refuse(self, when: str, load: float | None) -> None:
        if self._timing and load is not None and load > MAX_LOAD_PER_CORE:
            expected = f"at most {MAX_LOAD_PER_CORE:g}, or times mean nothing"
            remedy = "wait until the machine is idle, then run it again"
            raise InputError(mismatch(f"load per core {when}", f"{load:.2f}", expected, remedy))


def write_record(
    name: str,
    summary: Mapping[str, Any],
    *,
    command: Sequence[str],
    load: Mapping[str, float | None],
    rows: Iterable[Mapping[str, Any]] = (),
) -> Path:
    """Write ``records/<name>.json``, and ``rows/<name>.jsonl`` where there are rows; returns the record's path.

    Args:
        name: Of the record.
        summary: The figures.
        command: The arguments of ``python -m benchmarks`` that make it again.
        load: What `LoadWatch` said.
        rows: What the figures are made of.

    Raises:
        InputError: The summary is longer than `MAX_LINES` lines; nothing is written.
    """
    rows = list(rows)
    record = {
        "name": name,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": command_line("python -m benchmarks", command),
        "machine": machine(),
        "load_per_core": dict(load),
        "versions": versions(*_LIBRARIES) | _commit(),
        "results": dict(summary),
    }
    text = dumps(record) + "\n"
    if (lines := text.count("\n")) > MAX_LINES:
        raise InputError(
            mismatch(f"record {name}", f"{lines} lines", f"at most {MAX_LINES}", "summarise more, and pass rows")
        )
    RECORDS.mkdir(parents=True, exist_ok=True)
    if rows:
        ROWS.mkdir(parents=True, exist_ok=True)
        (ROWS / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = RECORDS / f"{name}.json"
    path.write_text(text, encoding="utf-8")
    return path


def dumps(value: Any, *, indent: int = 0, taken: int = 0) -> str:
    """JSON for people: what fits stands on one line, plain values side by side, all else on a line per entry.

    Args:
        value: JSON types only.
        indent: Columns before the entry's own lines.
        taken: Columns of the first line that are in use.
    """
    short = json.dumps(value)
    if indent + taken + len(short) < _WIDTH or not isinstance(value, (dict, list, tuple)) or not value:
        return short
    if isinstance(value, dict):
        keys, items, brackets = [json.dumps(str(key)) + ": " for key in value], list(value.values()), "{}"
    else:
        keys, items, brackets = [""] * len(value), list(value), "[]"
    entries = [
        key + dumps(item, indent=indent + 1, taken=len(key) + 1) for key, item in zip(keys, items, strict=True)
    ]
    inner = " " * (indent + 1)
    if any(isinstance(item, (dict, list, tuple)) for item in items):
        body = ",\n".join(inner + entry for entry in entries)
    else:
        body = _filled(entries, inner)
    return f"{brackets[0]}\n{body}\n{' ' * indent}{brackets[1]}"


def _filled(entries: list[str], inner: str) -> str:
    """Plain values side by side."""
    lines = [inner]
    for number, entry in enumerate(entries):
        text = entry + ("," if number < len(entries) - 1 else "")
        if len(lines[-1]) > len(inner) and len(lines[-1]) + 1 + len(text) > _WIDTH:
            lines.append(inner)
        lines[-1] += text if lines[-1] == inner else " " + text
    return "\n".join(lines)


def _commit() -> dict[str, str]:
    """The commit of this checkout, where it is one."""
    try:
        git = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=RECORDS.parent, capture_output=True, text=True, check=False
        )
    except OSError:  # no git on this machine
        return {}
    return {"commit": git.stdout.strip()} if git.returncode == 0 else {}


def _cpu_s() -> float:
    """Processor time of this process and of those it started and waited for [s]."""
    return sum(os.times()[:4])
