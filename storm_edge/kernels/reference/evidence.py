"""Evidence for one pose in NumPy, see `storm_edge.kernels.evidence`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.camera import project
from storm_edge.geometry.se3 import transform
from storm_edge.kernels import evidence as ev
from storm_edge.kernels.contour_region import colour_bins
from storm_edge.kernels.depth_noise import depth_limits
from storm_edge.kernels.reference.contour_region import is_hidden
from storm_edge.kernels.reference.posed_image import ContourPoints, PosedImage, SurfacePoints

Float64 = NDArray[np.float64]


def surface_evidence(
    image: PosedImage, surface: SurfacePoints, *, gate_m: float, occlusion_m: float, noise_per_m: float = 0.0
) -> Float64:
    """Depth and tone columns of the sums ``(SUM_COUNT,)``; the others are 0."""
    rgb, depth, K, T = image
    points, normals, tones, axis = surface
    sums = np.zeros(ev.SUM_COUNT)
    X = transform(T, points)
    x, y = np.floor(project(K, X) + 0.5).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < depth.shape[1]) & (y < depth.shape[0])
    z = np.where(inside, depth[np.where(inside, y, 0), np.where(inside, x, 0)], 0.0)
    read = z > 0.0
    hidden = read & (z < X[:, 2] - depth_limits(occlusion_m, noise_per_m, X[:, 2]))
    judged = read & ~hidden
    gates = depth_limits(gate_m, noise_per_m, X[:, 2])
    to_plane = np.abs(np.sum((normals @ T[:3, :3].T) * X, axis=1)) * np.abs(z / X[:, 2] - 1.0) / gates
    inlier = judged & (to_plane < 1.0)
    m = tones[inlier].astype(np.float64)
    o = rgb[y[inlier], x[inlier]] @ axis / 255.0
    sums[ev.HIDDEN], sums[ev.JUDGED], sums[ev.INLIERS] = hidden.sum(), judged.sum(), inlier.sum()
    sums[ev.PLANE_DISTANCE] = np.minimum(to_plane, 1.0)[judged].sum()
    sums[ev.MODEL_SUM], sums[ev.IMAGE_SUM] = m.sum(), o.sum()
    sums[ev.MODEL_SQUARE], sums[ev.IMAGE_SQUARE], sums[ev.PRODUCT] = (m * m).sum(), (o * o).sum(), (m * o).sum()
    return sums


def contour_evidence(
    image: PosedImage, contour: ContourPoints, log_odds: Float64, *, occlusion_m: float, noise_per_m: float = 0.0
) -> Float64:
    """Line columns of the sums ``(SUM_COUNT,)``; the others are 0."""
    rgb, depth, K, T = image
    points, normals, distances = contour
    sums = np.zeros(ev.SUM_COUNT)
    foreground = 1.0 / (1.0 + np.exp(-log_odds[colour_bins(rgb)]))
    t = np.arange(-ev.LINE_PX, ev.LINE_PX) + 0.5
    for p, X in enumerate(transform(T, points)):
        u, v = project(K, X)
        if min(u, v, rgb.shape[1] - 1 - u, rgb.shape[0] - 1 - v) < ev.LINE_PX + 1:
            continue
        pixels_per_m = K[0, 0] / X[2]
        nearest_m = X[2] - float(depth_limits(occlusion_m, noise_per_m, X[2]))
        if is_hidden(depth, int(v + 0.5), int(u + 0.5), int(0.01 * pixels_per_m), nearest_m):
            continue
        normal = (T[:3, :3] @ normals[p])[:2]
        normal /= np.linalg.norm(normal)
        seen = t[(-t < distances[p, 0] * pixels_per_m) & (t < distances[p, 1] * pixels_per_m)]
        x, y = (np.array([[u], [v]]) + seen * normal[:, None] + 0.5).astype(int)
        right_side = np.where(seen < 0.0, foreground[y, x], 1.0 - foreground[y, x])
        if len(seen):
            sums[ev.LINES] += 1.0
            sums[ev.LINE_SCORE] += right_side.mean()
    return sums
