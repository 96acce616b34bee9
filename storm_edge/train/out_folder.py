"""The folder of a training run: whose its files are, and the result that is left in it.

Unlike other results it is written to while the run goes on, since a run may be resumed. What is in it under our names
and was not written by a training run is refused, never replaced.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from storm_edge.errors import OutputError, StormEdgeError, mismatch
from storm_edge.files import write_atomically
from storm_edge.folder_swap import lock
from storm_edge.parsing import parse_json
from storm_edge.result_kind import MADE_BY, ResultKind
from storm_edge.result_sums import SUMS, write_sums
from storm_edge.train.config import RunConfig, TrainResult

CHECKPOINT, LOG, CURVES = "checkpoint.pt", "log.jsonl", "curves.png"
BEST = "best.pth"
"""Weights of a full network's best evaluation; upstream's name."""
TRAIN = ResultKind(
    command="storm-edge train",
    marker="result.json",
    keys=frozenset({"network", "out", "steps", "checkpoint", "elapsed_s", "held_out"}),
    names=frozenset({CHECKPOINT, LOG, CURVES, BEST}),
)
"""Of `train`."""
_REMEDY = "choose another --out"


def prepare_folder(out: Path, *, resume: bool) -> None:
    """Make the folder of a run, or refuse one with files that a run would replace.

    Args:
        out: The folder.
        resume: Whether it goes on from the checkpoint there.

    Raises:
        OutputError: It cannot be made, or holds another run, or files of our names that are not ours.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in (TRAIN.marker, CHECKPOINT, LOG, CURVES, BEST):
            if (out / name).is_dir():
                raise OutputError(mismatch(out / name, "a folder", "a file of a training run", _REMEDY))
        if os.path.lexists(out / TRAIN.marker) and TRAIN.content(out) is None:
            got = "a file that storm-edge train did not write"
            raise OutputError(mismatch(out / TRAIN.marker, got, "the result of an earlier run, or none", _REMEDY))
        for name in sorted(TRAIN.edited(out) | _unknown_sums(out)):
            remedy = f"give it another name, or {_REMEDY}"
            raise OutputError(mismatch(out / name, "a file that was changed since", "as it was written", remedy))
        if os.path.lexists(out / LOG) and not _is_log(out / LOG):
            got = "a file that storm-edge train did not write"
            raise OutputError(mismatch(out / LOG, got, "the log of an earlier run, or none", _REMEDY))
    except OSError as error:
        raise OutputError(mismatch(out, error, "a folder that can be made", _REMEDY)) from error
    if os.path.lexists(out / BEST) and not os.path.lexists(out / CHECKPOINT):
        remedy = f"give it another name, or {_REMEDY}"
        raise OutputError(mismatch(out / BEST, "a file of no run that is here", "a folder without it", remedy))
    if os.path.lexists(out / CHECKPOINT) and not resume:
        remedy = "add --resume or choose another"
        raise OutputError(mismatch(out, "a checkpoint of an earlier run", "an empty folder", remedy))


@contextmanager
def none_left_empty(out: Path) -> Iterator[None]:
    """Take the folder away where the run fails before anything is in it."""
    was_there = out.exists()
    try:
        yield
    except StormEdgeError:
        if not was_there:
            with suppress(OSError):  # something is in it, or it was never made
                out.rmdir()
        raise


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """Keep other runs out of a folder: two would write each other's checkpoint and log.

    Raises:
        OutputError: Another run is writing it.
    """
    descriptor = os.open(out, os.O_RDONLY)
    try:
        if not lock(descriptor):
            remedy = "wait for it, or choose another --out"
            raise OutputError(mismatch(out, "a folder that a training run is writing", "one of no run", remedy))
        for name in (CHECKPOINT, BEST):
            for part in out.glob(f".{name}.part-*"):  # of a run that was killed as it wrote
                part.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)  # the lock ends with it, also where the process is killed


def write_result(config: RunConfig, result: TrainResult) -> None:
    """Write what was asked and where it ended.

    Raises:
        OutputError: It cannot be written.
    """
    content = {MADE_BY: TRAIN.made_by, **asdict(config), **asdict(result)}
    text = json.dumps(content, indent=2, default=str) + "\n"
    write_atomically(config.out / TRAIN.marker, text.encode())
    write_sums(config.out, [TRAIN.marker])


def _unknown_sums(out: Path) -> set[str]:
    """`SUMS` without a result that it is of."""
    return {SUMS} if os.path.lexists(out / SUMS) and TRAIN.content(out) is None else set()


def _is_log(path: Path) -> bool:
    """Whether the first line is one of ours; an empty file is everybody's."""
    with path.open("rb") as file:
        line = file.readline()
    try:
        record = parse_json(line) if line else {"step": 0}
    except ValueError:
        return False
    return isinstance(record, dict) and "step" in record
