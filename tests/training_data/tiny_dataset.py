"""A BOP dataset of a few tiny scenes of one or two objects, for tests that need a whole one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from storm_edge.objects.ply import write_ply
from tests.tiny_scene import MODEL, OBJECT_ID, box_mesh, write_tiny_scene

SPLIT = "train_pbr"
SECOND = 5
"""Number of the second object: the same box under another name."""


def write_tiny_dataset(path: Path, *, scenes: int = 2, frames: int = 2, objects: int = 1) -> Path:
    """Write the dataset: ``train_pbr/000001/ ...`` and ``models/``. Odd scenes are of the second object."""
    (path / "models").mkdir(parents=True)
    for number in range(1, scenes + 1):
        scene = write_tiny_scene(path / SPLIT / f"{number:06d}", frame_count=frames)
        if not (path / MODEL).exists():
            shutil.copy(scene / MODEL, path / MODEL)
        shutil.rmtree(scene / "models")
        if objects > 1 and number % 2 == 0:
            labels = json.loads((scene / "scene_gt.json").read_text())
            for entries in labels.values():
                entries[0]["obj_id"] = SECOND
            (scene / "scene_gt.json").write_text(json.dumps(labels))
    if objects > 1:
        write_ply(path / "models" / f"obj_{SECOND:06d}.ply", box_mesh())
    return path


__all__ = ["OBJECT_ID", "SECOND", "SPLIT", "write_tiny_dataset"]
