"""How the commands open a recording and its labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from storm_edge.cli.console import say

if TYPE_CHECKING:
    from storm_edge.data.bop import BopScene

LABELS = "scene_gt.json"
PSEUDO_LABELS = "scene_gt_pseudo.json"


def open_scene(path: Path, labels: str | None) -> BopScene:
    """A BOP scene with the named label file, or `scene_gt.json`; where only pseudo labels are there, those, and it
    says so.
    """
    from storm_edge.data.bop import BopScene

    if labels is None and not (path / LABELS).is_file() and (path / PSEUDO_LABELS).is_file():
        say(f"{path}: no {LABELS}, so the labels of {PSEUDO_LABELS} are used; they are estimates, not measurements")
        labels = PSEUDO_LABELS
    return BopScene(path, labels=labels or LABELS)
