"""A recording with its model, and its changed copies on disk: folders as a user would have recorded them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mild.changes import (
    BRIGHTER,
    DARKER,
    Change,
    Shot,
    cropped,
    free_border,
    later_start,
    lit,
    mirrored,
    mirrored_info,
    mirrored_mesh,
    saved_as_jpeg,
)
from storm_edge.bop.json_file import read_json, write_json
from storm_edge.bop.scene import BopScene
from storm_edge.bop.writer import BopWriter
from storm_edge.errors import SceneError, mismatch
from storm_edge.geometry.mesh import Mesh
from storm_edge.objects.mesh_io import load_mesh
from storm_edge.objects.ply import write_ply
from storm_edge.objects.surface import bake_texture, from_mesh, to_mesh

MODELS_INFO = "models_info.json"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a scene folder holds."""

    name: str
    """Of the folder."""
    model: Path
    """Its first model; a `models_info.json` lies beside it, or does not."""
    mesh: Mesh
    """That model [m]."""
    shots: tuple[Shot, ...]
    """Its images."""
    depth_scale: float
    """Millimetres per step of its depth images."""


def scene_paths(data: Path) -> list[Path]:
    """Scene folders of a folder that have a model.

    Raises:
        SceneError: There is none.
    """
    found = [] if not data.is_dir() else sorted(data.iterdir())
    paths = [p for p in found if (p / "scene_camera.json").is_file() and any(p.glob("models/obj_*.ply"))]
    if not paths:
        raise SceneError(mismatch(data, "no scene", "folders of scenes with models", "name the folder above them"))
    return paths


def open_scene(path: Path) -> BopScene:
    """A scene with its labels, be they estimates."""
    pseudo = "scene_gt_pseudo.json"
    return BopScene(path, labels=pseudo if (path / pseudo).is_file() else None)


def read_recording(path: Path) -> Recording:
    """Read all of a scene folder."""
    scene = open_scene(path)
    model = min((path / "models").glob("obj_*.ply"))
    shots = []
    for frame_id in scene.frame_ids:
        labels = tuple(scene.ground_truth(frame_id)) if scene.is_labelled(frame_id) else ()
        is_masked = bool(labels) and all(scene.has_mask(frame_id, index) for index in range(len(labels)))
        masks = tuple(scene.mask_visib(frame_id, index) for index in range(len(labels))) if is_masked else ()
        shots.append(Shot(frame=scene.frame(frame_id), labels=labels, masks=masks))
    cameras = read_json(path / "scene_camera.json")
    scale = float(cameras[str(scene.frame_ids[0])].get("depth_scale", 1.0))
    return Recording(name=path.name, model=model, mesh=load_mesh(model, "mm"), shots=tuple(shots), depth_scale=scale)


def changed(recording: Recording, change: Change) -> tuple[Shot, ...] | None:
    """The images of a changed recording; None where the change cannot be made of it."""
    shots = recording.shots
    if change is Change.JPEG:
        return tuple(saved_as_jpeg(shot) for shot in shots)
    if change is Change.LATER:
        place = later_start([bool(shot.masks) for shot in shots])
        return None if place is None else shots[place:]
    if change is Change.MIRRORED:
        return tuple(mirrored(shot) for shot in shots)
    if change in (Change.DARKER, Change.BRIGHTER):
        factor = DARKER if change is Change.DARKER else BRIGHTER
        return tuple(lit(shot, factor) for shot in shots)
    if change is Change.CROPPED:
        cut = free_border(shots, recording.mesh.vertices)
        return tuple(cropped(shot, cut) for shot in shots) if cut else None
    return shots


def write_scene_copy(shots: tuple[Shot, ...], recording: Recording, out: Path) -> None:
    """Write images, labels and masks as a scene folder."""
    with BopWriter(out, depth_scale=recording.depth_scale) as writer:
        for shot in shots:
            writer.add(shot.frame, shot.labels, masks_visib=shot.masks)


def write_mirrored_model(recording: Recording, folder: Path) -> Path:
    """Write the mirrored model, its texture baked to its vertices, and what is known of its symmetries."""
    mesh = recording.mesh if recording.mesh.texture is None else to_mesh(bake_texture(from_mesh(recording.mesh)))
    folder.mkdir(parents=True)
    path = folder / recording.model.name
    write_ply(path, mirrored_mesh(mesh))
    info = recording.model.parent / MODELS_INFO
    if info.is_file():
        entries = json.loads(info.read_text(encoding="utf-8"))
        write_json(folder / MODELS_INFO, {number: mirrored_info(entry) for number, entry in entries.items()})
    return path
