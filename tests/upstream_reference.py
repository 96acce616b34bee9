"""What FoundationPose computes between an image and its networks, in NumPy, written from the published formulas.

Slow and for one small scene: a box without texture, whose points are found by cutting rays with its sides. Rules are
those of docs/reference-networks.md, sections 5.4 to 5.7; nothing here uses the package.
"""

from __future__ import annotations

import itertools

import numpy as np

Array = np.ndarray


def filtered_depth(depth_m: Array) -> Array:
    """Erosion, then the bilateral mean (5.7); float32."""
    height, width = depth_m.shape

    def window(image: Array, row: int, column: int) -> tuple[Array, Array]:
        rows = np.arange(max(row - 2, 0), min(row + 3, height))
        columns = np.arange(max(column - 2, 0), min(column + 3, width))
        far = (rows[:, None] - row) ** 2 + (columns[None] - column) ** 2
        return image[np.ix_(rows, columns)], far

    depth_m = np.where((depth_m >= 0.001) & (depth_m < 100.0), depth_m, 0.0)
    eroded = np.zeros_like(depth_m)
    for row, column in np.argwhere(depth_m > 0.0):
        near, _ = window(depth_m, row, column)
        bad = (near == 0.0) | (np.abs(near - depth_m[row, column]) > 0.001)
        if bad.mean() <= 0.8:
            eroded[row, column] = depth_m[row, column]
    smooth = np.zeros_like(depth_m)
    for row, column in itertools.product(range(height), range(width)):
        near, far = window(eroded, row, column)
        valid = near > 0.0
        if valid.any():
            used = valid & (np.abs(near - near[valid].mean()) < 0.01)
            weight = np.where(used, np.exp(-far / 8.0), 0.0)
            smooth[row, column] = (weight * near).sum() / weight.sum() if used.any() else 0.0
    return smooth.astype(np.float32)


def guessed_translation(depth_m: Array, mask: Array, K: Array) -> Array:
    """Middle of the mask's box at the median depth (5.7)."""
    v, u = np.nonzero(mask)
    z = np.median(depth_m[mask & (depth_m >= 0.001)])
    u_middle, v_middle = (u.min() + u.max()) / 2.0, (v.min() + v.max()) / 2.0
    return np.array([(u_middle - K[0, 2]) / K[0, 0] * z, (v_middle - K[1, 2]) / K[1, 1] * z, z])


def window_of(t: Array, K: Array, reach_m: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the crop, each rounded (5.5)."""
    u, v = (K @ (t / t[2]))[:2]
    rho = reach_m * max(K[0, 0], K[1, 1]) / t[2]
    return tuple(float(np.rint(x)) for x in (u - rho, v - rho, u + rho, v + rho))  # type: ignore[return-value]


def warped(image: Array, source: Array, *, nearest: bool) -> Array:
    """An image sampled at ``source (..., 2)`` columns and rows; zero outside."""
    height, width = image.shape[:2]

    def at(u: Array, v: Array) -> Array:
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        values = image[np.clip(v, 0, height - 1).astype(int), np.clip(u, 0, width - 1).astype(int)]
        return np.where(inside.reshape(inside.shape + (1,) * (image.ndim - 2)), values, 0.0)

    u, v = source[..., 0], source[..., 1]
    if nearest:
        return at(np.rint(u), np.rint(v))
    u0, v0 = np.floor(u), np.floor(v)
    fu, fv = (x.reshape(x.shape + (1,) * (image.ndim - 2)) for x in (u - u0, v - v0))
    upper = at(u0, v0) * (1 - fu) + at(u0 + 1, v0) * fu
    lower = at(u0, v0 + 1) * (1 - fu) + at(u0 + 1, v0 + 1) * fu
    return upper * (1 - fv) + lower * fv


def pixels(height: int, width: int) -> Array:
    """Columns and rows of all pixels, ``(height, width, 2)``."""
    return np.stack(np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float)), axis=-1)


def to_source(position: Array, size: tuple[int, int]) -> Array:
    """Where kornia 0.7.2 samples an image of ``size`` (height, width) for a position, without aligned corners."""
    height, width = size
    return np.stack(
        [
            position[..., 0] * width / (width - 1) - 0.5,
            position[..., 1] * height / (height - 1) - 0.5,
        ],
        axis=-1,
    )


def points_of(depth_m: Array, K: Array) -> Array:
    """Points of all pixels [m], ``(H, W, 3)``."""
    at = pixels(*depth_m.shape)
    x = (at[..., 0] - K[0, 2]) * depth_m / K[0, 0]
    return np.stack([x, (at[..., 1] - K[1, 2]) * depth_m / K[1, 1], depth_m], axis=-1)


def normalised(points: Array, t: Array, radius_m: float, *, min_z_m: float) -> Array:
    """Points less the translation, in half diameters; zero where there is none, or far (5.4)."""
    scaled = (points - t) / radius_m
    return np.where((points[..., 2:] < min_z_m) | (np.abs(scaled) >= 2.0), 0.0, scaled)


def observed(rgb: Array, depth_m: Array, K: Array, t: Array, *, diameter_m: float, size: int, score: bool) -> Array:
    """What a network is shown of the image, ``(6, size, size)``: RefineNet, or ScoreNet, whose points take a detour.

    ScoreNet's depth is cropped, the crop put back into an image of full size, points made of that, and those cropped.
    """
    left, top, right, bottom = window_of(t, K, diameter_m * (1.1 if score else 1.2) / 2.0)
    scale = np.array([(right - left) / size, (bottom - top) / size])
    there = pixels(size, size) * scale + [left, top]
    source = to_source(there, depth_m.shape)
    colour = warped(rgb.astype(float) / 255.0, source, nearest=False)
    if score:
        crop = warped(depth_m, source, nearest=True)
        back = (pixels(*depth_m.shape) - [left, top]) / scale
        depth_m = warped(crop, to_source(back, (size, size)), nearest=True)
    points = warped(points_of(depth_m, K), source, nearest=True)
    xyz = normalised(points, t, diameter_m / 2.0, min_z_m=0.1 if score else 0.001)
    return np.concatenate([colour, xyz], axis=-1).transpose(2, 0, 1)


def rendered_box(half_m: Array, T: Array, K: Array, *, diameter_m: float, size: int, score: bool) -> Array:
    """Points of a box with these half sides as a network is shown them, ``(3, size, size)`` (5.6)."""
    left, top, right, bottom = window_of(T[:3, 3], K, diameter_m * (1.1 if score else 1.2) / 2.0)
    scale = np.array([(right - left) / size, (bottom - top) / size])
    # The renderer's window is one crop pixel smaller, and its pixels have their centres at halves.
    there = (pixels(size, size) + 0.5) * (size - 1) / size * scale + [left, top]
    rays = np.stack(
        [(there[..., 0] - K[0, 2]) / K[0, 0], (there[..., 1] - K[1, 2]) / K[1, 1], np.ones((size, size))], axis=-1
    )
    R, t = T[:3, :3], T[:3, 3]
    origin, direction = -R.T @ t, rays @ R
    with np.errstate(divide="ignore"):
        cuts = np.stack([(-half_m - origin) / direction, (half_m - origin) / direction])
    near, far = cuts.min(axis=0).max(axis=-1), cuts.max(axis=0).min(axis=-1)
    points = rays * np.where(near < far, near, 0.0)[..., None]
    return normalised(points, t, diameter_m / 2.0, min_z_m=0.1 if score else 0.001).transpose(2, 0, 1)


def updated(T: Array, trans: Array, rot: Array, diameter_m: float) -> Array:
    """The pose after a correction (5.7)."""
    w = -np.tanh(rot) * 0.3490658503988659
    angle = np.linalg.norm(w)
    hat = np.array([[0.0, -w[2], w[1]], [w[2], 0.0, -w[0]], [-w[1], w[0], 0.0]])
    turn = np.eye(3) + np.sin(angle) / angle * hat + (1.0 - np.cos(angle)) / angle**2 * hat @ hat
    out = T.copy()
    out[:3, :3] = turn @ T[:3, :3]
    out[:3, 3] = T[:3, 3] + trans * diameter_m / 2.0
    return out
