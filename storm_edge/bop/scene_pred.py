"""`scene_pred.json`: poses of one scene in the form of `scene_gt.json`, as STORM's evaluation leaves and reads them.

An object keyed by image number; of each image a list of `obj_id`, `cam_R_m2c` (nine numbers row by row) and
`cam_t_m2c` [mm]. Ours have a `score` besides, which STORM's do without: there the order says which is meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from storm_edge.bop.json_file import MM_PER_M, read_numbered, write_json
from storm_edge.bop.labels import label_pose
from storm_edge.bop.results import BopEstimate
from storm_edge.errors import InputError, SceneError, mismatch

SCENE_PRED = "scene_pred.json"
"""Its usual name."""


def write_scene_pred(path: Path, estimates: Iterable[BopEstimate]) -> None:
    """Write the estimates of one scene; images without any are left out.

    Raises:
        OutputError: The file cannot be written.
    """
    images: dict[str, list[dict[str, Any]]] = {}
    for e in estimates:
        entry = {
            "cam_R_m2c": e.T_cam_obj[:3, :3].reshape(-1).tolist(),
            "cam_t_m2c": (e.T_cam_obj[:3, 3] * MM_PER_M).tolist(),
            "obj_id": e.object_id,
            "score": e.score,
        }
        images.setdefault(str(e.image_id), []).append(entry)
    write_json(path, images)


def read_scene_pred(path: Path) -> list[BopEstimate]:
    """Read one; its scene number is that of its folder, or 0.

    Raises:
        InputError: It is missing, or an entry is not a pose.
    """
    scene_id = int(path.parent.name) if path.parent.name.isdecimal() else 0
    found: list[BopEstimate] = []
    try:
        images = read_numbered(path)
    except SceneError as error:
        raise InputError(str(error)) from error
    for image_id, entries in images.items():
        for entry in entries if isinstance(entries, list) else [entries]:
            try:
                found.append(
                    BopEstimate(
                        scene_id=scene_id,
                        image_id=image_id,
                        object_id=int(entry["obj_id"]),
                        score=float(entry.get("score", 1.0)),
                        T_cam_obj=label_pose(entry),
                    )
                )
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                got, expected = f"{type(error).__name__} {error}", "obj_id, cam_R_m2c and cam_t_m2c [mm]"
                raise InputError(mismatch(f"{path} image {image_id}", got, expected, "repair this entry")) from error
    return found
