"""The log of a run: ``log.jsonl``, a JSON object per line, and the curves drawn from it.

A log that cannot be written, such as on a full disk, does not end a run: it is told once.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from storm_edge.errors import OutputError
from storm_edge.files import cannot_write
from storm_edge.train.curves import draw_curves
from storm_edge.train.out_folder import CURVES, LOG

_LOG = logging.getLogger(__name__)
_DIGITS = 4


class RunLog:
    """The log in a run's folder.

    Args:
        out: The folder.
        title: What stands above the curves.
    """

    def __init__(self, out: Path, title: str) -> None:
        self._path, self._curves, self._title = out / LOG, out / CURVES, title
        self._told: set[str] = set()

    def add(self, record: dict[str, Any]) -> None:
        """Add a line; numbers keep four digits."""
        rounded = {k: float(f"{v:.{_DIGITS}g}") if isinstance(v, float) else v for k, v in record.items()}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rounded) + "\n")
        except OSError as error:
            self.tell(cannot_write(self._path, error))

    def draw(self) -> None:
        """Draw the curves anew."""
        try:
            draw_curves(self._curves, read_log(self._path), title=self._title)
        except (OSError, OutputError) as error:
            self.tell(error if isinstance(error, OutputError) else cannot_write(self._curves, error))

    def tell(self, trouble: OutputError) -> None:
        """Say what could not be written, each thing once; the run goes on."""
        if str(trouble) not in self._told:
            self._told.add(str(trouble))
            _LOG.warning("%s; training goes on", trouble)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; those that a kill or a full disk left torn are passed over."""
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records
