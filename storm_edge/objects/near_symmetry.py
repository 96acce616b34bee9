"""Near-symmetries of an object: turns about an axis of its own after which it looks nearly as before.

Found at onboarding from the model alone, by rendering it turned and unturned from many sides. For each axis and turn
it is kept how much of the silhouette stays, how much of the surface stays where both are seen, and how alike the
colours stay there. A turn that changes none of the three cannot be known from an image; one that keeps the silhouette
is a side that tracking may take for the right one, and is worth asking about (`pipeline.side`).

A mug turns about the axis of its body, which is not in the middle of its bounding box. So beside the axes of the
bounding box and of inertia, the axis of revolution that fits most of the surface is tried: normals of a surface of
revolution meet its axis, which is linear in the axis' line coordinates (Pottmann and Wallner, Computational Line
Geometry, 2001), and what does not belong to it, the handle, is weighed down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.errors import ObjectBundleError, mismatch
from storm_edge.geometry.mesh import Mesh, diameter
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.geometry.viewsphere import icosphere, look_at_origin
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import Renderer
from storm_edge.kernels.shading import Lighting

Float64 = NDArray[np.float64]

TURN_COUNT = 24
"""Turns about each axis, 15 degrees apart."""
_SIZE_PX = 48
_DISTANCE = 5.0  # diameters from camera to object
_FILL = 0.8  # the bounding sphere takes this share of the picture
_SAME_SURFACE = 0.04  # diameters: what is no farther apart is the same surface
_SAME_COLOUR = 0.1  # of RGB counted from 0 to 1
_ALIKE_DEG = 10.0  # directions nearer to each other are one axis
_WORTH_ASKING = (
    0.5  # least share of the surface that some turn must keep: what keeps less, its residual doubts anyhow
)
_WORTH_A_LOOK = 0.35  # the same of a few views, from which it may be much less
_GLANCE = 4  # every fourth view first
_FAR_TURNS = 3  # smaller turns than these many steps keep the surface of everything, and tracking corrects them
_ROBUST_STEPS = 8
_ROBUST_SCALE = 0.03  # diameters


@dataclass(frozen=True, kw_only=True)
class NearSymmetries:
    """A axes of an object, and what K equal turns about each leave as it was; the first turn is none.

    Shares are means over views from all around, 0..1.
    """

    directions: Float64
    """Unit vectors along the axes in the centre frame ``(A, 3)``, the one that keeps most of the surface first."""
    points_m: Float64
    """A point on each axis in the centre frame [m] ``(A, 3)``."""
    silhouette: Float64
    """Silhouette that stays, intersection over union ``(A, K)``."""
    surface: Float64
    """Share of both silhouettes in which the surface stays where it was ``(A, K)``."""
    colour: Float64
    """Share of both silhouettes in which surface and colour stay ``(A, K)``."""

    def motions(self, axis: int) -> Float64:
        """The turns about an axis as motions of the centre frame, ``(K, 4, 4)``."""
        return turns_about(self.directions[axis], self.points_m[axis], self.silhouette.shape[1])

    def arrays(self) -> dict[str, Float64]:
        """The fields by name, to be stored in one npz."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], *, what: str) -> NearSymmetries:
        """Inverse of `arrays`.

        Raises:
            ObjectBundleError: An array is missing or does not fit the others.
        """
        remedy = "onboard the object again"
        try:
            found = {f.name: np.ascontiguousarray(arrays[f.name], dtype=np.float64) for f in fields(cls)}
        except KeyError as error:
            raise ObjectBundleError(mismatch(what, f"no array {error}", "one array per field", remedy)) from error
        axes, turns = len(found["directions"]), found["silhouette"].shape[-1]
        for name, array in found.items():
            shape = (axes, 3) if name in ("directions", "points_m") else (axes, turns)
            if array.shape != shape or not np.isfinite(array).all():
                raise ObjectBundleError(mismatch(f"{what} {name}", array.shape, f"finite, {shape}", remedy))
        return cls(**found)


def turns_about(direction: Float64, point_m: Float64, count: int) -> Float64:
    """``count`` equal turns of a whole one about a line, none first, ``(count, 4, 4)``."""
    R = exp_so3(np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)[:, None] * direction)
    return make_T(R, point_m - R @ point_m)


def near_symmetries(mesh: Mesh) -> NearSymmetries:
    """The axes of a mesh in its centre frame about which a turn keeps most of its surface; one at least."""
    size_m = diameter(mesh.vertices)
    views = _Views(mesh, size_m)
    found: list[Any] = []
    for direction, point_m in _candidate_axes(mesh, size_m):
        glance = views.likeness(direction, point_m, every=_GLANCE)
        if found and glance[1, _FAR_TURNS : TURN_COUNT + 1 - _FAR_TURNS].max() < _WORTH_A_LOOK:
            continue
        likeness = views.likeness(direction, point_m)
        far = likeness[1, _FAR_TURNS : TURN_COUNT + 1 - _FAR_TURNS]
        found.append((float(far.max()), float(far.mean()), direction, point_m, likeness))
    found.sort(key=lambda axis: -axis[1])
    kept: list[Any] = []
    for axis in found:
        apart = [abs(float(axis[2] @ other[2])) < np.cos(np.deg2rad(_ALIKE_DEG)) for other in kept]
        if all(apart) and (axis[0] >= _WORTH_ASKING or not kept):
            kept.append(axis)
    silhouette, surface, colour = (np.stack([axis[4][row] for axis in kept]) for row in range(3))
    return NearSymmetries(
        directions=np.stack([axis[2] for axis in kept]),
        points_m=np.stack([axis[3] for axis in kept]),
        silhouette=silhouette,
        surface=surface,
        colour=colour,
    )


def _candidate_axes(mesh: Mesh, size_m: float) -> list[tuple[Float64, Float64]]:
    """Directions and points of axes that may be near-symmetries."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    kept = area > 0.0
    points, normal, area = corners.mean(axis=1)[kept], normal[kept] / area[kept, None], area[kept]
    spread = points - np.average(points, axis=0, weights=area)
    inertia = np.linalg.eigh((spread * area[:, None]).T @ spread)[1].T
    directions: list[Float64] = []
    for direction in (*np.eye(3), *inertia):
        if all(abs(float(direction @ other)) < np.cos(np.deg2rad(_ALIKE_DEG)) for other in directions):
            directions.append(direction)
    axes = [(direction, np.zeros(3)) for direction in directions]
    return axes + [_revolution(points, normal, area, direction, size_m) for direction in directions]


def _revolution(
    points: Float64, normals: Float64, area: Float64, direction: Float64, size_m: float
) -> tuple[Float64, Float64]:
    """The axis of revolution that fits most of a surface, from a first direction: its direction and a point [m].

    A normal at ``p`` meets the line of direction ``d`` and moment ``m`` where ``d . (p x n) + m . n`` is 0.
    """
    arms = np.cross(points, normals)
    moment = np.zeros(3)
    for step in range(_ROBUST_STEPS):
        misses = arms @ direction + normals @ moment
        weight = area / (1.0 + (misses / (_ROBUST_SCALE * size_m)) ** 2)
        dd, dm, mm = (
            (left * weight[:, None]).T @ right for left, right in ((arms, arms), (arms, normals), (normals, normals))
        )
        inverse = np.linalg.pinv(mm, rcond=1e-6, hermitian=True)
        if step >= _ROBUST_STEPS // 2:  # the place first, then the direction too
            turned = np.linalg.eigh(dd - dm @ inverse @ dm.T)[1][:, 0]
            direction = turned if turned @ direction > 0.0 else -turned
        moment = -inverse @ dm.T @ direction
    point = np.cross(direction, moment)
    return direction, np.clip(point, -size_m / 2.0, size_m / 2.0)


class _Views:
    """The object from all around, rendered turned and unturned."""

    def __init__(self, mesh: Mesh, size_m: float) -> None:
        self._size_m = size_m
        distance = _DISTANCE * size_m
        self._T_cam_centre = make_T(look_at_origin(icosphere(0)), np.array([0.0, 0.0, distance]))
        focal_px = _FILL * _SIZE_PX * distance / size_m
        middle = _SIZE_PX / 2 - 0.5
        K = np.array([[focal_px, 0.0, middle], [0.0, focal_px, middle], [0.0, 0.0, 1.0]], dtype=np.float32)
        unlit = Lighting(ambient=1.0, diffuse=0.0)
        self._renderer = Renderer(MeshBuffers.from_mesh(mesh), batch=TURN_COUNT, size_px=_SIZE_PX, lighting=unlit)
        self._K = wp.array(np.broadcast_to(K, (TURN_COUNT, 3, 3)).copy(), dtype=wp.mat33f, device="cpu")

    def likeness(self, direction: Float64, point_m: Float64, *, every: int = 1) -> Float64:
        """What turns about an axis leave, ``(3, K)`` as in `NearSymmetries`, from each ``every``-th view."""
        shares = np.zeros((3, TURN_COUNT))
        turns = turns_about(direction, point_m, TURN_COUNT)
        views = self._T_cam_centre[::every]
        for T in views:
            poses = wp.array((T @ turns).astype(np.float32), dtype=wp.mat44f, device="cpu")
            self._renderer.launch(poses, self._K)
            depth, colour = self._renderer.depth.numpy(), self._renderer.colour.numpy()
            seen = depth > 0.0
            both, either = seen & seen[:1], np.maximum((seen | seen[:1]).sum(axis=(1, 2)), 1)
            same = both & (np.abs(depth - depth[:1]) < _SAME_SURFACE * self._size_m)
            alike = same & (np.abs(colour - colour[:1]).max(axis=3) < _SAME_COLOUR)
            shares += np.stack([where.sum(axis=(1, 2)) / either for where in (both, same, alike)])
        return shares / len(views)
