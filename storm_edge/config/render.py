"""A tree of configurations in words: for a terminal, for a page, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from storm_edge.config.base import Config
from storm_edge.config.tree import Entry, differences, entries, leaves, plain, preset_name

WIDTH = 80
"""Columns of a terminal that a tree fits in."""
_NOT_SHOWN = object()
_TABLE = ("| key | default | unit | range | meaning | record |", "| --- | --- | --- | --- | --- | --- |")


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
    """The sections of a tree in order, without those that hold only others.

    A tuple of presets is a value, and its words are their names.
    """
    found: dict[str, Section] = {"": Section(key="", meaning="", rows={})}
    named = "."
    for entry in entries(config):
        if entry.key.startswith(named):
            continue
        key = ".".join("N" if part.isdecimal() else part for part in entry.key.split("."))
        prefix, _, name = key.rpartition(".")
        if not entry.is_part:
            found[prefix].rows.setdefault(name, []).append(entry)
        elif (names := _preset_names(entry.value)) is not None:
            named = f"{entry.key}."
            found[prefix].rows.setdefault(name, []).append(replace(entry, value=names, is_part=False))
        else:
            key = f"{key}.N" if isinstance(entry.value, tuple) else key
            found.setdefault(key, Section(key=key, meaning=entry.meaning, rows={}))
    return (section for section in found.values() if section.rows)


def _preset_names(parts: Any) -> tuple[str, ...] | None:
    """The names of parts that all are presets; None where they are not."""
    names = tuple(preset_name(part) for part in parts) if isinstance(parts, tuple) else (None,)
    return None if None in names else cast("tuple[str, ...]", names)


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
    defaults = {entry.key: entry.value for entry in _shown(default)}
    lists = {s.key: {name: [entry.value for entry in row] for name, row in s.rows.items()} for s in sections(default)}
    lines: list[str] = []
    for section in sections(config):
        lines += ["", section.key] if lines else [section.key] if section.key else []
        for name, values in section.rows.items():
            if section.key.endswith(".N"):
                found = [entry.value for entry in values]
                lines += _listed(found, name, is_changed=found != lists.get(section.key, {}).get(name))
            else:
                lines += _row(values[0], name, defaults)
    count = len(differences(config, default))
    differ = "1 value differs" if count == 1 else f"{count} values differ"
    lines += ["", f"{differ} from the defaults (*)" if count else "all values are the defaults"]
    return "\n".join(lines)


def changes(config: Config, default: Config) -> list[str]:
    """What differs from the default, a line each."""
    values = {entry.key: entry.value for entry in _shown(config)}
    defaults = {entry.key: entry.value for entry in _shown(default)}
    lines = []
    for key, value in values.items():
        if key not in defaults:
            lines.append(f"{key}: {word(value)}")
        elif value != defaults[key]:
            lines.append(f"{key}: {word(value)} (default {word(defaults[key])})")
    gone = [key for key in defaults if key not in values and not any(ours.startswith(f"{key}.") for ours in values)]
    parts = dict.fromkeys(key.rpartition(".")[0] for key in gone)
    return [*lines, *(f"{part}: left out" for part in parts)]


def _shown(config: Config) -> Iterator[Entry]:
    return (entry for section in sections(config) for values in section.rows.values() for entry in values)


def _row(entry: Entry, name: str, defaults: dict[str, Any]) -> list[str]:
    unit, allowed = ("", "") if entry.tuning is None else (entry.tuning.unit, entry.tuning.allowed)
    unit, allowed = "" if unit == "1" else unit, "" if allowed == "any value" else allowed
    default = defaults.get(entry.key, _NOT_SHOWN)
    star, value = " " if entry.value == default else "*", word(entry.value)
    rows = [f"{star} {name:<32} {value:>10} {unit:<14} {allowed}".rstrip()]
    if len(rows[0]) > WIDTH or len(value) > 10:
        rows = [f"{star} {name}", *_wrapped(f"{value} {unit} {allowed}".rstrip())]
    if star == "*" and default is not _NOT_SHOWN:
        rows += _wrapped(f"default {word(default)}")
    return rows


def _listed(values: list[Any], name: str, *, is_changed: bool) -> list[str]:
    rows = textwrap.wrap(", ".join(word(value) for value in values), WIDTH - 35) or [""]
    return [f"{'*' if is_changed else ' '} {name:<32} {rows[0]}", *(" " * 35 + row for row in rows[1:])]


def _wrapped(text: str) -> list[str]:
    return [" " * 6 + row for row in textwrap.wrap(text, WIDTH - 6)]


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
    lines = [
        "# Configuration",
        "",
        "Every tuned number of STORM-Edge. This page is generated by `storm-edge config show --markdown` and",
        "held by a test.",
        "",
        "Set any of them in a profile's section `config`, or with `--set KEY=VALUE` on `track`, `segment`, `demo`",
        "and `bench`. `storm-edge config show` prints the tree, and marks what differs from the defaults.",
        "",
        "```yaml",
        "config:",
        "  session: {verify_every: 5}",
        "  state_machine.found_above: 0.7",
        "```",
        "",
        "A key with `N` stands for a list: give the whole list, or the value of one element by its number, from 0.",
        "The last column names the file in `benchmarks/records` that backs the default; without one it was set by",
        "hand. Unit `1` is a share or a probability. Where a part has presets, its key `preset` takes one of them,",
        "which the keys beside it then change; a list may hold their names.",
    ]
    for section in sections(default):
        lines += ["", f"## `{section.key}`" if section.key else "## At the top", ""]
        lines += [section.meaning, ""] if section.meaning else []
        lines += _TABLE
        lines += [_table_row(name, values) for name, values in section.rows.items()]
    return "\n".join([*lines, *_preset_tables(default)]) + "\n"


def _table_row(name: str, values: list[Entry]) -> str:
    tuning = values[0].tuning
    cells = (
        f"`{name}`",
        ", ".join(word(entry.value) for entry in values),
        tuning.unit if tuning else "",
        tuning.allowed if tuning and tuning.unit else "",
        values[0].meaning.replace("|", "\\|"),
        (tuning.record or "") if tuning else "",
    )
    return "| " + " | ".join(cells) + " |"


def _preset_tables(default: Config) -> Iterator[str]:
    """Tables per class with presets: its keys, where they are listed nowhere else, and what each preset has."""
    shown = {entry.key for entry in _shown(default)}
    kinds: dict[type[Config], list[str]] = {}
    for entry in entries(default):
        for part in entry.value if isinstance(entry.value, tuple) else (entry.value,):
            if isinstance(part, Config) and part.presets() and entry.key not in kinds.setdefault(type(part), []):
                kinds[type(part)].append(entry.key)
    for kind, keys in kinds.items():
        yield from ("", f"## Presets of `{kind.__name__}`", "", f"For {', '.join(f'`{key}`' for key in keys)}.")
        presets = kind.presets()
        first, *_ = presets
        if shown >= set(keys):
            yield from (
                "",
                "| key | default | unit | range | meaning | record |",
                "| --- | --- | --- | --- | --- | --- |",
            )
            yield from (
                _table_row(name, [replace(entry, value="")]) for name, entry in leaves(presets[first]).items()
            )
        yield from ("", "| preset | values |", "| --- | --- |")
        base = _row_words(presets[first])
        for name, preset in presets.items():
            rows = _row_words(preset).items()
            words = {key: text for key, text in rows if shown >= set(keys) or text != base.get(key)}
            listed = "; ".join(f"`{key}` {text}" for key, text in words.items())
            yield f"| `{name}` | {listed or 'the defaults'} |"


def _row_words(config: Config) -> dict[str, str]:
    """The values of a part by key, those of a list together."""
    return {
        f"{section.key}.{name}" if section.key else name: ", ".join(word(entry.value) for entry in row)
        for section in sections(config)
        for name, row in section.rows.items()
    }
