"""The rasteriser in NumPy, one triangle after the other, see `storm_edge.kernels.raster`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.geometry.mesh import Mesh
from storm_edge.kernels.raster import NEAR_M
from storm_edge.kernels.shading import Lighting

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ReferenceImages:
    """As `storm_edge.kernels.renderer.RenderResult`."""

    colour: NDArray[np.float32]
    """RGB in [0, 1], shape ``(N, H, W, 3)``."""
    depth: NDArray[np.float32]
    """z-depth [m], shape ``(N, H, W)``."""
    xyz: NDArray[np.float32]
    """Surface points [m], camera frame, shape ``(N, H, W, 3)``."""
    mask: NDArray[np.uint8]
    """1 where the mesh is seen, shape ``(N, H, W)``."""


def sample_texture(texture: NDArray[np.uint8], uv: Float64) -> Float64:
    """Bilinear, wrapped colours in [0, 1] ``(M, 3)`` at ``uv (M, 2)``, v upwards."""
    height, width = texture.shape[:2]
    s = (uv[:, 0] % 1.0) * width - 0.5
    t = ((1.0 - uv[:, 1]) % 1.0) * height - 0.5
    s0, t0 = np.floor(s).astype(int), np.floor(t).astype(int)
    fs, ft = (s - s0)[:, None], (t - t0)[:, None]
    image = texture / 255.0
    top = image[t0 % height, s0 % width] * (1 - fs) + image[t0 % height, (s0 + 1) % width] * fs
    low = image[(t0 + 1) % height, s0 % width] * (1 - fs) + image[(t0 + 1) % height, (s0 + 1) % width] * fs
    return np.asarray(top * (1 - ft) + low * ft)


def render_one(
    mesh: Mesh,
    T_cam_obj: ArrayLike,
    K: ArrayLike,
    size_px: tuple[int, int],
    *,
    lighting: Lighting | None = None,
    near_m: float = NEAR_M,
) -> ReferenceImages:
    """One picture in float64; arguments and result as `storm_edge.kernels.renderer.render`, with N = 1."""
    height, width = size_px
    T, K = np.asarray(T_cam_obj, dtype=np.float64), np.asarray(K, dtype=np.float64)
    light = np.array((lighting or Lighting()).packed())
    points = mesh.vertices @ T[:3, :3].T + T[:3, 3]
    brightness = light[3] + np.maximum((mesh.normals @ T[:3, :3].T) @ light[:3], 0.0)
    nearest = np.full((height, width), np.inf)
    colour = np.zeros((height, width, 3))
    xyz = np.zeros((height, width, 3))
    for face in mesh.faces:
        p = points[face]
        if p[:, 2].min() <= near_m:
            continue
        screen = (p @ K.T)[:, :2] / p[:, 2:]
        u0, v0 = np.maximum(np.ceil(screen.min(axis=0)), 0).astype(int)
        u1, v1 = np.minimum(np.floor(screen.max(axis=0)), [width - 1, height - 1]).astype(int)
        if u0 > u1 or v0 > v1:
            continue
        v, u = np.mgrid[v0 : v1 + 1, u0 : u1 + 1].reshape(2, -1)
        weights = np.stack([_edge(screen[(k + 1) % 3], screen[(k + 2) % 3], u, v) for k in range(3)], axis=1)
        total = weights.sum(axis=1)
        inside = ((weights >= 0).all(axis=1) | (weights <= 0).all(axis=1)) & (total != 0)
        u, v, weights = u[inside], v[inside], weights[inside] / total[inside, None]
        weights /= p[:, 2]
        z = 1.0 / weights.sum(axis=1)
        weights *= z[:, None]
        seen = z < nearest[v, u]
        u, v, z, weights = u[seen], v[seen], z[seen], weights[seen]
        nearest[v, u] = z
        xyz[v, u] = weights @ p
        if mesh.uv is not None and mesh.texture is not None:
            base = sample_texture(mesh.texture, weights @ mesh.uv[face].astype(np.float64))
        else:
            base = weights @ mesh.colours[face]
        colour[v, u] = np.clip(base * (weights @ brightness[face])[:, None], 0.0, 1.0)
    mask = np.isfinite(nearest)
    return ReferenceImages(
        colour=colour[None].astype(np.float32),
        depth=np.where(mask, nearest, 0.0)[None].astype(np.float32),
        xyz=xyz[None].astype(np.float32),
        mask=mask[None].astype(np.uint8),
    )


def _edge(a: Float64, b: Float64, u: NDArray[np.int64], v: NDArray[np.int64]) -> Float64:
    return np.asarray((a[0] - u) * (b[1] - v) - (a[1] - v) * (b[0] - u))
