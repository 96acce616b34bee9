"""YAML files that people write: read once, checked by a `StrictModel`, and what is wrong said in one line."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from storm_edge.errors import ConfigError, mismatch
from storm_edge.parsing import parse_yaml
from storm_edge.strict_model import StrictModel

Model = TypeVar("Model", bound=StrictModel)


def read_yaml(path: Path, model: type[Model], *, what: str) -> Model:
    """Read a file and check it.

    Args:
        path: The file.
        model: What it must hold.
        what: What such a file is called, with its article, for messages: ``a profile``.

    Raises:
        ConfigError: No such file, not YAML, a key that is not known, or a value that is not allowed.
    """
    return check_content(path, load_yaml(path, what=what), model, what=what)


def load_yaml(path: Path, *, what: str) -> dict[str, Any]:
    """The keys and values of a file, unchecked; arguments as for `read_yaml`.

    Raises:
        ConfigError: No such file, not YAML, or no keys at its top.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(mismatch(path, error.strerror, f"{what} that can be read", "check the path")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(mismatch(path, "bytes that are no text", "YAML", "correct the file")) from error
    except ValueError as error:
        raise ConfigError(mismatch(path, error, "YAML", "correct the file")) from error
    if not isinstance(content, dict):
        got = "the file is empty" if content is None else f"the file is a {type(content).__name__}"
        raise ConfigError(mismatch(path, got, f"keys and values of {what}", "write one 'key: value' a line"))
    return content


def check_content(path: Path, content: dict[str, Any], model: type[Model], *, what: str, prefix: str = "") -> Model:
    """Check what `load_yaml` gave, or a part of it; arguments as for `read_yaml`, and ``prefix`` is where the part
    stands, as in ``camera.``.

    Raises:
        ConfigError: A key that is not known, one that is missing, or a value that is not allowed.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_message(path, error, model, what, prefix)) from error


def unknown_key(path: Path, key: str, known: set[str], *, what: str) -> str:
    """The message for a key that is not known, with the nearest known one.

    Args:
        path: The file.
        key: Where it stands, as in ``camera.rate``.
        known: All keys that are known.
        what: As for `read_yaml`.
    """
    near = difflib.get_close_matches(key.rpartition(".")[2], sorted(known), n=1)
    remedy = f"did you mean '{near[0]}'?" if near else f"known keys are {sorted(known)}"
    return mismatch(path, f"unknown key '{key}'", f"a key of {what}", remedy)


def _message(path: Path, error: ValidationError, model: type[BaseModel], what: str, prefix: str) -> str:
    # A misspelt key is also a missing one; the former says more.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = prefix + ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        return unknown_key(path, where, _keys(model), what=what)
    if first["type"] == "missing":
        return mismatch(path, f"no {where}", "every key that has no default", f"add {where}")
    got = first["input"]
    if isinstance(got, str | int | float | None):
        return mismatch(path, f"{where}: {got!r}", first["msg"], "correct that value")
    return mismatch(path, f"{where}: {first['msg']}", what, "correct that entry")


def _keys(model: type[BaseModel]) -> set[str]:
    """Keys of a model and of all models in it."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(name)
        for inner in _models(field.annotation):
            found |= _keys(inner)
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    # In Python 3.10 `dict[str, int]` is an instance of `type`, too.
    if get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
