"""Times of work that is called again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storm_edge.percentiles import first_and_last, percentiles

RANKS = (50, 95, 99)
"""Percentiles of times that benchmarks state."""
BOTH_TAILS = (1, 5, 50, 95, 99)
"""Percentiles of values whose lower tail matters, too."""


def spread(samples_ms: Sequence[float]) -> dict[str, float]:
    """`RANKS`, largest, count, and the medians of the first and last tenth [ms]."""
    return percentiles(samples_ms, RANKS) | first_and_last(samples_ms)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times of one piece of work."""

    wall_ms: dict[str, float]
    """`spread` of the wall time: what a user waits, other processes included."""
    cpu_ms: dict[str, float]
    """`spread` of this process's CPU time: near the wall time when the machine is idle and one core works."""


def measure(work: Callable[[], object], *, warm_up: int = 3, seconds: float = 1.0, at_least: int = 10) -> Timing:
    """Time calls of ``work``, which must block until done, for about ``seconds`` and ``at_least`` so many times."""
    for _ in range(warm_up):
        work()
    wall: list[float] = []
    cpu: list[float] = []
    end = time.perf_counter() + seconds
    while len(wall) < at_least or time.perf_counter() < end:
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        cpu.append(1e3 * (time.process_time() - start_cpu))
        wall.append(1e3 * (time.perf_counter() - start))
    return Timing(wall_ms=spread(wall), cpu_ms=spread(cpu))
