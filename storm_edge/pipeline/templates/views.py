"""Templates of an object: per view a few points of its surface with normals, and points beside its outline.

Made of the mesh in a tenth of a second; nothing in them is random. They are metric, so that
the depth of the place where one is put gives its size in the image: no scales are tried. The idea of comparing
surface normals and outlines at few points of many views is LINE-MOD's (Hinterstoisser et al., PAMI 2012).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import make_T
from storm_edge.geometry.viewsphere import icosphere, look_at_origin, reduce_by_symmetry, rotation_grid
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.kernels.segment_inputs.surface_normals import surface_normals
from storm_edge.kernels.shading import Lighting
from storm_edge.pipeline.templates.config import TemplateConfig

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_UNLIT = Lighting(ambient=1.0, diffuse=0.0)  # fixed: colours as the model has them


@dataclass(frozen=True, kw_only=True)
class ShapeTemplates:
    """V views. All points are relative to the object's centre, along the camera's axes [m]."""

    rotations: Float64
    """``R_cam_obj`` of each view, ``(V, 3, 3)``."""
    surface: Float32
    """Points of the surface, ``(V, S, 3)``; any first few of them are spread over it."""
    normals: Float32
    """Their unit normals towards the camera, ``(V, S, 3)``."""
    colours: Float32
    """Their colours without light, RGB in [0, 1] ``(V, S, 3)``."""
    anchors: NDArray[np.int64]
    """Which of them a view is placed by, ``(V, A)``."""
    beside: Float32
    """Points beside the outline, at the depth of the rim, ``(V, B, 3)``."""
    outline: Float32
    """The points of the outline that they are beside, ``(V, B, 3)``."""
    outwards: Float32
    """Direction in the image across the outline there, unit, ``(V, B, 2)``."""

    def __len__(self) -> int:
        """How many views."""
        return len(self.rotations)


def build_templates(
    mesh: MeshBuffers, symmetries: Float64, diameter_m: float, config: TemplateConfig
) -> ShapeTemplates:
    """Render the model from all sides and keep points of every view.

    Args:
        mesh: The model in its centred frame; its device is used.
        symmetries: Motions of the object onto itself ``(S, 4, 4)``, identity first.
        diameter_m: Of the object [m].
        config: Views and points.
    """
    grid = rotation_grid(subdivisions=config.subdivisions, inplane_count=config.inplane_count)
    kept = np.arange(len(grid))
    if len(symmetries) > 1:
        rotations = reduce_by_symmetry(grid, symmetries, min_angle_deg=config.least_apart_deg)
        kept = np.einsum("nij,gij->ng", rotations, grid).argmax(axis=1)
    upright = [view or {} for view in _upright_views(mesh, diameter_m, config)]
    number = kept // config.inplane_count
    seen = np.array([bool(upright[n]) for n in number], dtype=bool)
    kept, number = kept[seen], number[seen]
    if not len(kept):
        return _no_templates(config)
    # A turn about the line of sight turns the points, and needs no picture of its own.
    turns = grid[kept] @ look_at_origin(icosphere(config.subdivisions))[number].transpose(0, 2, 1)

    def turned(name: str) -> Float32:
        arrays = np.stack([upright[n][name] for n in number])
        size = arrays.shape[-1]
        return np.asarray(np.einsum("vij,vpj->vpi", turns[:, :size, :size], arrays), dtype=np.float32)

    return ShapeTemplates(
        rotations=grid[kept],
        surface=turned("surface"),
        normals=turned("normals"),
        colours=np.stack([upright[n]["colours"] for n in number]),
        anchors=np.stack([upright[n]["anchors"] for n in number]),
        beside=turned("beside"),
        outline=turned("outline"),
        outwards=turned("outwards"),
    )


def _upright_views(
    mesh: MeshBuffers, diameter_m: float, config: TemplateConfig
) -> list[dict[str, NDArray[np.generic]] | None]:
    """The arrays of every direction's view without a turn; None where too little is seen."""
    rotations = look_at_origin(icosphere(config.subdivisions))
    distance_m = config.distance_diameters * diameter_m
    focal_px = config.size_px * distance_m / (config.view_diameters * diameter_m)
    middle = (config.size_px - 1) / 2.0
    K = np.array([[focal_px, 0.0, middle], [0.0, focal_px, middle], [0.0, 0.0, 1.0]])
    t = np.array([0.0, 0.0, distance_m])
    views: list[dict[str, NDArray[np.generic]] | None] = []
    for start in range(0, len(rotations), config.chunk):
        part = rotations[start : start + config.chunk]
        images = render(mesh, make_T(part, t), K, config.size_px, lighting=_UNLIT)
        views += [_view(*of, K, t, config) for of in zip(images.depth, images.colour, strict=True)]
    return views


def _no_templates(config: TemplateConfig) -> ShapeTemplates:
    """Of a model of which too little can be seen from every side."""
    surface = np.zeros((0, config.surface_count, 3), dtype=np.float32)
    outline = np.zeros((0, config.outline_count, 3), dtype=np.float32)
    return ShapeTemplates(
        rotations=np.zeros((0, 3, 3)),
        surface=surface,
        normals=surface,
        colours=surface,
        anchors=np.zeros((0, config.anchor_count), dtype=np.int64),
        beside=outline,
        outline=outline,
        outwards=outline[..., :2],
    )


def _view(
    depth: Float32, colour: Float32, K: Float64, t: Float64, config: TemplateConfig
) -> dict[str, NDArray[np.generic]] | None:
    """The arrays of one view from its depth ``(N, N)`` and colours ``(N, N, 3)``; None where too little is seen."""
    mask = depth > 0.0
    if not mask.any():  # a card on edge
        return None
    normals = surface_normals(depth, K)
    v, u = np.nonzero((normals**2).sum(axis=2) > 0.5)  # fixed: a unit vector, or none
    beside = _beside(depth, mask, K, config)
    if len(v) < config.anchor_count or beside is None:
        return None
    order = _spread(np.stack([u, v], axis=1).astype(np.float64), config.surface_count)
    v, u = v[order], u[order]
    surface = _points(u, v, depth[v, u], K) - t
    facing = -normals[v, u, 2]
    steep = facing < config.least_facing
    outline, outwards = beside
    return {
        "surface": surface.astype(np.float32),
        "normals": normals[v, u],
        "colours": colour[v, u],
        "anchors": _anchors(surface, steep, config.anchor_count),
        "beside": (outline[:, 1] - t).astype(np.float32),
        "outline": (outline[:, 0] - t).astype(np.float32),
        "outwards": outwards.astype(np.float32),
    }


def _beside(depth: Float32, mask: Bool, K: Float64, config: TemplateConfig) -> tuple[Float64, Float64] | None:
    """Points of the outline and beside it [m] ``(B, 2, 3)``, and the directions across it ``(B, 2)``."""
    byte = mask.astype(np.uint8)
    inside, outside = (cv2.distanceTransform(of, cv2.DIST_L2, cv2.DIST_MASK_5) for of in (byte, 1 - byte))
    distance = np.asarray(inside, np.float32) - np.asarray(outside, np.float32)
    slope_v, slope_u = np.gradient(cv2.GaussianBlur(distance, (0, 0), 1.0))  # fixed: a pixel's stairs
    rim = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    v, u = np.nonzero(rim)
    if len(v) == 0:
        return None
    length = np.maximum(np.hypot(slope_u, slope_v)[v, u], 1e-6)
    out = -np.stack([slope_u[v, u], slope_v[v, u]], axis=1) / length[:, None]
    place = np.stack([u, v], axis=1) + config.beside_px * out
    columns, rows = np.clip(np.rint(place), 0, len(mask) - 1).astype(np.int64).T
    clear = ~mask[rows, columns]  # not where the model goes on, at a bend
    if not clear.any():
        return None
    v, u, out, place = v[clear], u[clear], out[clear], place[clear]
    order = _spread(np.stack([u, v], axis=1).astype(np.float64), config.outline_count)
    z = depth[v, u][order]
    at_rim = _points(u[order], v[order], z, K)
    outside = _points(place[order, 0], place[order, 1], z, K)
    return np.stack([at_rim, outside], axis=1), out[order]


def _points(u: NDArray[np.generic], v: NDArray[np.generic], z: Float32, K: Float64) -> Float64:
    z64 = z.astype(np.float64)
    return np.stack([(u - K[0, 2]) / K[0, 0] * z64, (v - K[1, 2]) / K[1, 1] * z64, z64], axis=1)


def _spread(points: Float64, count: int) -> NDArray[np.int64]:
    """Indices ``(count,)`` of points far apart, the one nearest to the middle first; repeated if there are few."""
    x, y = np.ascontiguousarray(points.T)

    def square_from(u: float, v: float) -> Float64:
        return np.asarray((x - u) ** 2 + (y - v) ** 2)

    chosen = [int(square_from(x.mean(), y.mean()).argmin())]
    square = square_from(x[chosen[0]], y[chosen[0]])
    while len(chosen) < min(count, len(points)):
        chosen.append(int(square.argmax()))
        np.minimum(square, square_from(x[chosen[-1]], y[chosen[-1]]), out=square)
    return np.resize(np.array(chosen, dtype=np.int64), count)


def _anchors(surface: Float64, steep: Bool, count: int) -> NDArray[np.int64]:
    """Which points place a view, ``(count,)``: the middle, and others far apart."""
    usable = np.flatnonzero(~steep)
    if len(usable) < count:
        usable = np.arange(len(surface))
    return usable[_spread(surface[usable, :2], count)]
