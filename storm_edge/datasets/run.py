"""Do the scenes of a work one after the other: what is done is kept, a scene that fails holds up no other one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from storm_edge.datasets.work_folder import WorkFolder, is_done, write_json_file
from storm_edge.errors import BackendError, InputError, OutputError, StormEdgeError
from storm_edge.replay.summary import SUMMARY
from storm_edge.result_kind import MADE_BY

_LOG = logging.getLogger(__name__)

Do = Callable[[str, Path, Callable[[int, int], None]], None]
"""Does one scene: its name, the folder that its result is to appear as, and a progress of frames done and in all."""
Progress = Callable[[str, float], None]
Finish = Callable[[Path, list[str]], None]
"""Joins what the given scenes left in a work folder."""


def do_scenes(work: WorkFolder, do: Do, *, finish: Finish | None = None, progress: Progress | None = None) -> None:
    """Do what is still to be done of a shard.

    Args:
        work: The open folder.
        do: Does one scene.
        finish: Is called after every scene with the folder and all scenes that are done.
        progress: Is told the share of the shard's scenes that is done.

    Raises:
        StormEdgeError: A scene could not be done; the others are. A device or a disc that fails ends it at once.
    """
    total = len(work.units)
    failed: dict[str, str] = {}
    pending = work.pending()
    done = total - len(pending)
    if pending and done:
        _LOG.info("%s: %d of %d scenes are done already", work.path, done, total)
    write_state(work, failed, finish)
    for unit in pending:

        def report(frames: int, of: int, before: int = done) -> None:
            if progress is not None:
                progress("scenes", (before + frames / max(of, 1)) / total)

        try:
            do(unit, work.place(unit), report)
        except (BackendError, OutputError):
            write_state(work, failed, finish)
            raise
        except StormEdgeError as error:
            failed[unit] = str(error)
        done += 1
        write_state(work, failed, finish)
    if failed:
        unit, why = next(iter(failed.items()))
        line = f"{why}; {len(failed)} of {total} scenes failed, the first is {unit}: what is done is in {work.path}"
        raise InputError(f"{line}, give the command again when it is mended")


def write_state(work: WorkFolder, failed: dict[str, str], finish: Finish | None) -> None:
    """Join what is done, and say in `summary.json` which scenes are done, which failed and why, which are to come."""
    there = [unit for unit in work.units if is_done(work.place(unit))]
    if finish is not None:
        finish(work.path, there)
    content: dict[str, Any] = {
        MADE_BY: work.work.kind.made_by,
        "dataset": work.work.dataset,
        "split": work.work.split,
        "shard": str(work.shard),
        "done": there,
        "failed": failed,
        "to_do": [unit for unit in work.units if unit not in there and unit not in failed],
    }
    write_json_file(work.path / SUMMARY, content)
