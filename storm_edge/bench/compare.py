"""What two records of `storm-edge bench` differ in, beyond the noise of each.

Frames of a run are no independent draws: a slow spell lasts. So each run is resampled by the moving-block bootstrap
(Künsch, Annals of Statistics 17, 1989) in blocks of a twentieth of the run, which keep such spells whole. The 99 %
interval of the difference of a percentile comes from there, widened as Student's t is for so few blocks. A percentile
has changed if the interval leaves out zero *and* the difference is at least 5 % of the earlier value and 0.05 ms:
what differs between two starts of one program (where memory lies, what else the machine does) is in neither record,
and no bootstrap sees it. For the same reason a change is a reason to run both again, in turns.
Of 600 judgements of equal made-up runs of 1000 frames 0.3 % said changed where frames were independent, 0.8 % where
each resembled the one before (correlation 0.8).

A percentile with fewer than ten samples beyond it is not judged (p99 asks for 1000 frames), and the maximum never is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storm_edge.errors import InputError, mismatch
from storm_edge.percentiles import PERCENTILES

if TYPE_CHECKING:
    from rich.table import Table

Float64 = NDArray[np.float64]

RESAMPLINGS = 1000
_INTERVAL = (0.5, 99.5)
_BLOCKS = 20
_WIDER = 2.861 / 2.576  # the 99.5 % quantiles of Student's t with 19 degrees of freedom and of the normal law
_LEAST_BEYOND = 10.0
_LEAST_SHARE, _LEAST_MS = 0.05, 0.05
_AT_ONCE = 1 << 21  # samples drawn at once, 16 MiB

_Milliseconds = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    """A part of a record; what comparing does not need may stand beside it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Device(_Part):
    kind: str
    name: str
    compute_capability: int | None


class _Machine(_Part):
    cpu: str
    usable_cores: int


class _Bundle(_Part):
    name: str
    backend: str | None = "onnxruntime"  # older records had no other
    networks: dict[str, str]


class _Tracker(_Part):
    kind: str | None = "stepwise"  # older records had no other
    launches: str | None = None


class _Object(_Part):
    id: str
    face_count: int


class _Recording(_Part):
    name: str
    frame_count: int
    size_px: tuple[int, int]


class _Reading(_Part):
    power_mode: str | None


class _Board(_Part):
    after: _Reading


class _Phase(_Part):
    name: str
    samples_ms: dict[str, Annotated[list[_Milliseconds], Field(min_length=1)]]


class BenchRecord(_Part):
    """What of `bench.json` is compared."""

    format: Literal[1]
    mode: str
    rate_hz: float | None
    locate: str
    tracker: _Tracker = _Tracker()
    device: _Device
    machine: _Machine
    bundle: _Bundle
    object: _Object
    recording: _Recording
    board: _Board
    phases: Annotated[list[_Phase], Field(min_length=1)]


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


def read_record(path: Path) -> BenchRecord:
    """Read `bench.json`, or the one in a folder.

    Raises:
        InputError: There is none, or it is none.
    """
    from storm_edge.bench.report import BENCH

    path = path / BENCH if path.is_dir() else path
    remedy = "give a bench.json, or the folder that storm-edge bench wrote"
    try:
        content = json.loads(path.read_bytes())
        return BenchRecord.model_validate(content)
    except OSError as error:
        raise InputError(mismatch(path, error.strerror, "a record", remedy)) from error
    except ValidationError as error:  # before ValueError, which it is
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(mismatch(path, f"{where}: {first['msg']}", "a record of this version", remedy)) from error
    except ValueError as error:
        raise InputError(mismatch(path, "no JSON", "a record", remedy)) from error


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


def comparison_table(comparison: Comparison) -> Table:
    """A row per percentile; what changed stands out."""
    from rich.table import Table

    table = Table(title="storm-edge bench compare, times in ms", title_justify="left")
    for heading in ("", "stage", ""):
        table.add_column(heading)
    for heading in ("first", "second", "change", "99 % interval"):
        table.add_column(heading, justify="right")
    table.add_column("")
    styles = {Verdict.SLOWER: "bold red", Verdict.FASTER: "bold green", Verdict.TOO_FEW: "dim"}
    last = ("", "")
    for c in comparison.changes:
        here = (c.phase, c.stage)
        phase, stage = "" if here[0] == last[0] else c.phase, "" if here == last else c.stage
        last = here
        share = f"{(c.after_ms / c.before_ms - 1.0):+.1%}" if c.before_ms > 0.0 else "-"
        low, high = c.interval_ms
        cells = [f"{c.before_ms:.2f}", f"{c.after_ms:.2f}", share, f"{low:+.2f} to {high:+.2f}", c.verdict.value]
        table.add_row(phase, stage, f"p{c.percentile}", *cells, style=styles.get(c.verdict))
    return table


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
    fused = max(1, _AT_ONCE // count)
    for start in range(0, RESAMPLINGS, fused):
        rows = min(fused, RESAMPLINGS - start)
        begins = rng.integers(0, count, size=(rows, block_count, 1))
        places = ((begins + np.arange(length)) % count).reshape(rows, -1)[:, :count]
        result[start : start + rows] = np.percentile(samples[places], PERCENTILES, axis=1).T
    return result
