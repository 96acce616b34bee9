"""What `scene_gt.json` and `scene_gt_info.json` say: poses of objects, and how much of each is visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.json_file import MM_PER_M, read_numbered
from storm_edge.errors import SceneError, mismatch
from storm_edge.geometry.se3 import is_rigid, make_T

Float64 = NDArray[np.float64]
BoolImage = NDArray[np.bool_]

_RIGID_TOLERANCE = 1e-2  # label files hold rotations with few digits; anything worse is not a rotation


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """One labelled object in one image."""

    object_id: int
    """Number of the model, as in `models/obj_NNNNNN.ply`."""
    T_cam_obj: Float64
    """Object to camera [m], shape ``(4, 4)``."""


def read_labels(path: Path) -> dict[int, list[GroundTruth]]:
    """Labels [m] of every image the file lists."""
    return {key: _image_labels(items, what=f"{path} image {key}") for key, items in read_numbered(path).items()}


def _image_labels(items: Sequence[dict[str, Any]], *, what: str) -> list[GroundTruth]:
    try:
        return [GroundTruth(object_id=int(item["obj_id"]), T_cam_obj=label_pose(item)) for item in items]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        got = f"{type(error).__name__} {error}"
        raise SceneError(mismatch(what, got, "cam_R_m2c, cam_t_m2c [mm] and obj_id", "repair this entry")) from error


def read_visible_shares(path: Path) -> dict[int, list[float]]:
    """Visible share of every label by image; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        return {key: [float(item["visib_fract"]) for item in items] for key, items in read_numbered(path).items()}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        got = f"{type(error).__name__} {error}"
        raise SceneError(mismatch(path, got, "visib_fract of every label", "repair or remove it")) from error


def label_pose(item: dict[str, Any]) -> Float64:
    """The pose ``(4, 4)`` [m] of an entry with ``cam_R_m2c`` and ``cam_t_m2c`` [mm].

    Raises:
        KeyError, TypeError, ValueError: There is none.
    """
    R = np.array(item["cam_R_m2c"], dtype=np.float64).reshape(3, 3)
    t = np.array(item["cam_t_m2c"], dtype=np.float64).reshape(3)
    T = make_T(R, t / MM_PER_M)
    if not is_rigid(T, tolerance=_RIGID_TOLERANCE):
        raise ValueError("cam_R_m2c is not a rotation")
    return T


def label_info(whole: BoolImage, visible: BoolImage, depth_m: NDArray[np.float32]) -> dict[str, Any]:
    """The `scene_gt_info.json` entry of one label."""
    whole_count, visible_count = int(whole.sum()), int(visible.sum())
    return {
        "bbox_obj": _box(whole),
        "bbox_visib": _box(visible),
        "px_count_all": whole_count,
        "px_count_valid": int((whole & (depth_m > 0.0)).sum()),
        "px_count_visib": visible_count,
        "visib_fract": visible_count / whole_count if whole_count else 0.0,
    }


def _box(mask: BoolImage) -> list[int]:
    """Bounding box ``x, y, width, height`` [px]; all -1 where the mask is empty (BOP's rule)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [-1, -1, -1, -1]
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]
