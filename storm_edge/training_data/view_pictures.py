"""Reference views of an object as pictures: rendered from its model and kept, and read again.

A folder of them has upstream's names, ``nature/angle_000.png`` to ``angle_015.png``, and a ``views.json``, which is
written last and says of which object and model they are. Folders that upstream's scripts rendered have none and are
read, too.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.images import listed, read_rgb, write_png
from storm_edge.choices import LengthUnit
from storm_edge.errors import SceneError, mismatch
from storm_edge.files import sha256, write_atomically
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.objects.mesh_io import load_mesh
from storm_edge.parsing import parse_json
from storm_edge.pipeline.segment.full_som_views import VIEWS, reference_views

NATURE = "nature"
"""Folder of the pictures inside that of an object."""
_SAID = "views.json"
_SUFFIXES = (".png", ".jpg", ".jpeg")


def write_views(model: Path, unit: LengthUnit, folder: Path, *, name: str, device: str = "cpu") -> bool:
    """Render the views of a model into a folder, unless they are there already.

    Args:
        model: The model file.
        unit: Its unit of length.
        folder: Folder of the object, such as ``render/obj_000001``.
        name: The object's name.
        device: Warp device name.

    Returns:
        Whether they were rendered; False where they were there.

    Raises:
        MeshError: The model is no usable surface.
        SceneError: The folder has views of another object or model.
        OutputError: It cannot be written.
    """
    digest = sha256(model.read_bytes())
    if (folder / _SAID).is_file():
        check_views(folder, name=name, model_sha256=digest)
        return False
    pictures = rendered_views(load_mesh(model, unit), device=device)
    (folder / NATURE).mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        write_png(folder / NATURE / f"{view_name(number)}.png", picture)
    content = {"object": name, "model": model.name, "model_sha256": digest, "views": len(pictures)}
    write_atomically(folder / _SAID, (json.dumps(content, indent=2) + "\n").encode())
    return True


def rendered_views(mesh: Mesh, *, device: str = "cpu") -> NDArray[np.uint8]:
    """The views that the segmenter is given at run time, as pictures, uint8 ``(16, 224, 224, 3)``.

    Args:
        mesh: The model; it is centred here.
        device: Warp device name.
    """
    low, high = mesh.bounds()
    centred = make_mesh(
        mesh.vertices - 0.5 * (low + high),
        mesh.faces,
        colours=mesh.colours,
        normals=mesh.normals,
        uv=mesh.uv,
        texture=mesh.texture,
    )
    views = np.moveaxis(reference_views(centred, device=device), 1, -1) * IMAGENET_STD + IMAGENET_MEAN
    return np.asarray(np.rint(np.clip(views, 0.0, 1.0) * 255.0), dtype=np.uint8)


def view_name(number: int) -> str:
    """File name of a view without its suffix."""
    return f"angle_{number:03d}"


def view_paths(folder: Path, *, name: str) -> list[Path]:
    """The sixteen pictures of an object's folder.

    Raises:
        SceneError: One is missing, or they are of another object.
    """
    if (folder / _SAID).is_file():
        check_views(folder, name=name)
    found = []
    for number in range(VIEWS):
        stem = folder / NATURE / view_name(number)
        path = next((stem.with_suffix(s) for s in _SUFFIXES if stem.with_suffix(s).is_file()), None)
        if path is None:
            there = f" among {listed(folder / NATURE)}" if (folder / NATURE).is_dir() else "; no such folder"
            expected = f"{view_name(0)}.png to {view_name(VIEWS - 1)}.png"
            remedy = f"render views of {name}: storm-edge data views"
            raise SceneError(mismatch(folder / NATURE, f"no {view_name(number)}.png{there}", expected, remedy))
        found.append(path)
    return found


def read_views(folder: Path, *, name: str) -> list[NDArray[np.uint8]]:
    """The pictures themselves, each ``(H, W, 3)``; raises as `view_paths`, and for unreadable ones."""
    return [read_rgb(path) for path in view_paths(folder, name=name)]


def check_views(folder: Path, *, name: str, model_sha256: str | None = None) -> None:
    """Refuse views of another object, or of another state of its model.

    Raises:
        SceneError: They are, or the file that says of what they are is broken.
    """
    path = folder / _SAID
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        said, digest = str(content["object"]), str(content["model_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = "a file that storm-edge data wrote"
        raise SceneError(mismatch(path, error, expected, "remove the folder and render it again")) from error
    if said != name:
        raise SceneError(mismatch(folder, f"views of {said}", f"views of {name}", "name the folder of that object"))
    if model_sha256 is not None and digest != model_sha256:
        got = f"views of another state of {content.get('model')}"
        raise SceneError(mismatch(folder, got, "those of the model that is there", "choose another folder"))
