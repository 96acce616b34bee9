"""A command's options as one value: a dataclass whose fields typer reads like parameters."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

Options = TypeVar("Options")
Answer = TypeVar("Answer")


def takes(options: type[Options]) -> Callable[[Callable[[Options], Answer]], Callable[..., Answer]]:
    """Make a function of one options value a command with an option or argument per field.

    Args:
        options: A keyword-only dataclass whose fields are annotated with `typer.Option` or `typer.Argument`.

    Returns:
        A decorator for the function that takes such a value.
    """
    hints = get_type_hints(options, include_extras=True)
    parameters = []
    for field in fields(options):  # type: ignore[arg-type]
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        parameters.append(
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
            )
        )

    def decorate(command: Callable[[Options], Answer]) -> Callable[..., Answer]:
        @functools.wraps(command)
        def called(**given: Any) -> Answer:
            return command(options(**given))

        del called.__wrapped__  # typer would read the parameters of what is wrapped
        called.__annotations__ = {name: hints[name] for name in (p.name for p in parameters)}
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorate
