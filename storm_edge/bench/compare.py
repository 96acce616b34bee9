"""Which percentiles differ between two records of `storm-edge bench`, beyond the noise of each.

Latencies of neighbouring frames are correlated, since a slow period lasts several frames. So each run is resampled by
the moving-block bootstrap (Künsch, Annals of Statistics 17, 1989) in blocks of a twentieth of the run, which keep
slow periods whole. The bootstrap gives a 99 % interval for the difference of each percentile, widened as Student's t
is for so few blocks.

A percentile has changed if this interval excludes zero *and* the difference is at least 5 % of the earlier value and
0.05 ms. The second condition is there because two starts of the same program also differ (memory layout, other
load), which no bootstrap over one run can see. For the same reason a reported change should be confirmed by running
both again, in turns. Of 600 judgements of equal simulated runs of 1000 frames, 0.3 % said changed where frames were
independent, 0.8 % where each was correlated with the one before (0.8).

A percentile with fewer than ten samples beyond it is not judged (p99 needs 1000 frames), and the maximum never is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from storm_edge.bench.stored_record import BenchRecord
from storm_edge.errors import InputError, mismatch
from storm_edge.percentiles import PERCENTILES

Float64 = NDArray[np.float64]

RESAMPLINGS = 1000
_INTERVAL = (0.5, 99.5)
_BLOCKS = 20
_WIDER = 2.861 / 2.576  # the 99.5 % quantiles of Student's t with 19 degrees of freedom and of the normal law
_LEAST_BEYOND = 10.0
_LEAST_SHARE, _LEAST_MS = 0.05, 0.05
_CHUNK_SAMPLES = 1 << 21  # samples drawn at once, 16 MiB


class Verdict(str, Enum):
    """What is said of a percentile."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "within the noise"
    TOO_FEW = "too few samples"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One percentile of one stage in two records."""

    phase: str
    """Which frames."""
    stage: str
    """Which work."""
    percentile: int
    """50, 90 or 99."""
    before_ms: float
    """In the first record [ms]."""
    after_ms: float
    """In the second one [ms]."""
    interval_ms: tuple[float, float]
    """99 % interval of the difference [ms]."""
    verdict: Verdict
    """Whether that is more than noise."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two records side by side."""

    changes: tuple[Change, ...]
    """By phase, stage and percentile."""
    differences: tuple[str, ...]
    """What else differs between the records, in words; empty unless the comparison was forced."""
    alone: tuple[str, ...]
    """Stages that only one of the records has."""


def compare(before: BenchRecord, after: BenchRecord, *, force: bool = False) -> Comparison:
    """Judge every percentile of every stage that both records have.

    Args:
        before: The first record.
        after: The second one.
        force: Whether records of different devices, networks or work may be compared.

    Raises:
        InputError: They are of different devices, networks or work.
    """
    differences = _differences(before, after)
    if differences and not force:
        remedy = "time the same thing, or add --force to compare them all the same"
        raise InputError(mismatch("records", "; ".join(differences), "two of the same", remedy))
    changes: list[Change] = []
    alone: list[str] = []
    theirs = {phase.name: phase.samples_ms for phase in after.phases}
    ours = {phase.name: phase.samples_ms for phase in before.phases}
    for name in dict.fromkeys([*ours, *theirs]):
        old, new = ours.get(name, {}), theirs.get(name, {})
        for stage in dict.fromkeys([*old, *new]):
            if stage in old and stage in new:
                changes += _changes(name, stage, np.array(old[stage]), np.array(new[stage]))
            else:
                alone.append(f"{name}: {stage}, only in the {'first' if stage in old else 'second'} record")
    return Comparison(changes=tuple(changes), differences=tuple(differences), alone=tuple(alone))


def _differences(before: BenchRecord, after: BenchRecord) -> list[str]:
    """What must be equal for times to be comparable, and is not."""
    found = []
    for what in (
        "mode",
        "rate_hz",
        "locate",
        "tracker",
        "device",
        "machine",
        "bundle",
        "object",
        "recording",
        "board",
    ):
        old, new = getattr(before, what), getattr(after, what)
        if old != new:
            found.append(f"{what} {_difference(old, new)}")
    return found


def _difference(old: Any, new: Any) -> str:
    """The first thing in which two values differ, short."""
    if isinstance(old, BaseModel) and isinstance(new, BaseModel):
        old, new = old.model_dump(), new.model_dump()
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        key = next(k for k in dict.fromkeys([*old, *new]) if old.get(k) != new.get(k))
        return f"{key} {_difference(old.get(key), new.get(key))}"
    texts = [text[:12] + "..." if len(text) == 64 else text for text in map(str, (old, new))]  # a hash, shortened
    return f"{texts[0]} and {texts[1]}"


def _changes(phase: str, stage: str, old: Float64, new: Float64) -> list[Change]:
    rng = np.random.default_rng(0)  # the same records, the same verdict
    spread = resampled_percentiles(new, rng) - resampled_percentiles(old, rng)
    changes = []
    for column, percentile in enumerate(PERCENTILES):
        low, high = np.percentile(spread[:, column], _INTERVAL)
        middle, half = (low + high) / 2.0, _WIDER * (high - low) / 2.0
        low, high = middle - half, middle + half
        before_ms, after_ms = float(np.percentile(old, percentile)), float(np.percentile(new, percentile))
        changes.append(
            Change(
                phase=phase,
                stage=stage,
                percentile=percentile,
                before_ms=before_ms,
                after_ms=after_ms,
                interval_ms=(float(low), float(high)),
                verdict=_verdict(percentile, before_ms, after_ms, (low, high), min(len(old), len(new))),
            )
        )
    return changes


def _verdict(
    percentile: int, before_ms: float, after_ms: float, interval_ms: tuple[float, float], count: int
) -> Verdict:
    if count * (1.0 - percentile / 100.0) < _LEAST_BEYOND - 1e-9:
        return Verdict.TOO_FEW
    change_ms = after_ms - before_ms
    if interval_ms[0] <= 0.0 <= interval_ms[1] or abs(change_ms) < max(_LEAST_MS, _LEAST_SHARE * before_ms):
        return Verdict.SAME
    return Verdict.SLOWER if change_ms > 0.0 else Verdict.FASTER


def resampled_percentiles(samples: Float64, rng: np.random.Generator) -> Float64:
    """`PERCENTILES` of `RESAMPLINGS` moving-block resamplings of a series, ``(R, 3)``.

    Args:
        samples: Times in the order they were taken [ms], ``(N,)``; blocks go round its end.
        rng: Draws the blocks.
    """
    count = len(samples)
    length = max(1, count // _BLOCKS)
    block_count = -(-count // length)
    result = np.empty((RESAMPLINGS, len(PERCENTILES)))
    chunk = max(1, _CHUNK_SAMPLES // count)
    for start in range(0, RESAMPLINGS, chunk):
        rows = min(chunk, RESAMPLINGS - start)
        begins = rng.integers(0, count, size=(rows, block_count, 1))
        places = ((begins + np.arange(length)) % count).reshape(rows, -1)[:, :count]
        result[start : start + rows] = np.percentile(samples[places], PERCENTILES, axis=1).T
    return result
