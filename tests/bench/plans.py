"""Short runs."""

from __future__ import annotations

from storm_edge.bench.plan import BenchPlan
from storm_edge.choices import BenchMode


def plan(mode: BenchMode, count: int = 4, warm_up: int = 1, rate_hz: float | None = None) -> BenchPlan:
    return BenchPlan(mode=mode, frame_count=count, warm_up_count=warm_up, rate_hz=rate_hz)
