"""What the service says of itself when it is asked: the newest snapshot as JSON types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from storm_edge import __version__
from storm_edge.service.loss_recorder import RecorderCounts
from storm_edge.service.state import ServiceState

Recorded = Callable[[], RecorderCounts]


def status_of(state: ServiceState, recorded: Recorded | None = None) -> dict[str, Any]:
    """The answer to the command ``status``.

    Args:
        state: Of the service.
        recorded: Gives what became of losses; None where they are not recorded.
    """
    now = state.snapshot
    return {
        "version": __version__,
        "words": now.words,
        "phase": now.phase.value,
        "uptime_s": round(now.uptime_s, 1),
        "snapshot_age_s": round(state.age_s, 3),
        "frames": now.frames,
        "skipped_frames": now.skipped_frames,
        "rate_hz": round(now.rate_hz, 2),
        "step_ms": {key: round(value, 2) for key, value in now.step_ms.items()},
        "objects": [{**asdict(item), "state": item.state.value} for item in now.objects],
        "source": {
            "state": now.source.state.value,
            "detail": now.source.detail,
            "counts": dict(now.source.counts),
            "readings": dict(now.source.readings),
        },
        "sinks": [asdict(counts) for counts in now.sinks],
        "faults": dict(now.faults),
        "remarks": list(now.remarks),
        "last_error": now.last_error,
        "losses": None if recorded is None else asdict(recorded()),
    }
