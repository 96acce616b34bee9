"""What a scene folder holds at least; one that lacks some of it is refused before any file is read."""

from __future__ import annotations

from pathlib import Path

from storm_edge.errors import SceneError, mismatch

SMALLEST_SCENE = "rgb/000000.png ..., depth/000000.png ... (16-bit grey) and scene_camera.json"
"""The smallest scene folder, in words."""
_PARTS = {"rgb/": ("rgb*", "gray*"), "depth/": ("depth*",), "scene_camera.json": ("scene_camera*.json",)}
# patterns, of which one is enough; names of several cameras end in that of the camera


def check_complete(path: Path) -> None:
    """Refuse a folder without colour images, depth images or cameras.

    Raises:
        SceneError: Names all that is missing, and the smallest scene folder.
    """
    missing = [name for name, patterns in _PARTS.items() if not any(any(path.glob(p)) for p in patterns)]
    if missing:
        remedy = "add what is missing; the README says what is in these files"
        raise SceneError(mismatch(path, f"no {', no '.join(missing)}", SMALLEST_SCENE, remedy))
