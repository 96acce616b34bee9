"""BOP result files: one estimated pose per line, millimetres on disk and metres inside.

Format of the BOP challenge (bop_toolkit, ``docs/bop_challenge_*.md``): ``scene_id,im_id,obj_id,score,R,t,time`` with
``R`` nine numbers row by row and ``t`` three, separated by spaces; ``time`` is seconds per image or -1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import InputError, mismatch
from storm_edge.files import cannot_write
from storm_edge.geometry.se3 import is_rigid, make_T

Float64 = NDArray[np.float64]

HEADER = ("scene_id", "im_id", "obj_id", "score", "R", "t", "time")
_MM_PER_M = 1000.0
_RIGID_TOLERANCE = 1e-2  # result files hold few digits; anything worse is not a rotation


@dataclass(frozen=True, kw_only=True)
class BopEstimate:
    """One line of a result file."""

    scene_id: int
    """Scene number."""
    image_id: int
    """Image number in the scene."""
    object_id: int
    """Number of the model."""
    score: float
    """Confidence; only its order matters."""
    T_cam_obj: Float64
    """Object to camera [m], shape ``(4, 4)``."""
    time_s: float = -1.0
    """Time spent on the whole image [s]; -1 where it was not measured."""


def write_bop_csv(path: Path | str, estimates: Iterable[BopEstimate]) -> None:
    """Write a result file.

    Raises:
        OutputError: The file cannot be written.
    """
    lines = [",".join(HEADER)]
    for e in estimates:
        R = " ".join(f"{value:.9g}" for value in e.T_cam_obj[:3, :3].reshape(-1))
        t = " ".join(f"{value:.9g}" for value in e.T_cam_obj[:3, 3] * _MM_PER_M)
        lines.append(f"{e.scene_id},{e.image_id},{e.object_id},{e.score:.9g},{R},{t},{e.time_s:.6g}")
    try:
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error


def read_bop_csv(path: Path | str) -> list[BopEstimate]:
    """Read a result file.

    Raises:
        InputError: It is missing, has other columns, or a line that is not a pose.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        got = getattr(error, "strerror", None) or error
        raise InputError(mismatch(path, got, "a BOP result file", "check the path")) from error
    if not rows or tuple(name.strip() for name in rows[0]) != HEADER:
        got = ",".join(rows[0])[:80] if rows else "an empty file"
        raise InputError(mismatch(path, got, f"the header {','.join(HEADER)}", "write it in the BOP result format"))
    return [_estimate(row, what=f"{path} line {number}") for number, row in enumerate(rows[1:], start=2)]


def _estimate(row: list[str], *, what: str) -> BopEstimate:
    try:
        scene_id, image_id, object_id, score, R, t, time_s = row
        T = make_T(
            np.array(R.split(), dtype=np.float64).reshape(3, 3),
            np.array(t.split(), dtype=np.float64).reshape(3) / _MM_PER_M,
        )
        if not is_rigid(T, tolerance=_RIGID_TOLERANCE):
            raise ValueError("R is not a rotation")
        return BopEstimate(
            scene_id=int(scene_id),
            image_id=int(image_id),
            object_id=int(object_id),
            score=float(score),
            T_cam_obj=T,
            time_s=float(time_s),
        )
    except ValueError as error:
        raise InputError(mismatch(what, error, "seven columns with a pose", "repair this line")) from error
