from __future__ import annotations

import pytest

from storm_edge.bench.plan import BenchPlan
from storm_edge.choices import BenchMode
from storm_edge.errors import ConfigError


def test_plans_that_time_nothing() -> None:
    for wrong in ({"frame_count": 1}, {"warm_up_count": -1}):
        with pytest.raises(ConfigError):
            BenchPlan(**{"mode": BenchMode.TRACK, "frame_count": 2, "warm_up_count": 0, **wrong})  # type: ignore[arg-type]
