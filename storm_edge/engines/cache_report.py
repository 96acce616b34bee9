"""A report on the engines of a bundle, as a page and as JSON: their sizes, and what building them took."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from storm_edge.engines.engine_file import SUFFIX
from storm_edge.errors import OutputError, mismatch
from storm_edge.files import write_atomically
from storm_edge.html_page import page, table
from storm_edge.parsing import parse_json

REPORT = "engines.json"
PAGE = "engines.html"  # `report.html` may be that of the export, for a bundle may lie where its engines do
_MIB = 2**20
_TITLE = "Engines of "
_LARGEST = 2**63  # of a figure


def check_engine_report(folder: Path) -> None:
    """Refuse a folder in which the report's names are taken by files that are not ours.

    Raises:
        OutputError: Names the first of them.
    """
    for name, is_ours in ((REPORT, _is_report), (PAGE, _is_page)):
        path = folder / name
        if os.path.lexists(path) and not is_ours(path):
            got = "a file that storm-edge build did not write"
            raise OutputError(mismatch(path, got, "the report of engines, or none", "choose another --out"))


def _is_report(path: Path) -> bool:
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.keys() == {"bundle", "engines"}


def _is_page(path: Path) -> bool:
    try:
        return _TITLE in path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return False


def write_engine_report(folder: Path) -> Path:
    """Write ``engines.json`` and ``engines.html`` about all engines of a bundle.

    Args:
        folder: ``ENGINES/<bundle>`` of `engines.cache`.

    Returns:
        The page.

    Raises:
        OutputError: They cannot be written, or files that are not ours have their names; what was there stays.
    """
    check_engine_report(folder)
    engines = [row for path in sorted(folder.glob("*/*/*.json")) if (row := _row(path)) is not None]
    content = json.dumps({"bundle": folder.name, "engines": engines}, indent=2) + "\n"
    write_atomically(folder / REPORT, content.encode())
    header = (
        "graph", "precision", "for", "built by", "engine [MiB]", "built in [s]", "peak memory [MiB]",
        "expected peak [MiB]", "cosine to FP32", "built at",
    )  # fmt: skip
    rows = [
        (
            e["graph"],
            e["precision"],
            f"{e['sm']} ({e['gpu']})",
            f"{e['flavour']} {e['version']}",
            f"{e['engine_bytes'] / _MIB:.1f}",
            f"{e['build_seconds']:.1f}",
            f"{e['build_peak_bytes'] / _MIB:.0f}" if e["build_peak_bytes"] else "not told",
            f"{e['build_estimate_bytes'] / _MIB:.0f}",
            "-" if e["cosine_to_fp32"] is None else f"{e['cosine_to_fp32']:.5f}",
            e["file"],
        )
        for e in engines
    ]
    heaviest = max((e["build_peak_bytes"] for e in engines), default=0)
    total = sum(e["engine_bytes"] for e in engines)
    said = (
        f"<p>{len(engines)} engines, {total / _MIB:.1f} MiB; the heaviest build took {heaviest / _MIB:.0f} MiB of "
        "memory, the builder included. Engines of older networks or recipes stay until they are deleted.</p>"
    )
    write_atomically(folder / PAGE, page(f"{_TITLE}{folder.name}", [said, table(header, rows)]).encode())
    return folder / PAGE


def _row(path: Path) -> dict[str, Any] | None:
    """An engine, None where its manifest is damaged: it is no engine then."""
    names = ("engine_bytes", "build_seconds", "build_peak_bytes", "build_estimate_bytes", "cosine_to_fp32")
    try:
        manifest = parse_json(path.read_text(encoding="utf-8"))
        key = {name: manifest["key"][name] for name in ("graph", "precision", "sm", "gpu", "flavour", "version")}
        figures = {name: manifest[name] for name in names}
        counted = [value for name, value in figures.items() if name != "cosine_to_fp32" or value is not None]
        if not all(type(value) in (int, float) and abs(value) < _LARGEST for value in counted):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    file = path.with_suffix(SUFFIX).relative_to(path.parents[2])
    return {**key, **figures, "file": str(file)}
