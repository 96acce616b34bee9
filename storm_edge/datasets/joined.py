"""Files of a whole work, joined of what its scenes left: the BOP result file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from storm_edge.bop.results import HEADER
from storm_edge.datasets.work_folder import unit_folder
from storm_edge.files import write_atomically
from storm_edge.replay.result_kinds import BOP_RESULTS


def join_scenes(out: Path, units: Sequence[str]) -> None:
    """Write the BOP result file of all given scenes, in their order; nothing where none of them has one.

    Raises:
        OutputError: It cannot be written.
    """
    files = [path for unit in units if (path := unit_folder(out, unit) / BOP_RESULTS).is_file()]
    if files:
        lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()[1:] if line]
        text = "\n".join([",".join(HEADER), *lines]) + "\n"
        write_atomically(out / BOP_RESULTS, text.encode())
