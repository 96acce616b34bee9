"""A BOP dataset of small boxes before a wall, two of three objects in each of three scenes, for tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.writer import BopWriter
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.renderer import render
from tests.tiny_scene import SIZE_PX, WALL_M, K

SCENES: dict[str, tuple[int, ...]] = {"000001": (1, 2), "000002": (2, 3), "000010": (1, 3)}
"""Which objects a scene has."""
SIZES_M = {1: (0.06, 0.09, 0.13), 2: (0.10, 0.07, 0.12), 3: (0.05, 0.14, 0.08)}
PLACES_M = (-0.11, 0.11)
FRAMES = 2


def mesh_of(number: int) -> Mesh:
    """A box of its own size and colours, 24 vertices."""
    import trimesh

    box = trimesh.creation.box(SIZES_M[number])
    corners = np.asarray(box.vertices)[box.faces.reshape(-1)]
    side = np.argmax(np.abs(box.face_normals), axis=1) * 2 + (box.face_normals.sum(axis=1) > 0.0)
    palette = np.roll(
        np.array([[1, 0, 0], [0.9, 0.2, 0], [1, 0, 0.3], [0.8, 0, 0], [1, 0.3, 0.2], [0.7, 0.1, 0]]), number, 1
    )
    colours = np.repeat(palette[side].astype(np.float32), 3, axis=0)
    return make_mesh(corners, np.arange(36).reshape(-1, 3), colours=colours)


def pose_of(number: int, place: int, frame: int) -> np.ndarray:
    """``T_cam_obj`` of an object at one of two places."""
    turn = exp_so3([0.4, 0.3 + 0.02 * frame, 0.1 * number])
    return make_T(turn, [PLACES_M[place] + 0.002 * frame, 0.0, 0.55])


def write_tiny_dataset(path: Path) -> Path:
    """Write the dataset; its split is `test`."""
    meshes = {number: mesh_of(number) for number in SIZES_M}
    for name, numbers in SCENES.items():
        scene = path / "test" / name
        scene.parent.mkdir(parents=True, exist_ok=True)
        with BopWriter(scene) as writer:
            for index in range(FRAMES):
                rgb = np.full((*SIZE_PX, 3), 90, dtype=np.uint8)
                depth_m = np.full(SIZE_PX, WALL_M, dtype=np.float32)
                labels, masks = [], []
                for place, number in enumerate(numbers):
                    T = pose_of(number, place, index)
                    picture = render(meshes[number], T, K, SIZE_PX)
                    seen = picture.mask[0] > 0
                    rgb = np.where(seen[..., None], picture.colour[0] * 255.0, rgb).astype(np.uint8)
                    depth_m = np.where(seen, picture.depth[0], depth_m)
                    labels.append(GroundTruth(object_id=number, T_cam_obj=T))
                    masks.append(seen)
                writer.add(Frame(rgb=rgb, depth_m=depth_m, K=K, index=index), labels, masks=masks, masks_visib=masks)
            for number, mesh in meshes.items():
                writer.add_model(number, mesh)
        if (path / "models").exists():
            shutil.rmtree(scene / "models")
        else:
            (scene / "models").rename(path / "models")
        if (scene / "SHA256SUMS").exists():
            (scene / "SHA256SUMS").unlink()
    return path
