"""A slow renderer in plain NumPy, float64: every pixel's ray against every triangle and plane, lit by the formula.

What `storm_edge.generator.raster` and `shading` are held against. Rays are cast in 3D (Möller and Trumbore 1997), so
nothing of the rasteriser's projection, keys or interpolation on the screen is shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.scene_renderer import SceneInput
from storm_edge.generator.shading import BRIGHTEST_KEY
from storm_edge.generator.surface_points import CONTACT_M, FAR_M

Float64 = NDArray[np.float64]
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class ReferencePicture:
    """One scene; arrays as in `RenderedScenes`, without the batch."""

    depth_m: Float64
    instance: NDArray[np.int64]
    normal: Float64
    colour: Float64
    measurable: NDArray[np.bool_]
    silhouette_px: Float64


@dataclass(kw_only=True)
class _Hits:
    """What rays meet first."""

    z: Float64
    place: NDArray[np.int64]
    normal: Float64
    base: Float64
    gloss: Float64
    measurable: NDArray[np.bool_]


def rays_of(K: Float64, size_px: tuple[int, int], pad: int = 0) -> Float64:
    """Rays ``(H, W, 3)`` through pixel centres, z = 1; ``pad`` pixels more on every side."""
    v, u = np.mgrid[-pad : size_px[0] + pad, -pad : size_px[1] + pad].astype(np.float64)
    return np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], axis=-1)


def first_hits(corners: Float64, rays: Float64) -> tuple[Float64, NDArray[np.int64], Float64]:
    """Nearest triangle of ``corners (F, 3, 3)`` [m] for rays ``(N, 3)`` from the origin.

    Returns:
        Ray parameter, inf where none is met, ``(N,)``; the triangle ``(N,)``; weights of its corners ``(N, 3)``.
    """
    a, e1, e2 = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    nearest, face = np.full(len(rays), np.inf), np.zeros(len(rays), dtype=np.int64)
    weights = np.zeros((len(rays), 3))
    # A plane product per triangle: det = ray . (e1 x e2), and so on, so that rays and triangles meet in matrices.
    normal = np.cross(e1, e2)
    across_b, across_c = np.cross(e2, -a), np.cross(-a, e1)
    distance = np.sum(a * normal, axis=1)
    for start in range(0, len(rays), _CHUNK):
        part = slice(start, start + _CHUNK)
        det = rays[part] @ normal.T
        with np.errstate(divide="ignore", invalid="ignore"):
            t = distance / det
            b = -(rays[part] @ across_b.T) / det
            c = -(rays[part] @ across_c.T) / det
            hit = (b >= 0.0) & (c >= 0.0) & (b + c <= 1.0) & (t > 1e-3)
        t = np.where(hit, t, np.inf)
        best = np.argmin(t, axis=1)
        rows = np.arange(len(best))
        nearest[part], face[part] = t[rows, best], best
        weights[part, 1], weights[part, 2] = b[rows, best], c[rows, best]
    weights[:, 0] = 1.0 - weights[:, 1] - weights[:, 2]
    return nearest, face, weights


def reference_picture(
    pool: MeshPool, textures: NDArray[np.uint8], scenes: SceneInput, image: int, size_px: tuple[int, int]
) -> ReferencePicture:
    """Scene number ``image``, without shadows."""
    K = scenes.K[image].double().numpy()
    rays = rays_of(K, size_px).reshape(-1, 3)
    n = scenes.silhouettes
    hits = _Hits(
        z=np.full(len(rays), np.inf),
        place=np.full(len(rays), -2),
        normal=np.zeros((len(rays), 3)),
        base=np.zeros((len(rays), 3)),
        gloss=np.zeros((len(rays), 2)),
        measurable=np.zeros(len(rays), dtype=bool),
    )
    silhouette = np.zeros(n)
    for place in range(scenes.slot.shape[1]):
        slot = int(scenes.slot[image, place])
        if slot >= 0:
            T = scenes.T_cam_obj[image, place].double().numpy()
            _draw(hits, pool, slot, T, place, rays)
            if place < n:
                pad = max(size_px)
                wide = rays_of(K, size_px, pad).reshape(-1, 3)
                silhouette[place] = np.isfinite(first_hits(_corners(pool, slot, T), wide)[0]).sum()
    _draw_room(hits, textures, scenes, image, rays)
    there = np.isfinite(hits.z)
    colour = np.where(
        there[:, None],
        _lit(hits, np.where(there, hits.z, 1.0)[:, None] * rays, scenes, image),
        0.4 * scenes.lights.ambient[image].double().numpy(),
    )
    shown = np.where((hits.place >= 0) & (hits.place < n), hits.place, -1)
    return ReferencePicture(
        depth_m=np.where(there, hits.z, 0.0).reshape(size_px),
        instance=shown.reshape(size_px),
        normal=hits.normal.reshape(*size_px, 3),
        colour=colour.reshape(*size_px, 3),
        measurable=hits.measurable.reshape(size_px),
        silhouette_px=silhouette,
    )


def _corners(pool: MeshPool, slot: int, T: Float64) -> Float64:
    mesh = pool.mesh(slot)
    vertices = mesh.vertices.astype(np.float64) @ T[:3, :3].T + T[:3, 3]
    return np.asarray(vertices[mesh.faces])


def _draw(hits: _Hits, pool: MeshPool, slot: int, T: Float64, place: int, rays: Float64) -> None:
    mesh = pool.mesh(slot)
    z, face, weights = first_hits(_corners(pool, slot, T), rays)
    nearer = z < hits.z
    corner = mesh.faces[face[nearer]]
    normal = np.einsum("nk,nkc->nc", weights[nearer], mesh.normals[corner].astype(np.float64)) @ T[:3, :3].T
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    hits.z[nearer], hits.place[nearer] = z[nearer], place
    hits.normal[nearer] = np.where(np.sum(normal * rays[nearer], axis=1, keepdims=True) > 0.0, -normal, normal)
    hits.base[nearer] = np.einsum("nk,nkc->nc", weights[nearer], mesh.colours[corner].astype(np.float64))
    hits.gloss[nearer] = pool.gloss[slot].double().numpy()
    hits.measurable[nearer] = True


def _draw_room(hits: _Hits, textures: NDArray[np.uint8], scenes: SceneInput, image: int, rays: Float64) -> None:
    room = scenes.room
    hits.z = np.where(np.isfinite(hits.z), hits.z - CONTACT_M, np.inf)
    for k in range(room.texture.shape[1]):
        texture = int(room.texture[image, k])
        if texture < 0:
            continue
        T_cam_plane = (scenes.T_cam_world[image] @ room.T_world_plane[image, k]).double().numpy()
        normal, origin = T_cam_plane[:3, 2], T_cam_plane[:3, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (origin @ normal) / (rays @ normal)
        on_plane = (np.where(np.isfinite(z), z, 0.0)[:, None] * rays - origin) @ T_cam_plane[:3, :2]
        half = room.half_m[image, k].double().numpy()
        hit = (z > 0.05) & (z < np.minimum(hits.z, FAR_M)) & (np.abs(on_plane) <= half).all(axis=1)
        hits.z[hit], hits.place[hit] = z[hit], -1
        hits.normal[hit] = -np.sign(rays[hit] @ normal)[:, None] * normal
        texels = on_plane[hit] * len(textures[texture]) / float(room.tile_m[image, k])
        hits.base[hit] = _bilinear(textures[texture], texels)
        hits.gloss[hit] = 0.0
        hits.measurable[hit] = bool(room.measurable[image, k])
    hits.z = np.where(hits.place >= 0, hits.z + CONTACT_M, hits.z)


def _bilinear(texture: NDArray[np.uint8], texels: Float64) -> Float64:
    side = len(texture)
    low = np.floor(texels).astype(np.int64)
    share = (texels - low)[..., None]
    columns, rows = low[:, 0] % side, low[:, 1] % side
    colour = texture.astype(np.float64) / 255.0
    upper = colour[rows, columns] * (1 - share[:, 0]) + colour[rows, (columns + 1) % side] * share[:, 0]
    below = colour[(rows + 1) % side, columns] * (1 - share[:, 0])
    below = below + colour[(rows + 1) % side, (columns + 1) % side] * share[:, 0]
    return np.asarray(upper * (1 - share[:, 1]) + below * share[:, 1])


def _lit(hits: _Hits, points: Float64, scenes: SceneInput, image: int) -> Float64:
    lights, T = scenes.lights, scenes.T_cam_world[image].double().numpy()
    ambient, key, fill = (x[image].double().numpy() for x in (lights.ambient, lights.key, lights.fill))
    at_m = T[:3, :3] @ lights.key_at_m[image].double().numpy() + T[:3, 3]
    to_fill = T[:3, :3] @ lights.to_fill[image].double().numpy()
    way = at_m - points
    squared = np.sum(way**2, axis=1, keepdims=True)
    to_key = way / np.sqrt(squared)
    near = np.minimum(float(lights.key_distance_m[image]) ** 2 / squared, BRIGHTEST_KEY)
    n = hits.normal
    cosine = np.sum(n * to_key, axis=1, keepdims=True)
    arriving = ambient * (0.75 + 0.25 * (n @ T[:3, 2]))[:, None]
    arriving = arriving + key * near * np.maximum(cosine, 0.0)
    arriving = arriving + fill * np.maximum(n @ to_fill, 0.0)[:, None]
    out = hits.base * arriving
    to_camera = -points / np.linalg.norm(points, axis=1, keepdims=True)
    for colour, direction, strength in ((key, to_key, near * (cosine > 0.0)), (fill, to_fill, 1.0)):
        halfway = direction + to_camera
        halfway = halfway / np.linalg.norm(halfway, axis=1, keepdims=True)
        shine = np.maximum(np.sum(halfway * n, axis=1), 0.0) ** hits.gloss[:, 1] * hits.gloss[:, 0]
        out = out + colour * strength * shine[:, None]
    return np.asarray(out)
