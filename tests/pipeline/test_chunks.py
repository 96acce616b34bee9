"""Work in chunks, run to its end."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from storm_edge.pipeline.chunks import run_to_completion


def test_every_chunk_is_done_and_the_result_returned() -> None:
    done = []

    def work() -> Generator[str, None, int]:
        for chunk in range(3):
            done.append(chunk)
            yield "chunk"
        return 42

    assert run_to_completion(work()) == 42
    assert done == [0, 1, 2]


def test_an_error_of_a_chunk_is_the_callers() -> None:
    def work() -> Generator[str, None, int]:
        yield "chunk"
        raise ValueError("in the second chunk")

    with pytest.raises(ValueError, match="in the second chunk"):
        run_to_completion(work())
