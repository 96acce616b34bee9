"""Values from a file or an option, put into a tree of configurations by their keys.

Values come as YAML has them; what they must be is known from the fields. A key that is not known, a value of another
type and one out of range are refused in one line, with the file or option that they come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

from storm_edge.config.base import Config, check_value, tuning_of, type_hints
from storm_edge.config.tree import nearest_key
from storm_edge.errors import ConfigError, mismatch
from storm_edge.parsing import parse_yaml

AnyConfig = TypeVar("AnyConfig", bound=Config)

PRESET = "preset"
"""The key that takes the place of all values of a part, where it has presets."""
_NONE_WORDS = ("", "none", "null", "~")


def with_values(config: AnyConfig, values: Mapping[str, Any], *, source: object) -> AnyConfig:
    """The same tree with other values.

    Args:
        config: The tree.
        values: By key, nested or with dots; lists for tuples, ``preset`` for a whole part.
        source: The file or the option that they come from, for messages.

    Raises:
        ConfigError: A key that is not known, a value of another type, or one out of range.
    """
    return _Reader(source, config).changed(config, _nested(values, source), "")


def with_settings(config: AnyConfig, settings: Sequence[str], *, source: object = "--set") -> AnyConfig:
    """The same tree with values that are given as ``KEY=VALUE``; of two with one key the later one holds.

    Raises:
        ConfigError: As `with_values`, or a setting of another form.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not (key and equals):
            raise ConfigError(mismatch(source, repr(setting), "KEY=VALUE", "write it as in session.verify_every=5"))
        try:
            values[key] = parse_yaml(text)
        except ValueError:
            values[key] = text
    return with_values(config, values, source=source)


def with_value(config: AnyConfig, key: str, value: Any, *, source: object = "config") -> AnyConfig:
    """The same tree with another value; see `with_values`."""
    return with_values(config, {key: value}, source=source)


class _Reader:
    """Turns values of YAML into those of fields.

    Args:
        source: Where they come from.
        root: The whole tree, for the nearest key.
    """

    def __init__(self, source: object, root: Config) -> None:
        self._source, self._root = source, root

    def changed(self, part: AnyConfig, values: Mapping[str, Any], prefix: str) -> AnyConfig:
        """The part with other values."""
        remaining = dict(values)
        if PRESET in remaining and part.presets():
            part = cast(AnyConfig, self._preset(type(part), remaining.pop(PRESET), prefix + PRESET))
        changes = {}
        for name, value in remaining.items():
            if name not in {item.name for item in fields(part)}:
                raise self._unknown(prefix + name, type(part))
            changes[name] = self._value(part, name, value, prefix + name)
        try:
            return replace(part, **changes)
        except ConfigError as error:  # values that do not go together
            raise ConfigError(f"{self._at(prefix.rstrip('.'))}: {error}") from error

    def _value(self, part: Config, name: str, value: Any, key: str) -> Any:
        current, hint = getattr(part, name), type_hints(type(part))[name]
        kind = _config_class(hint)
        if kind is None:
            value = coerced(value, hint)
            check_value(self._at(key), value, hint, tuning_of(type(part), name))
            return value
        if _is_many(hint):
            return self._parts(kind, current, value, key)
        if value is None and NoneType in get_args(hint):
            return None
        return self._part(kind, current, value, key)

    def _part(self, kind: type[Config], current: Config | None, value: Any, key: str) -> Config:
        if isinstance(value, str) and kind.presets():
            return self._preset(kind, value, key)
        if not isinstance(value, Mapping):
            expected = f"keys of it: {', '.join(item.name for item in fields(kind))}"
            raise ConfigError(mismatch(self._at(key), repr(value), expected, f"say which, as in {key}.NAME"))
        if current is not None:
            return self.changed(current, value, f"{key}.")
        lacking = [name for name in _required(kind) if name not in value]
        if lacking:
            expected = f"all of {', '.join(_required(kind))}"
            raise ConfigError(mismatch(self._at(key), f"no {lacking[0]}", expected, f"add {key}.{lacking[0]}"))
        for name in value:
            if name not in {item.name for item in fields(kind)}:
                raise self._unknown(f"{key}.{name}", kind)
        hints = type_hints(kind)
        made = {name: coerced(value[name], hints[name]) for name in _required(kind)}
        for name, item in made.items():
            check_value(self._at(f"{key}.{name}"), item, hints[name], tuning_of(kind, name))
        return self.changed(kind(**made), value, f"{key}.")

    def _preset(self, kind: type[Config], name: Any, key: str) -> Config:
        presets = kind.presets()
        if name not in presets:
            expected = f"one of {', '.join(presets)}"
            raise ConfigError(mismatch(self._at(key), repr(name), expected, "correct that value"))
        return presets[name]

    def _parts(self, kind: type[Config], current: Sequence[Config], value: Any, key: str) -> tuple[Config, ...]:
        if isinstance(value, (list, tuple)):
            if not value:
                raise ConfigError(mismatch(self._at(key), "[]", "a list of one or more", "leave it out, or fill it"))
            return tuple(self._part(kind, None, item, f"{key}.{i}") for i, item in enumerate(value))
        if not isinstance(value, Mapping):
            raise ConfigError(mismatch(self._at(key), repr(value), "a list", f"give all of {key} in one list"))
        parts = list(current)
        for name, item in value.items():
            if not name.isdecimal() or int(name) >= len(parts):
                expected = f"{key}.0 to {key}.{len(parts) - 1}"
                remedy = f"name one of these, or give all of {key} in one list"
                raise ConfigError(mismatch(self._source, f"unknown key '{key}.{name}'", expected, remedy))
            parts[int(name)] = self._part(kind, parts[int(name)], item, f"{key}.{name}")
        return tuple(parts)

    def _at(self, key: str) -> str:
        return f"{self._source}: {key}" if key else str(self._source)

    def _unknown(self, key: str, kind: type[Config]) -> ConfigError:
        prefix = key.rpartition(".")[0]
        beside = [item.name for item in fields(kind)] + ([PRESET] if kind.presets() else [])
        best = nearest_key(self._root, key, [f"{prefix}.{known}" if prefix else known for known in beside])
        remedy = f"did you mean '{best}'?" if best else f"known keys are {', '.join(beside)}"
        return ConfigError(mismatch(self._source, f"unknown key '{key}'", "a key of the configuration", remedy))


def coerced(value: Any, hint: Any) -> Any:
    """A value of YAML as its field has it: tuples for lists, enumerations for words, numbers for texts of numbers.

    What cannot be one stays as it is; `check_value` refuses it.
    """
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        is_none = value is None or (isinstance(value, str) and value.lower() in _NONE_WORDS)
        if is_none and NoneType in get_args(hint):
            return None
        return coerced(value, next(part for part in get_args(hint) if part is not NoneType))
    if origin is tuple and isinstance(value, (list, tuple)):
        parts = get_args(hint)
        each = [parts[0]] * len(value) if parts[1:] == (Ellipsis,) else list(parts)
        return tuple(coerced(v, p) for v, p in zip(value, each, strict=False)) if len(each) == len(value) else value
    if isinstance(hint, type) and issubclass(hint, Enum) and not isinstance(value, hint):
        return next((member for member in hint if member.value == value), value)
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 1e-3 for a word
        except (ValueError, OverflowError):
            return value
    return value


def _nested(values: Mapping[Any, Any], source: object, prefix: str = "") -> dict[str, Any]:
    """Keys with dots as mappings in mappings."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        first, _, rest = str(key).partition(".")
        if rest:
            value = {rest: value}
        if isinstance(value, Mapping):
            value = _nested(value, source, f"{prefix}{first}.")
        found[first] = _merged(found[first], value, source, prefix + first) if first in found else value
    return found


def _merged(first: Any, second: Any, source: object, key: str) -> dict[str, Any]:
    """What two spellings of one key hold together."""
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        raise ConfigError(mismatch(source, f"{key} twice", "each key once", "leave one of them out"))
    merged = dict(first)
    for name, value in second.items():
        merged[name] = _merged(merged[name], value, source, f"{key}.{name}") if name in merged else value
    return merged


def _config_class(hint: Any) -> type[Config] | None:
    """The class of the parts that a field holds; None for one that holds a value."""
    if isinstance(hint, type) and issubclass(hint, Config):
        return hint
    return next((kind for part in get_args(hint) if (kind := _config_class(part)) is not None), None)


def _is_many(hint: Any) -> bool:
    origin = get_origin(hint)
    return origin is tuple or (origin is not None and isinstance(origin, type) and issubclass(origin, Sequence))


def _required(kind: type[Config]) -> list[str]:
    return [item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING]
