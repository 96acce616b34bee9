"""A tree of configurations in words: for a terminal, for a page, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from storm_edge.config.base import Config
from storm_edge.config.tree import Entry, differences, entries, leaves, plain

WIDTH = 80
"""Columns of a terminal that a tree fits in."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the tree and the values right in it; the parts of a tuple are one section."""

    key: str
    """Of the part; ``N`` in place of the numbers of a tuple's parts."""
    meaning: str
    """What it is for."""
    rows: dict[str, list[Entry]]
    """By name the value, or that of each part of a tuple."""


def sections(config: Config) -> Iterator[Section]:
    """The sections of a tree in order, without those that hold only others."""
    found: dict[str, Section] = {"": Section(key="", meaning="", rows={})}
    for entry in entries(config):
        key = ".".join("N" if part.isdecimal() else part for part in entry.key.split("."))
        if entry.is_part:
            key = f"{key}.N" if isinstance(entry.value, tuple) else key
            found.setdefault(key, Section(key=key, meaning=entry.meaning, rows={}))
        else:
            prefix, _, name = key.rpartition(".")
            found[prefix].rows.setdefault(name, []).append(entry)
    return (section for section in found.values() if section.rows)


def word(value: Any) -> str:
    """A value as it is given to ``--set``."""
    value = plain(value)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(word(item) for item in value) + "]"
    return str(value)


def as_text(config: Config, default: Config) -> str:
    """The tree with its units and ranges; what differs from the default has a star, and the default below it.

    Args:
        config: The tree.
        default: What it is compared with.
    """
    changed = differences(config, default)
    lines: list[str] = []
    for section in sections(config):
        lines += ["", section.key] if lines else [section.key] if section.key else []
        for name, values in section.rows.items():
            if len(values) == 1 and not section.key.endswith(".N"):
                lines += _row(values[0], name, changed)
            else:
                lines += _listed(values, name, changed)
    gone = [key for key in changed if key not in leaves(config)]
    lines += ["", *(f"* {key} is not there, default {word(changed[key][1])}" for key in gone)] if gone else []
    lines += ["", f"{len(changed)} values differ from the defaults (*)" if changed else "all values are the defaults"]
    return "\n".join(lines)


def _row(entry: Entry, name: str, changed: dict[str, tuple[Any, Any]]) -> list[str]:
    unit, allowed = ("", "") if entry.tuning is None else (entry.tuning.unit, entry.tuning.allowed)
    is_changed = entry.key in changed
    unit, allowed = "" if unit == "1" else unit, "" if allowed == "any value" else allowed
    rows = [f"{'*' if is_changed else ' '} {name:<30} {word(entry.value):>12} {unit:<14} {allowed}".rstrip()]
    if len(rows[0]) > WIDTH or len(word(entry.value)) > 12:
        rows = [f"{'*' if is_changed else ' '} {name}"]
        rows += textwrap.wrap(f"{word(entry.value)} {unit} {allowed}".rstrip(), WIDTH - 6)
        rows[1:] = [" " * 6 + row for row in rows[1:]]
    if is_changed:
        rows += [" " * 6 + row for row in textwrap.wrap(f"default {word(changed[entry.key][1])}", WIDTH - 6)]
    return rows


def _listed(values: list[Entry], name: str, changed: dict[str, tuple[Any, Any]]) -> list[str]:
    star = "*" if any(entry.key in changed for entry in values) else " "
    text = ", ".join(word(entry.value) for entry in values)
    rows = textwrap.wrap(text, WIDTH - 33) or [""]
    return [f"{star} {name:<30} {rows[0]}", *(" " * 33 + row for row in rows[1:])]


def as_json(config: Config, default: Config) -> dict[str, dict[str, Any]]:
    """Every value by its key: with the default, unit, range, record and meaning; JSON types."""
    defaults = leaves(default)
    return {
        key: {
            "value": plain(entry.value),
            "default": plain(defaults[key].value) if key in defaults else None,
            "unit": entry.tuning.unit if entry.tuning else "",
            "low": entry.tuning.low if entry.tuning else None,
            "high": entry.tuning.high if entry.tuning else None,
            "record": entry.tuning.record if entry.tuning else None,
            "meaning": entry.meaning,
        }
        for key, entry in leaves(config).items()
    }


def as_markdown(default: Config) -> str:
    """The page that lists every key with its default, unit, range, meaning and record."""
    count = len(leaves(default))
    lines = [
        "# Configuration",
        "",
        f"Every tuned number of STORM-Edge, {count} in all. This page is generated by",
        "`storm-edge config show --markdown` and held by a test.",
        "",
        "Set any of them in a profile's section `config`, or with `--set KEY=VALUE` on `track`, `segment`, `demo`",
        "and `bench`. `storm-edge config show` prints the tree, and marks what differs from the defaults.",
        "",
        "```yaml",
        "config:",
        "  loop: {verify_every: 5}",
        "  state_machine.found_above: 0.7",
        "```",
        "",
        "A key with `N` stands for a list: give the whole list, or the value of one element by its number, from 0.",
        "The last column names the file in `benchmarks/records` that backs the default; without one it was set by",
        "hand. Unit `1` is a share or a probability.",
    ]
    for section in sections(default):
        lines += ["", f"## `{section.key}`" if section.key else "## At the top", ""]
        lines += [section.meaning, ""] if section.meaning else []
        lines += ["| key | default | unit | range | meaning | record |", "| --- | --- | --- | --- | --- | --- |"]
        for name, values in section.rows.items():
            tuning = values[0].tuning
            cells = (
                f"`{name}`",
                ", ".join(word(entry.value) for entry in values),
                tuning.unit if tuning else "",
                tuning.allowed if tuning and tuning.unit else "",
                values[0].meaning.replace("|", "\\|"),
                (tuning.record or "") if tuning else "",
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
