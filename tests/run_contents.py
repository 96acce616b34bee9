"""Results without what differs from run to run: times, versions, sums of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_TIMES = ("time", "latency", "_ms", "versions", "duration")


def without_times(value: Any) -> Any:
    """The same JSON value without entries whose names speak of times."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not any(word in k for word in _TIMES)}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return value


def contents(folder: Path) -> dict[str, Any]:
    """Every file of a result by its name: JSON and CSV without times, all else byte by byte."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.name == "SHA256SUMS":
            continue
        if path.suffix == ".json":
            found[name] = without_times(json.loads(path.read_text()))
        elif path.suffix == ".jsonl":
            found[name] = [without_times(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix == ".csv":
            found[name] = [line.rpartition(",")[0] for line in path.read_text().splitlines()]
        else:
            found[name] = path.read_bytes()
    return found
