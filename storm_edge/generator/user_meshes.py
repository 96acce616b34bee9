"""Objects of a user's folder for the pool: read once, reduced to a slot's size, their texture in their vertices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storm_edge.errors import MeshError, mismatch
from storm_edge.generator.pool_objects import PoolObject
from storm_edge.generator.symmetry_search import find_symmetries
from storm_edge.geometry.mesh import Mesh, diameter, make_mesh
from storm_edge.objects.mesh_io import FORMATS, Unit, load_mesh
from storm_edge.objects.surface import bake_texture, from_mesh, to_mesh


def read_meshes(folder: Path, *, unit: Unit, most_faces: int, most_vertices: int) -> list[PoolObject]:
    """Every model of a folder, in the order of their names.

    Args:
        folder: Where PLY, OBJ, GLB and STL files are.
        unit: Their unit of length.
        most_faces: Triangles that a slot has room for.
        most_vertices: Vertices that a slot has room for.

    Raises:
        MeshError: There is no folder, no model in it, or a model cannot be used.
    """
    if not folder.is_dir():
        raise MeshError(mismatch(folder, "no such folder", "a folder of 3D models", "check the path of the pool"))
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in FORMATS)
    if not paths:
        wanted = "at least one " + ", ".join(suffix.lstrip(".").upper() for suffix in FORMATS) + " file"
        raise MeshError(mismatch(folder, "a folder without models", wanted, "name the folder that holds them"))
    return [_as_object(_fitting(path, unit, most_faces, most_vertices)) for path in paths]


def _fitting(path: Path, unit: Unit, most_faces: int, most_vertices: int) -> Mesh:
    """The model with as many triangles as fit; creases split vertices, which may take a second reduction."""
    faces = most_faces
    for _ in range(4):
        mesh = load_mesh(path, unit, max_faces=faces)
        if mesh.texture is not None:
            mesh = to_mesh(bake_texture(from_mesh(mesh)))
        if len(mesh.vertices) <= most_vertices:
            return mesh
        faces = faces // 2
    got = f"{len(mesh.vertices)} vertices of {len(mesh.faces)} triangles"
    raise MeshError(mismatch(path, got, f"at most {most_vertices} vertices", "weld the model's vertices"))


def _as_object(mesh: Mesh) -> PoolObject:
    low, high = mesh.bounds()
    centred = make_mesh(
        mesh.vertices - (low + high) / np.float32(2.0), mesh.faces, colours=mesh.colours, normals=mesh.normals
    )
    diameter_m = diameter(centred.vertices)
    return PoolObject(
        mesh=centred,
        diameter_m=diameter_m,
        symmetries=find_symmetries(centred, diameter_m),
        gloss=(0.2, 15.0),
        kind="read",
    )
