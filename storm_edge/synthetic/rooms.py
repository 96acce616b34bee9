"""What is around the objects: textured planes (table, walls, cloths), ray-cast per pixel.

Planes are cheaper than meshes here and carry image textures at full sharpness.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import invert
from storm_edge.synthetic.fields import image_field
from storm_edge.synthetic.layers import Layer
from storm_edge.synthetic.textures import random_colour

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_TEXTURE_PX = 256
_FAR_M = 8.0


@dataclass(frozen=True, kw_only=True)
class Plane:
    """A textured plane or rectangle in the world."""

    T_world_plane: Float64
    """Plane frame to world [m] ``(4, 4)``: x and y lie in the plane, z is its normal."""
    texture: Float32
    """RGB in [0, 1] ``(S, S, 3)``, repeated without end."""
    tile_m: float
    """Side of one repetition [m]."""
    half_m: tuple[float, float] = (np.inf, np.inf)
    """Half extents along x and y [m]."""
    measurable: bool = True
    """Whether the depth sensor sees it; false for what is too far or too shiny."""


def render_planes(planes: list[Plane], T_cam_world: Float64, K: Float64, size_px: tuple[int, int]) -> Layer:
    """Ray-cast the planes; the nearest hit wins, nothing hit is grey and has no depth."""
    height, width = size_px
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    y = (v - np.float32(K[1, 2])) / np.float32(K[1, 1])
    x = (u - np.float32(K[0, 2])) / np.float32(K[0, 0])
    colour = np.full((height, width, 3), 0.4, dtype=np.float32)
    depth = np.full((height, width), np.inf, dtype=np.float32)
    measured = np.zeros((height, width), dtype=bool)
    T_world_cam = invert(T_cam_world)
    for plane in planes:
        T = (invert(plane.T_world_plane) @ T_world_cam).astype(np.float32)
        # A pixel's ray, in the frame of the plane, is origin + z * direction with z the depth that is sought.
        direction = [T[i, 0] * x + T[i, 1] * y + T[i, 2] for i in range(3)]
        slope = np.where(np.abs(direction[2]) < 1e-6, np.float32(1e-6), direction[2])
        z = -T[2, 3] / slope
        a, b = T[0, 3] + z * direction[0], T[1, 3] + z * direction[1]
        hit = (z > 0.05) & (z < np.minimum(depth, _FAR_M))
        hit &= (np.abs(a) <= plane.half_m[0]) & (np.abs(b) <= plane.half_m[1])
        if not hit.any():
            continue
        texels = np.float32(len(plane.texture) / plane.tile_m)
        painted = cv2.remap(
            plane.texture,
            np.mod(a * texels, len(plane.texture)),
            np.mod(b * texels, len(plane.texture)),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        colour = np.where(hit[..., None], painted, colour)
        depth = np.where(hit, z, depth)
        measured = np.where(hit, plane.measurable, measured)
    return Layer(colour=colour, depth=depth, measured=measured)


def random_texture(rng: np.random.Generator) -> Float32:
    """A picture ``(S, S, 3)`` in [0, 1]: plain, cloth, wood, tiles, dots, print or clutter."""
    size = (_TEXTURE_PX, _TEXTURE_PX)
    a, b, c = (random_colour(rng).astype(np.float32) for _ in range(3))
    v, u = np.mgrid[0:_TEXTURE_PX, 0:_TEXTURE_PX].astype(np.float32) / np.float32(_TEXTURE_PX)
    kind = rng.integers(7)
    if kind == 0:
        weight = np.zeros(size, dtype=np.float32)
    elif kind == 1:  # cloth: fine weave
        weight = 0.15 * image_field(rng, size, 1.0) + 0.1 * _contours(rng, 12.0)
    elif kind == 2:  # wood: stretched waves
        rings = u * rng.uniform(4.0, 12.0) + 0.25 * _contours(rng, 40.0) + 0.05 * _contours(rng, 3.0)
        weight = 0.5 + 0.3 * np.sin(2.0 * np.pi * rings)
    elif kind == 3:  # tiles with joints
        cells = float(rng.integers(2, 7))
        joint = rng.uniform(0.02, 0.08)
        weight = ((np.mod(u * cells, 1.0) < joint) | (np.mod(v * cells, 1.0) < joint)).astype(np.float32)
    elif kind == 4:  # dots, like an optical table
        cells, radius = float(rng.integers(6, 20)), rng.uniform(0.1, 0.3)
        offset = np.hypot(np.mod(u * cells, 1.0) - 0.5, np.mod(v * cells, 1.0) - 0.5)
        weight = (offset < radius).astype(np.float32)
    elif kind == 5:  # print: blocks of two colours
        weight = (_contours(rng, rng.uniform(8.0, 40.0)) > rng.uniform(-0.5, 0.8)).astype(np.float32)
    else:  # clutter at several scales
        weight = 0.5 + 0.35 * _contours(rng, rng.uniform(15.0, 60.0)) + 0.2 * _contours(rng, 6.0)
    picture = a + (b - a) * np.clip(weight, 0.0, 1.0)[..., None]
    if rng.random() < 0.4:
        patch = _contours(rng, 50.0) > rng.uniform(0.3, 1.2)
        picture = np.where(patch[..., None], c, picture)
    picture = picture * (1.0 + rng.uniform(0.0, 0.08) * image_field(rng, size, 1.0)[..., None])
    return np.asarray(np.clip(picture, 0.0, 1.0), dtype=np.float32)


def _contours(rng: np.random.Generator, scale_px: float) -> Float32:
    return image_field(rng, (_TEXTURE_PX, _TEXTURE_PX), scale_px, interpolation=cv2.INTER_CUBIC)
