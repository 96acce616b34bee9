"""Writing a mesh as the binary PLY that BOP models are. Reading any mesh file is the job of `objects`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storm_edge.errors import OutputError, mismatch
from storm_edge.geometry.mesh import Mesh

_VERTEX = np.dtype(
    [("position", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 4)],
)
_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])


def write_ply(path: Path, mesh: Mesh, *, units_per_metre: float = 1000.0) -> None:
    """Write vertices, normals, vertex colours (RGBA) and faces as binary little-endian PLY.

    Args:
        path: File to write.
        mesh: Surface [m]; a texture image is not written.
        units_per_metre: Length unit of the file, 1000 for BOP's millimetres.

    Raises:
        OutputError: The file cannot be written.
    """
    vertices = np.zeros(len(mesh.vertices), dtype=_VERTEX)
    vertices["position"] = mesh.vertices * np.float32(units_per_metre)
    vertices["normal"] = mesh.normals
    vertices["colour"][:, :3] = np.round(np.clip(mesh.colours, 0.0, 1.0) * 255.0)
    vertices["colour"][:, 3] = 255
    faces = np.zeros(len(mesh.faces), dtype=_FACE)
    faces["count"] = 3
    faces["corners"] = mesh.faces
    header = "\n".join(
        ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
        + [f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")]
        + [f"property uchar {name}" for name in ("red", "green", "blue", "alpha")]
        + [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header\n"]
    )
    try:
        path.write_bytes(header.encode("ascii") + vertices.tobytes() + faces.tobytes())
    except OSError as error:
        raise OutputError(mismatch(path, error, "a writable file", "choose another output folder")) from error
