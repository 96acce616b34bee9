"""Scores as a table for people and as `report.json` for scripts."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storm_edge.errors import OutputError, mismatch
from storm_edge.evaluate.masks import MaskScore
from storm_edge.evaluate.poses import Score
from storm_edge.files import atomic_folder

if TYPE_CHECKING:
    from rich.table import Table

REPORT = "report.json"


def write_report(path: Path | str, content: Mapping[str, Any]) -> None:
    """Write ``report.json`` into folder ``path``; dataclasses become objects, infinite and NaN become null.

    Raises:
        OutputError: The folder is something else than an older report, or cannot be written.
    """
    text = json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"
    with atomic_folder(path, marker=REPORT) as folder:
        try:
            (folder / REPORT).write_text(text, encoding="utf-8")
        except OSError as error:
            got = error.strerror or error
            raise OutputError(mismatch(path, got, "a folder that can be written", "choose another one")) from error


def score_table(scores: Sequence[Score], *, title: str) -> Table:
    """A rich table with a row per score; the columns that know symmetry appear only where they differ."""
    from rich.table import Table

    symmetric = any(s.add_symmetric_auc != s.add_auc for s in scores)
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("labels", "poses", "ADD <0.1d", "ADD-S <0.1d", "ADD AUC", "ADD-S AUC", "ADD", "ADD-S", "turn"):
        table.add_column(heading, justify="right")
    for heading in ("sym. ADD <0.1d", "sym. AUC") if symmetric else ():
        table.add_column(heading, justify="right")
    for heading in ("mask IoU", "depth"):
        table.add_column(heading, justify="right")
    for s in scores:
        row = [
            s.name,
            str(s.label_count),
            str(s.pose_count),
            _number(s.add_recall, 100.0, "%"),
            _number(s.add_s_recall, 100.0, "%"),
            _number(s.add_auc),
            _number(s.add_s_auc),
            _number(s.add_median_m, 1e3, " mm"),
            _number(s.add_s_median_m, 1e3, " mm"),
            _number(s.rotation_median_deg, 1.0, "°"),
        ]
        if symmetric:
            row += [_number(s.add_symmetric_recall, 100.0, "%"), _number(s.add_symmetric_auc)]
        row += [_number(s.iou_mean, digits=3), _number(s.depth_residual_median_m, 1e3, " mm")]
        table.add_row(*row)
    return table


def mask_table(scores: Sequence[MaskScore], *, title: str) -> Table:
    """A rich table with a row per object and their mean."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    headings = ("images", "true masks", "IoU", "AP", "AP50", "AP75", "missed", "absent", "left alone", "time")
    for heading in headings:
        table.add_column(heading, justify="right")
    for s in scores:
        table.add_row(
            s.name,
            str(s.image_count),
            str(s.truth_count),
            _number(s.iou_mean, digits=3),
            _number(s.ap, 100.0, "%"),
            _number(s.ap50, 100.0, "%"),
            _number(s.ap75, 100.0, "%"),
            _number(s.missed_share, 100.0, "%"),
            str(s.absent_count),
            _number(s.absent_right_share, 100.0, "%"),
            _number(s.time_mean_s, 1e3, " ms", digits=0),
        )
    return table


def _number(value: float | None, factor: float = 1.0, unit: str = "", *, digits: int = 1) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value * factor:.{digits}f}{unit}"


def _plain(value: Any) -> Any:
    """JSON types only."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
