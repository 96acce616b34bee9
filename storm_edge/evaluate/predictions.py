"""Estimated poses from disk: `poses.jsonl` of a run, a BOP result file, or `scene_pred.json`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from storm_edge.bop.results import BopEstimate, read_bop_csv
from storm_edge.bop.scene_pred import SCENE_PRED, read_scene_pred
from storm_edge.errors import InputError, mismatch
from storm_edge.geometry.se3 import is_rigid
from storm_edge.parsing import parse_json

Float64 = NDArray[np.float64]

POSES = "poses.jsonl"
BOP_RESULTS = "bop_results.csv"
_RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was said about one object in one image."""

    frame_id: int
    """Image number."""
    object_id: str
    """Name of the object; a number in BOP result files."""
    T_cam_obj: Float64 | None
    """Object to camera [m], shape ``(4, 4)``; None where no pose was given."""
    score: float
    """Confidence; among several predictions of one object in one image the highest is judged."""
    state: str | None = None
    """Reported state, a word of `poses.jsonl`; None in BOP result files."""
    scene_id: int | None = None
    """Scene number in a BOP result file, which may hold several scenes; None where a file is of one scene."""


class _Line(BaseModel):
    """One line of `poses.jsonl`."""

    model_config = ConfigDict(extra="forbid")
    frame: int
    stamp_ns: int
    object: str
    state: str
    T_cam_obj: list[list[float]] | None
    confidence: float
    ambiguous: dict[str, Any] | None = None
    pose_age_ms: float | None
    latency_ms: dict[str, float]


def read_predictions(path: Path | str) -> list[Prediction]:
    """Read the poses of a run.

    Args:
        path: A `poses.jsonl`, a BOP result file (`.csv`), a `scene_pred.json`, or the folder that holds one of them.

    Raises:
        InputError: The file is missing, empty, or holds something else.
    """
    path = Path(path)
    if path.is_dir():
        path = next(
            (path / name for name in (POSES, BOP_RESULTS, SCENE_PRED) if (path / name).is_file()), path / POSES
        )
    if path.suffix.lower() == ".csv":
        found = [_of_estimate(e, scene_id=e.scene_id) for e in read_bop_csv(path)]
    elif path.suffix.lower() == ".json":
        found = [_of_estimate(e, scene_id=None) for e in read_scene_pred(path)]
    else:
        found = _read_lines(path)
    if not found:
        raise InputError(mismatch(path, "no pose", "at least one line", "check that the run finished"))
    return found


def of_scene(predictions: Iterable[Prediction], scene_name: str) -> list[Prediction]:
    """Those that belong to the scene whose folder has this name.

    BOP names scene folders by their number; in a folder named otherwise all predictions must be of one scene.

    Raises:
        InputError: It cannot be told which predictions are meant, or none is.
    """
    found = list(predictions)
    scene_ids = sorted({p.scene_id for p in found if p.scene_id is not None})
    if scene_name.isdecimal() and scene_ids:
        found = [p for p in found if p.scene_id in (None, int(scene_name))]
    elif len(scene_ids) > 1:
        expected = f"one scene, since '{scene_name}' is no BOP scene number"
        remedy = "name the scene folder by its number"
        raise InputError(mismatch("predictions", f"scenes {scene_ids}", expected, remedy))
    if not found:
        remedy = "give the results of this scene"
        raise InputError(mismatch("predictions", f"scenes {scene_ids}", f"scene {int(scene_name)}", remedy))
    return found


def _of_estimate(estimate: BopEstimate, *, scene_id: int | None) -> Prediction:
    return Prediction(
        frame_id=estimate.image_id,
        object_id=str(estimate.object_id),
        T_cam_obj=estimate.T_cam_obj,
        score=estimate.score,
        scene_id=scene_id,
    )


def _read_lines(path: Path) -> list[Prediction]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        got = getattr(error, "strerror", None) or error
        raise InputError(mismatch(path, got, f"{POSES} or a BOP result file", "check the path")) from error
    return [_prediction(line, what=f"{path} line {n}") for n, line in enumerate(lines, start=1) if line.strip()]


def _prediction(line: str, *, what: str) -> Prediction:
    remedy = "write it as storm-edge track does"
    try:
        entry = _Line.model_validate(parse_json(line))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"]) or "line"
        raise InputError(mismatch(what, f"{where}: {first['msg']}", "the keys of poses.jsonl", remedy)) from error
    except ValueError as error:
        got = f"no JSON ({getattr(error, 'msg', error)})"
        raise InputError(mismatch(what, got, "one JSON object per line", remedy)) from error
    T = None
    if entry.T_cam_obj is not None:
        ragged = len({len(row) for row in entry.T_cam_obj}) != 1
        T = None if ragged else np.array(entry.T_cam_obj, dtype=np.float64)
        if T is None or not is_rigid(T, tolerance=_RIGID_TOLERANCE):
            raise InputError(mismatch(f"{what} T_cam_obj", "no rigid motion", "a 4x4 pose in metres or null", remedy))
    return Prediction(
        frame_id=entry.frame,
        object_id=entry.object,
        T_cam_obj=T,
        score=entry.confidence,
        state=entry.state,
    )
