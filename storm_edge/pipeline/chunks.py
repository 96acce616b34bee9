"""Work in chunks, run to its end at once: for callers that may wait."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_to_completion(work: Generator[Any, None, Result]) -> Result:
    """Run all chunks of ``work``, one after the other, and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: Result = done.value
            return result
