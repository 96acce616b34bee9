"""The tree that configurations make: every value has a key, as in ``register.stages.0.keep``.

Here the tree is read (`entries`, `leaves`) and compared (`differences`); `values` changes it.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, cast

from storm_edge.config.base import Config, Tuning, tuning_of

_MEANINGS: dict[type, dict[str, str]] = {}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A value of the tree, or a part of it."""

    key: str
    """Where it stands."""
    value: Any
    """What it is."""
    tuning: Tuning | None
    """Unit, range and record; None for a part."""
    meaning: str
    """What the string below its field says."""
    is_part: bool
    """Whether it holds other entries."""


def entries(config: Config, prefix: str = "") -> Iterator[Entry]:
    """All parts and values of a tree in the order of their fields, each part before what it holds."""
    explained = meanings(type(config))
    for item in fields(config):
        key, value = prefix + item.name, getattr(config, item.name)
        tuning, meaning = tuning_of(type(config), item.name), explained.get(item.name, "")
        if isinstance(value, Config):
            yield Entry(key=key, value=value, tuning=tuning, meaning=meaning, is_part=True)
            yield from entries(value, f"{key}.")
        elif _is_parts(value):
            yield Entry(key=key, value=value, tuning=tuning, meaning=meaning, is_part=True)
            for index, part in enumerate(value):
                yield from entries(part, f"{key}.{index}.")
        else:
            yield Entry(key=key, value=value, tuning=tuning, meaning=meaning, is_part=False)


def leaves(config: Config) -> dict[str, Entry]:
    """All values of a tree by key."""
    return {entry.key: entry for entry in entries(config) if not entry.is_part}


def differences(config: Config, default: Config) -> dict[str, tuple[Any, Any]]:
    """Values that two trees do not share, by key: of the one and of the other, None where one has no such key."""
    ours, theirs = leaves(config), leaves(default)
    found = {}
    for key in dict.fromkeys([*ours, *theirs]):
        pair = tuple(tree[key].value if key in tree else None for tree in (ours, theirs))
        if (key in ours) != (key in theirs) or pair[0] != pair[1]:
            found[key] = cast("tuple[Any, Any]", pair)
    return found


def plain(value: Any) -> Any:
    """A value as JSON and YAML have it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value


def preset_name(config: Any) -> str | None:
    """The name of the preset that a part is equal to; None where there is none, or it is no part."""
    presets = config.presets() if isinstance(config, Config) else {}
    return next((name for name, preset in presets.items() if preset == config), None)


def nearest_key(config: Config, key: str, beside: Sequence[str] = ()) -> str | None:
    """The key of a tree that is most like one that it does not have; None where none is.

    Args:
        config: The tree.
        key: The one that it does not have.
        beside: Keys of the same part, which are nearer than those elsewhere.
    """
    keys = [entry.key for entry in entries(config)]
    name = key.rpartition(".")[2]
    near = [known for known in keys if known.rpartition(".")[2] == name]
    for known in (beside, keys):
        by_name = {one.rpartition(".")[2]: one for one in reversed(known)}
        near = near or [by_name[one] for one in difflib.get_close_matches(name, by_name, n=1)]
    return near[0] if near else None


def meanings(config: type[Config]) -> dict[str, str]:
    """The strings below the fields of a class of configurations, by field, each as one line."""
    if config not in _MEANINGS:
        _MEANINGS[config] = _read_meanings(config)
    return _MEANINGS[config]


def _read_meanings(config: type[Config]) -> dict[str, str]:
    found: dict[str, str] = {}
    owners: list[type[Any]] = [owner for owner in reversed(config.__mro__) if is_dataclass(owner)]
    for owner in owners:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        for above, below in pairwise(cast(ast.ClassDef, tree).body):
            if not (isinstance(above, ast.AnnAssign) and isinstance(below, ast.Expr)):
                continue
            if isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
                found[ast.unparse(above.target)] = " ".join(below.value.value.split())
    return found


def _is_parts(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(item, Config) for item in value)
