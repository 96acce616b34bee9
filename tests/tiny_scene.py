"""A coloured box before a wall, rendered small and written as a BOP scene, for tests that need a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.writer import BopWriter
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.renderer import render

OBJECT_ID = 3
SIZE_M = (0.10, 0.14, 0.20)
SIZE_PX = (72, 96)
K = np.array([[100.0, 0.0, 47.5], [0.0, 100.0, 35.5], [0.0, 0.0, 1.0]])
WALL_M = 0.9

MODEL = Path("models") / f"obj_{OBJECT_ID:06d}.ply"


def box_mesh() -> Mesh:
    """A box with a colour per side, 12 faces, 24 vertices, centred."""
    import trimesh

    box = trimesh.creation.box(SIZE_M)
    corners = np.asarray(box.vertices)[box.faces.reshape(-1)]
    side = np.argmax(np.abs(box.face_normals), axis=1) * 2 + (box.face_normals.sum(axis=1) > 0.0)
    palette = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=np.float32)
    return make_mesh(corners, np.arange(36).reshape(-1, 3), colours=np.repeat(palette[side], 3, axis=0))


def pose(index: int) -> NDArray[np.float64]:
    """``T_cam_obj`` of frame ``index``: a slow turn and drift, 0.5 m in front of the camera."""
    return make_T(exp_so3([0.5, 0.3 + 0.02 * index, 0.1]), [0.002 * index, 0.0, 0.5])


def write_tiny_scene(
    path: Path,
    *,
    frame_count: int = 2,
    edit: Callable[[Frame], Frame] = lambda frame: frame,
    edit_mask: Callable[[NDArray[np.bool_]], NDArray[np.bool_]] = lambda mask: mask,
) -> Path:
    """Write the scene with its model; ``edit`` may damage frames and masks on the way."""
    mesh = box_mesh()
    with BopWriter(path) as writer:
        for index in range(frame_count):
            picture = render(mesh, pose(index), K, SIZE_PX)
            seen = picture.mask[0] > 0
            rgb = np.where(seen[..., None], picture.colour[0] * 255.0, 90.0).astype(np.uint8)
            depth_m = np.where(seen, picture.depth[0], np.float32(WALL_M))
            frame = edit(Frame(rgb=rgb, depth_m=depth_m, K=K, index=index))
            label = GroundTruth(object_id=OBJECT_ID, T_cam_obj=pose(index))
            writer.add(frame, [label], masks=[seen], masks_visib=[edit_mask(seen)])
        writer.add_model(OBJECT_ID, mesh)
    return path
