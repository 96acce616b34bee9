"""Sparse viewpoint models: per viewing direction a few hundred contour and surface points of the object.

Made once per object at onboarding by rendering it from an icosphere of directions; read every frame by
`pipeline.refine.geometric`, which takes the view nearest to the current one and never renders. The idea is that of
SRT3D and ICG (Stoiber et al., IJCV and CVPR 2022). All points are in the centre frame, in metres.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import cv2
import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.errors import MeshError, ObjectBundleError, mismatch
from storm_edge.geometry.mesh import Mesh, diameter
from storm_edge.geometry.se3 import Float64, make_T
from storm_edge.geometry.viewsphere import icosphere, look_at_origin
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import Renderer
from storm_edge.kernels.shading import Lighting

Float32 = NDArray[np.float32]

POINT_COUNT = 200
"""Contour points, and surface points, per view."""
_IMAGE_PX = 256
_FILL = 0.9  # the object's bounding sphere takes this share of the picture
_DISTANCE = 5.0  # diameters from camera to object: 0.8 m for a mug; the contour hardly depends on it
_RENDER_BATCH = 32
_MARGIN_PX = 96  # longest line followed on either side of the contour: 0.4 diameters
_MIN_FACING = 0.2  # cosine between surface normal and line of sight


@dataclass(frozen=True, kw_only=True)
class SparseViewpoints:
    """V views of P contour and P surface points each; float32 arrays."""

    directions: Float32
    """Unit directions from the object's centre to the camera, shape ``(V, 3)``."""
    contour_points: Float32
    """Points on the occluding contour [m], holes included, shape ``(V, P, 3)``."""
    contour_normals: Float32
    """Unit vectors across the contour, outwards, perpendicular to the direction, shape ``(V, P, 3)``."""
    contour_distances: Float32
    """Length of unbroken foreground inwards and background outwards [m], shape ``(V, P, 2)``."""
    surface_points: Float32
    """Visible surface points away from creases and the outline [m], shape ``(V, P, 3)``."""
    surface_normals: Float32
    """Their outward unit normals, shape ``(V, P, 3)``."""
    surface_colours: Float32
    """Their unlit colour, RGB in [0, 1], shape ``(V, P, 3)``."""

    def arrays(self) -> dict[str, Float32]:
        """The fields by name, to be stored in one npz."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.floating]], *, what: str = "viewpoints") -> SparseViewpoints:
        """Inverse of `arrays`; other entries of the mapping are ignored.

        Raises:
            ObjectBundleError: An array is missing or does not fit the others.
        """
        remedy = "onboard the object again"
        try:
            found = {f.name: np.ascontiguousarray(arrays[f.name], dtype=np.float32) for f in fields(cls)}
        except KeyError as error:
            raise ObjectBundleError(mismatch(what, f"no array {error}", "one array per field", remedy)) from error
        V, P = found["contour_points"].shape[:2]
        for name, array in found.items():
            width = 2 if name == "contour_distances" else 3
            shape = (V, 3) if name == "directions" else (V, P, width)
            if array.shape != shape:
                raise ObjectBundleError(mismatch(f"{what} {name}", array.shape, shape, remedy))
        return cls(**found)


def build_viewpoints(
    mesh: Mesh,
    *,
    subdivisions: int = 3,
    point_count: int = POINT_COUNT,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SparseViewpoints:
    """Render ``mesh`` from all sides and keep sparse points of every view.

    Args:
        mesh: Model in the centre frame [m].
        subdivisions: Icosphere level: 2 gives 162 views (18 deg apart), 3 gives 642 (9 deg).
        point_count: Points of either kind per view.
        seed: Of the choice of surface points.
        progress: Called with views done and views in all.

    Raises:
        MeshError: A view shows no surface (the mesh is degenerate).
    """
    directions = icosphere(subdivisions)
    size_m = diameter(mesh.vertices)
    distance = _DISTANCE * size_m
    R_cam_obj = look_at_origin(directions)
    T_cam_centre = make_T(R_cam_obj, np.array([0.0, 0.0, distance]))
    focal_px = _FILL * _IMAGE_PX * distance / size_m
    K = np.array([[focal_px, 0.0, _IMAGE_PX / 2 - 0.5], [0.0, focal_px, _IMAGE_PX / 2 - 0.5], [0.0, 0.0, 1.0]])
    rng = np.random.default_rng(seed)

    unlit = Lighting(ambient=1.0, diffuse=0.0)
    renderer = Renderer(MeshBuffers.from_mesh(mesh), batch=_RENDER_BATCH, size_px=_IMAGE_PX, lighting=unlit)
    K_batch = wp.array(np.broadcast_to(K, (_RENDER_BATCH, 3, 3)).astype(np.float32), dtype=wp.mat33f, device="cpu")
    T_batch = wp.zeros(_RENDER_BATCH, dtype=wp.mat44f, device="cpu")
    views: list[dict[str, Float32]] = []
    for start in range(0, len(directions), _RENDER_BATCH):
        T_part = T_cam_centre[start : start + _RENDER_BATCH]
        T_batch.numpy()[: len(T_part)] = T_part
        renderer.launch(T_batch, K_batch, len(T_part))
        xyz, colour, mask = renderer.xyz.numpy(), renderer.colour.numpy(), renderer.mask.numpy()
        for i, T in enumerate(T_part):
            if not mask[i].any():
                raise MeshError(
                    mismatch("mesh", "a view without surface", "a solid object", "check the model's faces")
                )
            views.append(
                _contour(xyz[i], mask[i], T, point_count, focal_px)
                | _surface(xyz[i], colour[i], mask[i], T, point_count, rng)
            )
            if progress is not None:
                progress(len(views), len(directions))
    stacked = {name: np.stack([view[name] for view in views]) for name in views[0]}
    return SparseViewpoints.from_arrays(stacked | {"directions": directions.astype(np.float32)})


def _contour(
    xyz: Float32, mask: NDArray[np.uint8], T_cam_centre: Float64, count: int, focal_px: float
) -> dict[str, Float32]:
    """Contour points of one view, spread evenly along all outlines (a handle's hole too)."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    traced = np.concatenate([np.asarray(outline[:, 0], dtype=np.int64) for outline in outlines])
    traced = traced[mask[traced[:, 1], traced[:, 0]] != 0]
    pixels = traced[np.linspace(0, len(traced), count, endpoint=False).astype(int)]
    x, y = pixels.T

    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.0)
    slope = (cv2.Sobel(blurred, cv2.CV_32F, 1, 0)[y, x], cv2.Sobel(blurred, cv2.CV_32F, 0, 1)[y, x])
    gradient = np.stack(slope, axis=1).astype(np.float64)
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    normal = np.where(length > 1e-6, -gradient / np.maximum(length, 1e-6), [1.0, 0.0])

    # A traced pixel has its centre inside; the edge lies beyond it by half a pixel along the steeper axis on average.
    edge_px = 0.5 * np.abs(normal).max(axis=1, keepdims=True)
    metres_per_px = xyz[y, x, 2:] / focal_px
    R = T_cam_centre[:3, :3]
    points_cam = xyz[y, x] + np.pad(normal * edge_px * metres_per_px, ((0, 0), (0, 1)))
    padded = np.pad(mask, _MARGIN_PX)
    # Measured from the edge, half a pixel outside the traced one, to the border of the first pixel of the other kind.
    runs = np.stack([_run(padded, pixels, -normal, 1), _run(padded, pixels, normal, 0) - 1.0], axis=1)
    return {
        "contour_points": ((points_cam - T_cam_centre[:3, 3]) @ R).astype(np.float32),
        "contour_normals": (np.pad(normal, ((0, 0), (0, 1))) @ R).astype(np.float32),
        "contour_distances": (runs * metres_per_px).astype(np.float32),
    }


def _run(padded: NDArray[np.uint8], pixels: NDArray[np.int64], direction: Float64, value: int) -> Float64:
    """Distance ``(P,)`` [px] from each start along ``direction`` to where the mask loses ``value``, or the margin."""
    # From two pixels on: a traced start may touch the edge's own staircase.
    steps = np.arange(2, _MARGIN_PX)
    xy = np.rint(pixels[:, None] + direction[:, None] * steps[:, None]).astype(np.int64) + _MARGIN_PX
    other = padded[xy[..., 1], xy[..., 0]] != value
    first = np.where(other.any(axis=1), other.argmax(axis=1), len(steps))
    return np.asarray(first + 2.0)


def _surface(
    xyz: Float32,
    colour: Float32,
    mask: NDArray[np.uint8],
    T_cam_centre: Float64,
    count: int,
    rng: np.random.Generator,
) -> dict[str, Float32]:
    """Random visible surface points of one view with the geometric normal of the rendered surface."""
    y, x = np.nonzero(cv2.erode(mask, np.ones((5, 5), np.uint8)))
    if len(y) == 0:  # thinner than five pixels everywhere: take what there is
        y, x = np.nonzero(mask)
    tried = rng.permutation(len(y))[: 3 * count]
    y, x = y[tried], x[tried]
    # Differences over two pixels of the rendered points: true on any mesh, whatever its vertex normals say.
    du = xyz[y, np.minimum(x + 1, mask.shape[1] - 1)] - xyz[y, x - 1]
    dv = xyz[np.minimum(y + 1, mask.shape[0] - 1), x] - xyz[y - 1, x]
    normal = np.cross(dv.astype(np.float64), du.astype(np.float64))
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    # Left out: jumps in depth and grazing surface, where the plane is no good; their normals turn away.
    ray = xyz[y, x] / np.linalg.norm(xyz[y, x], axis=1, keepdims=True)
    facing = -np.sum(normal * ray, axis=1)
    order = np.flatnonzero(facing > _MIN_FACING)
    if len(order) == 0:
        order = np.argsort(-facing)
    chosen = np.resize(order, count)
    y, x, normal = y[chosen], x[chosen], normal[chosen]
    R = T_cam_centre[:3, :3]
    return {
        "surface_points": ((xyz[y, x] - T_cam_centre[:3, 3]) @ R).astype(np.float32),
        "surface_normals": (normal @ R).astype(np.float32),
        "surface_colours": colour[y, x].astype(np.float32),
    }
