from __future__ import annotations

import pytest

from storm_edge.bench.player import END_TO_END, OTHER, UPLOAD, WAIT
from storm_edge.bench.recording import Recording
from storm_edge.bench.runner import run_bench
from storm_edge.choices import BenchMode
from storm_edge.objects.bundle import ObjectBundle
from tests.bench.plans import plan


def test_tracking_is_timed_by_stage_and_as_a_whole(recording: Recording, box: ObjectBundle) -> None:
    run = run_bench(recording, box, None, plan(BenchMode.TRACK, count=6, warm_up=2))
    (phase,) = run.phases
    assert set(phase.samples_ms) == {UPLOAD, "track", OTHER, END_TO_END}
    assert {len(samples) for samples in phase.samples_ms.values()} == {6}
    for number in range(6):
        parts = [phase.samples_ms[stage][number] for stage in (UPLOAD, "track", OTHER)]
        assert min(parts) > 0.0
        assert sum(parts) == pytest.approx(phase.samples_ms[END_TO_END][number])
    assert len(phase.warm_up_ms) == 2
    assert phase.late_count is None
    assert (run.start, run.checked.followed_share, run.checked.right_share) == ("label", 1.0, 1.0)
    assert run.memory.host_end_mib is not None
    assert run.memory.host_end_mib > 10.0
    assert run.memory.device_used_mib is None


def test_a_slow_frame_is_late_from_its_stamp_and_others_are_skipped(recording: Recording, box: ObjectBundle) -> None:
    """At 20 kHz no frame is in time on a CPU: that is seen in the wait, the lateness and the skips."""
    (phase,) = run_bench(recording, box, None, plan(BenchMode.TRACK, count=5, rate_hz=20_000.0)).phases
    assert phase.late_count == 5
    assert phase.skipped_count >= 4
    assert len(phase.samples_ms[WAIT]) == 5
    whole = phase.samples_ms[END_TO_END]
    assert all(w < e for w, e in zip(phase.samples_ms[WAIT], whole, strict=True))
    assert min(phase.samples_ms[OTHER]) > 0.0  # the whole way has every stage in it, the wait too
