"""Broken files of every kind that is read: no traceback, no hang, no crash, no memory above 4 GiB, one line each.

    python -m benchmarks run fuzz [--minutes 10] [--seed 0] [--reader glb --reader csv] [--number 17]

A case is made again by seed, reader and number; what was found is printed, and its files are kept in `--keep`. Needs
Linux, for the bound on memory.
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.fuzz.readers import READERS
from benchmarks.fuzz.worker import MEMORY_BYTES, Answer, work
from benchmarks.registry import Outcome, RecordOptions, case
from storm_edge.errors import ConfigError, mismatch

HANG_S = 60.0
"""A reader that takes longer hangs [s]; broken files are small."""
SOUND = ("read", "refused")
_STARTING_S = 180.0  # imports, and writing the sound files


@dataclass(frozen=True, kw_only=True)
class FuzzOptions(RecordOptions):
    """How long, and of what."""

    minutes: Annotated[float, typer.Option(min=0.01, help="How long in all [min].")] = 10.0
    seed: Annotated[int, typer.Option(min=0, help="Of all cases.")] = 0
    reader: Annotated[list[str] | None, typer.Option(help="A reader; given again for each. All of them.")] = None
    number: Annotated[int | None, typer.Option(min=0, help="This case alone.", show_default=False)] = None
    keep: Annotated[Path | None, typer.Option(help="Folder for files of what was found.", show_default=False)] = None


@dataclass
class _Found:
    answers: list[Answer] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    peak_bytes: int = 0
    longest_cpu_s: float = 0.0


@case(record="fuzz")
def fuzz(options: FuzzOptions) -> Outcome:
    """Have every reader read broken files."""
    names = options.reader or sorted(READERS)
    for name in names:
        if name not in READERS:
            raise ConfigError(mismatch("--reader", name, f"one of {', '.join(sorted(READERS))}", "name one of these"))
    found = _Found()
    with tempfile.TemporaryDirectory() as place:
        _run(options, names, Path(place), found)
    cases = {name: {o: n for (reader, o), n in found.outcomes.items() if reader == name} for name in names}
    for name in names:
        print(f"{name:<12} " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(cases[name].items())))
    print(f"{sum(found.outcomes.values())} cases, {len(found.answers)} findings")
    summary = {
        "seed": options.seed,
        "minutes": options.minutes,
        "cases": sum(found.outcomes.values()),
        "findings": len(found.answers),
        "outcomes": cases,
        "peak_mib": round(found.peak_bytes / 2**20),
        "allowed_mib": MEMORY_BYTES // 2**20,
        "longest_cpu_s": round(found.longest_cpu_s, 2),
    }
    return Outcome(summary=summary, rows=[vars(answer) for answer in found.answers])


def _run(options: FuzzOptions, names: list[str], place: Path, found: _Found) -> None:
    """Cases until the time is up, in one process after another: a finding that ends one begins the next."""
    end_s = time.monotonic() + 60.0 * options.minutes
    first, last = (0, 2**40) if options.number is None else (options.number * len(names),) * 2
    last = last if options.number is None else first + len(names)
    context = multiprocessing.get_context("spawn")
    while first < last and time.monotonic() < end_s:
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, place, options.seed, names, first, last), daemon=True)
        process.start()
        theirs.close()
        current: tuple[str, int] | None = None
        while first < last and time.monotonic() < end_s:
            answer = _next(ours, _STARTING_S if current is None else HANG_S, current, process)
            if isinstance(answer, Answer):
                first += 1
                _note(answer, found, options.keep, place)
                if answer.outcome in ("hang", "crash"):
                    break
                ours.send(None)
            else:
                current = answer
        process.kill()
        process.join()


def _next(pipe: Any, wait_s: float, current: tuple[str, int] | None, process: Any) -> Any:
    """What the process says next; where it says nothing, what that means."""
    name, number = current or ("start", 0)
    try:
        if pipe.poll(wait_s):
            return pipe.recv()
        outcome, detail = "hang", f"more than {wait_s:g} s"
    except EOFError:
        process.join()
        outcome, detail = "crash", f"exit status {process.exitcode}"
    return Answer(reader=name, number=number, outcome=outcome, detail=detail, peak_bytes=0, cpu_s=wait_s)


def _note(answer: Answer, found: _Found, keep: Path | None, place: Path) -> None:
    found.outcomes[answer.reader, answer.outcome] += 1
    found.peak_bytes = max(found.peak_bytes, answer.peak_bytes)
    found.longest_cpu_s = max(found.longest_cpu_s, answer.cpu_s)
    if answer.outcome in SOUND:
        return
    found.answers.append(answer)
    print(f"{answer.reader} {answer.number}: {answer.outcome}: {answer.detail}", flush=True)
    if keep is not None:
        shutil.copytree(place / "case", keep / f"{answer.reader}-{answer.number}", dirs_exist_ok=True)
