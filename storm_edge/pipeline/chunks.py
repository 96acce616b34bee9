"""Work in chunks, done at once: for callers that may wait."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_to_completion(work: Generator[Any, None, Result]) -> Result:
    """Do all chunks of ``work``, one after the other, and return what they came to."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: Result = done.value
            return result
