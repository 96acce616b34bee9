"""Configuration as values: frozen dataclasses whose numbers know their unit, their range and what backs them.

A stage's numbers are fields of a `Config` in its ``config.py``, each made by `tuned` and explained by the string on
the line below it. Values are checked when a config is made, so that no stage has to check them again.

    @dataclass(frozen=True, kw_only=True)
    class LocalSearchConfig(Config):
        reach_diameters: float = tuned(1.5, unit="diameters", low=0.1, high=10.0, record="recovery")
        # and, on the line below, a string that says what it means
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from storm_edge.errors import ConfigError, mismatch

_KEY = "tuning"
_HINTS: dict[type, dict[str, Any]] = {}


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What is known of a tuned value beside the value itself."""

    unit: str
    """Its unit, as in ``"m"``, ``"px"``, ``"frames"``; ``"1"`` for shares and probabilities, ``""`` for choices."""
    low: float | None = None
    """Least allowed value."""
    high: float | None = None
    """Largest allowed value."""
    record: str | None = None
    """Name of the file in ``benchmarks/records`` that backs it; None where it was set by hand."""

    @property
    def allowed(self) -> str:
        """The range in words."""
        if self.low is None and self.high is None:
            return "any value"
        if self.high is None:
            return f"at least {self.low:g}"
        if self.low is None:
            return f"at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


def tuned(
    default: Any = MISSING,
    *,
    unit: str,
    low: float | None = None,
    high: float | None = None,
    record: str | None = None,
    default_factory: Any = MISSING,
) -> Any:
    """A dataclass field with a tuned value; arguments as `Tuning`, and the default as of `dataclasses.field`."""
    metadata = {_KEY: Tuning(unit=unit, low=low, high=high, record=record)}
    if default_factory is not MISSING:
        return field(default_factory=default_factory, metadata=metadata)
    if default is not MISSING:
        return field(default=default, metadata=metadata)
    return field(metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all configurations: the types and ranges of its fields are checked when it is made.

    Raises:
        ConfigError: A value is of another type than its field, or out of range.
    """

    @classmethod
    def presets(cls) -> Mapping[str, Config]:
        """Named values of this class, each taken as a whole by the key ``preset``; there are none by default."""
        return {}

    def __post_init__(self) -> None:
        hints = type_hints(type(self))
        for item in fields(self):
            check_value(
                f"{type(self).__name__}.{item.name}",
                getattr(self, item.name),
                hints[item.name],
                item.metadata.get(_KEY),
            )


def tuning_of(config: type[Config], name: str) -> Tuning | None:
    """The `Tuning` of a field; None where it is a part of the tree, or no tuned value."""
    return next((item.metadata.get(_KEY) for item in fields(config) if item.name == name), None)


def type_hints(config: type[Config]) -> dict[str, Any]:
    """Types of a config's fields by name."""
    if config not in _HINTS:
        _HINTS[config] = get_type_hints(config)
    return _HINTS[config]


def check_value(name: str, value: object, hint: Any, tuning: Tuning | None) -> None:
    """Refuse a value of another type than ``hint``, or out of the range of ``tuning``.

    Raises:
        ConfigError: It is; the message begins with ``name``.
    """
    if not _is_of(value, hint):
        raise ConfigError(mismatch(name, repr(value), _type_words(hint), "correct that value"))
    for number in value if isinstance(value, tuple) else (value,):
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            continue
        low, high = (None, None) if tuning is None else (tuning.low, tuning.high)
        if (
            number != number  # not a number; math.isnan() takes no large integers
            or (low is not None and number < low)
            or (high is not None and number > high)
            or (abs(number) == math.inf and high is not None)
        ):
            expected = "a number" if tuning is None else f"{tuning.allowed} [{tuning.unit}]"
            raise ConfigError(mismatch(name, number, expected, "correct that value"))


def _is_of(value: object, hint: Any) -> bool:
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_is_of(value, part) for part in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if origin is tuple:
        parts = get_args(hint)
        if not isinstance(value, tuple):
            return False
        if len(parts) == 2 and parts[1] is Ellipsis:
            return all(_is_of(item, parts[0]) for item in value)
        return len(value) == len(parts) and all(_is_of(item, part) for item, part in zip(value, parts, strict=True))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _type_words(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return " or ".join(_type_words(part) for part in get_args(hint))
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(hint))
    if origin is tuple:
        parts = get_args(hint)
        if parts[1:] == (Ellipsis,):
            return f"a list, each {_type_words(parts[0])}"
        return f"a list of {len(parts)}: {', '.join(_type_words(part) for part in parts)}"
    if hint is NoneType:
        return "nothing"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(repr(choice.value) for choice in hint)
    return {float: "a number", int: "a whole number", bool: "true or false", str: "a word"}.get(
        hint, getattr(hint, "__name__", str(hint))
    )
