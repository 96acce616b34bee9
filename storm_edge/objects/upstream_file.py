"""Reading a model file as upstream does: with its own mesh library, and the rotations that come of that.

Called by `onboard` for objects that are to be used under the schedule ``parity``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import MeshError, mismatch
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import exp_so3
from storm_edge.geometry.symmetry import ContinuousSymmetry
from storm_edge.geometry.viewsphere import look_at_origin
from storm_edge.objects.upstream_model import UpstreamModel, cluster_rotations, upstream_symmetries

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_INPLANE_COUNT = 6  # fixed: upstream's rotation grid


def load_upstream_model(
    path: Path,
    metres_per_unit: float,
    T_obj_centre: Float64,
    *,
    discrete: Sequence[Float64] = (),
    continuous: Sequence[ContinuousSymmetry] = (),
) -> UpstreamModel:
    """Read a model file by upstream's library and rules (FoundationPose's `datareader.py` and `estimater.py`).

    Args:
        path: The file.
        metres_per_unit: What one unit of length in it is [m].
        T_obj_centre: Centre frame to the frame of the file [m], ``(4, 4)``.
        discrete: Symmetry motions ``(4, 4)`` in the order of `models_info.json`.
        continuous: Axes of revolution in that order.

    Raises:
        MeshError: Upstream cannot open it: several parts, or a texture without its image.
    """
    mesh = _single_mesh(path)
    file_normals = np.array(mesh.vertex_normals, dtype=np.float32)
    # Vertices that were assigned anew have no normals of the file any more: upstream renders the library's own.
    mesh.vertices = np.asarray(mesh.vertices) * metres_per_unit - T_obj_centre[:3, 3]
    colours, uv, texture = _surface_colours(mesh, path)
    made = make_mesh(
        mesh.vertices, mesh.faces, colours=colours, normals=np.array(mesh.vertex_normals), uv=uv, texture=texture
    )
    grid = cluster_rotations(upstream_rotations(), upstream_symmetries(discrete, continuous))
    return UpstreamModel(mesh=made, file_normals=file_normals, rotation_grid=grid)


def _single_mesh(path: Path) -> Any:
    """The file as upstream's library reads it, a `trimesh.Trimesh`."""
    import trimesh

    try:
        loaded: Any = trimesh.load(path)
    except Exception as error:  # whatever the bytes lead that library to; ours has read them before
        reason = " ".join(str(error).split()) or type(error).__name__
        expected = "a model that upstream's library reads"
        raise MeshError(mismatch(path, reason[:120], expected, "onboard without --parity")) from error
    parts = list(loaded.geometry.values()) if isinstance(loaded, trimesh.Scene) else [loaded]
    if len(parts) != 1 or not isinstance(parts[0], trimesh.Trimesh):
        remedy = "join them into one with one material, or onboard without --parity"
        raise MeshError(mismatch(path, f"{len(parts)} parts", "the single mesh that upstream reads", remedy))
    return parts[0]


def _surface_colours(mesh: Any, path: Path) -> tuple[Float32 | None, Float32 | None, NDArray[np.uint8] | None]:
    """Vertex colours, or texture coordinates with their image."""
    visual = mesh.visual
    if visual.kind != "texture":
        return np.asarray(visual.vertex_colors[:, :3], dtype=np.float32) / np.float32(255.0), None, None
    material = visual.material
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    if image is None or visual.uv is None:
        remedy = "put the image beside the model, give vertex colours, or onboard without --parity"
        raise MeshError(mismatch(path, "a material without image", "the texture that upstream renders", remedy))
    return None, np.asarray(visual.uv, dtype=np.float32), np.asarray(image.convert("RGB"), dtype=np.uint8)


def upstream_rotations() -> Float64:
    """FoundationPose's rotation grid before it is reduced, ``R_cam_obj (252, 3, 3)``, in its order.

    The same 42 views and 6 turns in the image as `geometry.viewsphere.rotation_grid`; views come as upstream's mesh
    library makes them, and turns go the other way round. The order decides what clustering keeps.
    """
    import trimesh

    views = look_at_origin(np.asarray(trimesh.creation.icosphere(subdivisions=1).vertices, dtype=np.float64))
    angles = np.arange(_INPLANE_COUNT) * (-2.0 * np.pi / _INPLANE_COUNT)
    turns = exp_so3(angles[:, None] * np.array([0.0, 0.0, 1.0]))
    return np.asarray(np.einsum("kij,njl->nkil", turns, views).reshape(-1, 3, 3))
