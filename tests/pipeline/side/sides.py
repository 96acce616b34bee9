"""Objects whose sides a test knows: a mug with a handle, and a box with a mark on one of its faces."""

from __future__ import annotations

import numpy as np

from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, diameter, make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.renderer import render
from storm_edge.objects.bundle import ModelSource, ObjectBundle
from storm_edge.objects.viewpoints import build_viewpoints
from storm_edge.synthetic.primitives import box, revolve, union

K = np.array([[500.0, 0.0, 159.5], [0.0, 500.0, 119.5], [0.0, 0.0, 1.0]])
WALL_M = 0.85
BODY_X_M = -0.015


def mug() -> Mesh:
    """A plain cylinder about z whose axis lies 15 mm off the middle, with a handle towards +x."""
    body = revolve(np.array([[0.035, -0.045], [0.035, 0.045]]), 0.008)
    handle = box((0.03, 0.012, 0.05), 0.006)
    vertices, faces = union((body[0] + [BODY_X_M, 0, 0], body[1]), (handle[0] + [0.035, 0, 0], handle[1]))
    return make_mesh(vertices, faces, colours=np.full((len(vertices), 3), (0.7, 0.2, 0.2)))


def marked_box(mark: tuple[float, float, float] = (0.9, 0.85, 0.2)) -> Mesh:
    """A blue box with a mark high on the side towards +x; turned by half about z it keeps silhouette and surface."""
    vertices, faces = box((0.05, 0.08, 0.12), 0.01)
    is_marked = (vertices[:, 0] > 0.024) & (np.abs(vertices[:, 2] - 0.025) < 0.025)
    colours = np.where(is_marked[:, None], mark, (0.2, 0.3, 0.7))
    return make_mesh(vertices, faces, colours=colours)


def speckled_can(seed: int = 3) -> Mesh:
    """A can with black and white speckles of 5 mm: turned by 15 degrees nothing of its print fits.
    So does nothing of that of another seed."""
    vertices, faces = revolve(np.array([[0.03, -0.05], [0.03, 0.05]]), 0.0025)
    turn = np.floor(np.arctan2(vertices[:, 1], vertices[:, 0]) / 0.2).astype(np.int64)
    height = np.floor(vertices[:, 2] / 0.006).astype(np.int64)
    is_black = np.random.default_rng(seed).random((64, 64))[turn % 64, height % 64] < 0.5
    colours = np.repeat(np.where(is_black, 0.05, 0.95)[:, None], 3, axis=1)
    return make_mesh(vertices, faces, colours=colours)


def bundle_of(mesh: Mesh, symmetries: np.ndarray | None = None) -> ObjectBundle:
    """An object as onboarding would make it, with fewer views."""
    return ObjectBundle(
        object_id="side",
        mesh=mesh,
        mesh_lod=mesh,
        diameter_m=diameter(mesh.vertices),
        T_obj_centre=np.eye(4),
        symmetries=np.eye(4)[None] if symmetries is None else symmetries,
        rotation_grid=np.eye(3)[None],
        viewpoints=build_viewpoints(mesh, subdivisions=2),
        source=ModelSource(name="side.ply", sha256="0" * 64, unit="m"),
    )


def pose(turn_deg: float = 0.0, *, point_m: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """``T_cam_centre`` 0.6 m away, seen a little from above, turned about the object's z through a point."""
    R = exp_so3(np.deg2rad(turn_deg) * np.array([0.0, 0.0, 1.0]))
    point = np.array(point_m)
    return make_T(exp_so3([-2.0, 0.0, 0.0]), [0.0, 0.0, 0.6]) @ make_T(R, point - R @ point)


def picture(mesh: Mesh, T_cam_centre: np.ndarray, index: int = 0) -> Frame:
    """A picture before a grey wall."""
    seen = render(mesh, T_cam_centre, K, (240, 320))
    mask = seen.mask[0] > 0
    rng = np.random.default_rng(index)
    wall = 0.45 + 0.04 * rng.standard_normal((240, 320, 3))
    colour = np.clip(np.where(mask[..., None], seen.colour[0] * 0.9 + 0.05, wall), 0.0, 1.0)
    depth = np.where(mask, seen.depth[0], np.float32(WALL_M)).astype(np.float32)
    return Frame(
        rgb=np.round(colour * 255).astype(np.uint8), depth_m=depth, K=K, index=index, stamp_ns=index * 33_333_333
    )
