"""JSON files of a BOP scene: objects keyed by number, an entry per line. Also its unit of length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from storm_edge.errors import OutputError, SceneError, mismatch
from storm_edge.parsing import parse_json

_MOST_DIGITS = 18  # of the number of an image or a model

MM_PER_M = 1000.0
"""BOP stores millimetres; inside are metres."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from disk."""
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SceneError(
            mismatch(path, error.strerror or error, "a readable file", "check that the folder is complete")
        ) from error
    except ValueError as error:
        raise SceneError(mismatch(path, f"no JSON ({error})", "a JSON object", "copy the file again")) from error
    if not isinstance(content, dict):
        raise SceneError(
            mismatch(path, type(content).__name__, "a JSON object keyed by number", "copy the file again")
        )
    return content


def read_numbered(path: Path) -> dict[int, Any]:
    """A JSON object from disk whose keys are numbers."""
    content = read_json(path)
    for key in content:
        if not key.isdecimal() or len(key) > _MOST_DIGITS:
            expected, remedy = "entries keyed by number", "repair or remove this entry"
            raise SceneError(mismatch(path, f"an entry '{key[:_MOST_DIGITS]}'", expected, remedy))
    return {int(key): entry for key, entry in content.items()}


def write_json(path: Path, entries: dict[str, Any]) -> None:
    """One entry per line, as BOP files have it: greppable, and small in a diff."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items())
    try:
        path.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(mismatch(path, error, "a writable file", "choose another output folder")) from error
