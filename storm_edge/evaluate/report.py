"""Scores as a table for people and as `report.json` for scripts."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from storm_edge.errors import OutputError, mismatch
from storm_edge.evaluate.average_recall import AverageRecall
from storm_edge.evaluate.masks import MaskScore
from storm_edge.evaluate.poses import Score
from storm_edge.result_folder import atomic_folder
from storm_edge.result_kind import MADE_BY, ResultKind

if TYPE_CHECKING:
    from rich.table import Table

REPORT = "report.json"
_COLUMNS = 3  # scores beside each other in 80 columns of text

AnyScore = TypeVar("AnyScore", Score, MaskScore, AverageRecall)
_Row = tuple[str, Callable[[AnyScore], str]]
MASK_REPORT = ResultKind(
    command="storm-edge eval masks", marker=REPORT, keys=frozenset({"scores", "unjudged_frames", "images"})
)
"""Of `eval masks`."""
POSE_REPORT = ResultKind(command="storm-edge eval poses", marker=REPORT, keys=frozenset({"scores", "labels"}))
"""Of `eval poses`."""
TOM_REPORT = ResultKind(command="storm-edge eval tom", marker=REPORT, keys=frozenset({"pairs", "auroc", "roc"}))
"""Of `eval tom`."""
TRACKING_REPORT = ResultKind(command="storm-edge eval tracking", marker=REPORT, keys=frozenset({"objects", "labels"}))
"""Of `eval tracking`."""


def write_report(path: Path | str, content: Mapping[str, Any], kind: ResultKind, *, force: bool = False) -> None:
    """Write ``report.json`` into folder ``path``; dataclasses become objects, infinite and NaN become null.

    Args:
        path: The folder.
        content: What the report says.
        kind: Which command's report it is.
        force: Whether files that are not ours may lie beside it.

    Raises:
        OutputError: The folder is something else than an older report, or cannot be written.
    """
    text = json.dumps(_plain({MADE_BY: kind.made_by, **content}), indent=2, allow_nan=False) + "\n"
    with atomic_folder(path, kind, force=force) as folder:
        try:
            (folder / REPORT).write_text(text, encoding="utf-8")
        except OSError as error:
            got = error.strerror or error
            raise OutputError(mismatch(path, got, "a folder that can be written", "choose another one")) from error


def score_tables(scores: Sequence[Score], *, title: str, limit: str = "0.1 m") -> list[Table]:
    """Rich tables with a column per score; the rows that know symmetry appear only where they differ.

    Args:
        scores: A column each.
        title: Above the tables.
        limit: Up to where the AUCs go.
    """
    symmetric = any(s.add_symmetric_auc != s.add_auc for s in scores)
    rows: list[_Row[Score]] = [
        ("labels", lambda s: str(s.label_count)),
        ("poses", lambda s: str(s.pose_count)),
        ("ADD < 0.1 d [%]", lambda s: _number(s.add_recall, 100.0)),
        ("ADD-S < 0.1 d [%]", lambda s: _number(s.add_s_recall, 100.0)),
        (f"ADD AUC to {limit} [%]", lambda s: _number(s.add_auc)),
        (f"ADD-S AUC to {limit} [%]", lambda s: _number(s.add_s_auc)),
        ("ADD, median [mm]", lambda s: _number(s.add_median_m, 1e3)),
        ("ADD-S, median [mm]", lambda s: _number(s.add_s_median_m, 1e3)),
        ("turn, median [deg]", lambda s: _number(s.rotation_median_deg)),
    ]
    if symmetric:
        rows += [
            ("symmetric ADD < 0.1 d [%]", lambda s: _number(s.add_symmetric_recall, 100.0)),
            (f"symmetric AUC to {limit} [%]", lambda s: _number(s.add_symmetric_auc)),
        ]
    rows += [
        ("mask IoU, mean", lambda s: _number(s.iou_mean, digits=3)),
        ("depth residual, median [mm]", lambda s: _number(s.depth_residual_median_m, 1e3)),
    ]
    return _tables(scores, rows, title)


def mask_tables(scores: Sequence[MaskScore], *, title: str) -> list[Table]:
    """Rich tables with a column per object and their mean."""
    rows: list[_Row[MaskScore]] = [
        ("images", lambda s: str(s.image_count)),
        ("true masks", lambda s: str(s.truth_count)),
        ("IoU, mean", lambda s: _number(s.iou_mean, digits=3)),
        ("AP [%]", lambda s: _number(s.ap, 100.0)),
        ("AP50 [%]", lambda s: _number(s.ap50, 100.0)),
        ("AP75 [%]", lambda s: _number(s.ap75, 100.0)),
        ("AP as STORM [%]", lambda s: _number(s.ap_storm, 100.0)),
        ("missed [%]", lambda s: _number(s.missed_share, 100.0)),
        ("absent, images", lambda s: str(s.absent_count)),
        ("absent and left alone [%]", lambda s: _number(s.absent_right_share, 100.0)),
        ("time, mean [ms]", lambda s: _number(s.time_mean_s, 1e3, digits=0)),
    ]
    return _tables(scores, rows, title)


def recall_tables(recalls: Sequence[AverageRecall], *, title: str) -> list[Table]:
    """Rich tables with a column per object and one of all."""
    rows: list[_Row[AverageRecall]] = [
        ("targets", lambda s: str(s.target_count)),
        ("AR [%]", lambda s: _number(s.ar, 100.0)),
        ("AR of VSD [%]", lambda s: _number(s.ar_vsd, 100.0)),
        ("AR of MSSD [%]", lambda s: _number(s.ar_mssd, 100.0)),
        ("AR of MSPD [%]", lambda s: _number(s.ar_mspd, 100.0)),
    ]
    return _tables(recalls, rows, title)


def _tables(scores: Sequence[AnyScore], rows: Sequence[_Row[AnyScore]], title: str) -> list[Table]:
    """A column per score, so few in a table that it fits 80 columns of text."""
    from rich.table import Table

    tables = []
    for first in range(0, len(scores), _COLUMNS):
        shown = scores[first : first + _COLUMNS]
        table = Table(title=title, title_justify="left")
        table.add_column("", no_wrap=True)
        for s in shown:
            table.add_column(s.name, justify="right", overflow="fold")
        for heading, cell in rows:
            table.add_row(heading, *(cell(s) for s in shown))
        tables.append(table)
    return tables


def _number(value: float | None, factor: float = 1.0, *, digits: int = 1) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value * factor:.{digits}f}"


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
