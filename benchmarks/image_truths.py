"""Poses that one image cannot tell from the true one, from the labels and the model alone.

A plain box that is turned by half looks the same, and so does a bowl whose chip is behind a hand: what an image does
not show no method can know. So beside ADD to the label there is ADD to the nearest pose that looks the same, as
BOP-Distrib judges the BOP datasets (Meden et al., "Revisiting 6D Pose Estimation Benchmarks for Better Evaluation
under Visual Ambiguities", 2024): by the symmetries of an image, not of an object. Nothing of the pipeline has a say.

Turns about one axis of the object are tried, 5 degrees apart. What is the same after turns about two of them counts
as another pose: the figure is rather too strict.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.objects.near_symmetry import NearSymmetries, turns_about

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

TURNS = 72
"""About each axis."""
SAME_DEPTH_M = 0.002
"""Surfaces that are no farther apart cannot be told from each other: a depth camera's own error at half a metre."""
SAME_COLOUR = 0.03
"""Nor can colours, RGB counted from 0 to 1 under a light at the camera, that differ by no more anywhere, ..."""
SAME_MEAN_COLOUR = 0.006
"""... nor by more than this on average: over a whole face less is seen."""
_BATCH = 12
_WIDER = 1.3
"""The window is so much wider than the bounding sphere: near its rim the sphere looks larger, and axes may be off."""
_FEW_PX = np.ones((2, 2), dtype=np.uint8)
"""What has no two pixels side by side in both directions is an edge that moved by less than a pixel."""


@dataclass(frozen=True, kw_only=True)
class _Looks:
    """What an image would show of N poses, in a window of it."""

    depth_m: Float32
    """``(N, H, W)``, 0 where the object is not."""
    rgb: Float32
    """In [0, 1] ``(N, H, W, 3)``."""


def image_truths(mesh: Mesh, near: NearSymmetries, frame: Frame, T_cam_centre: Float64, mask_visib: Bool) -> Float64:
    """The true pose, and the turned ones that look the same in an image ``(N, 4, 4)``.

    Args:
        mesh: The object in its centre frame [m].
        near: Its axes.
        frame: The image; its depth tells what would be hidden.
        T_cam_centre: The true pose of the centred mesh [m] ``(4, 4)``.
        mask_visib: The object's pixels ``(H, W)``.
    """
    buffers = MeshBuffers.from_mesh(mesh, "cpu")
    rows, columns = _window(mesh, frame, T_cam_centre)
    K = frame.K.copy()
    K[:2, 2] -= (columns.start, rows.start)
    size_px = (rows.stop - rows.start, columns.stop - columns.start)
    measured_m, seen = frame.depth_m[rows, columns], mask_visib[rows, columns]

    def looks(poses: Float64) -> _Looks:
        picture = render(buffers, poses, K, size_px)
        return _Looks(depth_m=picture.depth, rgb=picture.colour)

    true = looks(T_cam_centre[None])
    found = [T_cam_centre]
    for direction, point_m in zip(near.directions, near.points_m, strict=True):
        turned = T_cam_centre @ turns_about(direction, point_m, TURNS)[1:]
        for start in range(0, len(turned), _BATCH):
            part = turned[start : start + _BATCH]
            shown = looks(part)
            for T, depth_m, rgb in zip(part, shown.depth_m, shown.rgb, strict=True):
                if _is_same(true, depth_m, rgb, measured_m, seen):
                    found.append(T)
    return np.stack(found)


def best_share(is_right: Bool) -> float:
    """Of poses that look the same, any of which may be the true one, the largest share for which one answer is right.

    Args:
        is_right: Whether the second is a right answer where the first is the true one ``(N, N)``.
    """
    return float(is_right.sum(axis=0).max() / len(is_right))


def _window(mesh: Mesh, frame: Frame, T_cam_centre: Float64) -> tuple[slice, slice]:
    """Rows and columns of the image in which the object is, however it is turned."""
    radius_m = float(np.linalg.norm(mesh.vertices, axis=1).max())
    x, y, z = T_cam_centre[:3, 3]
    spans = []
    for size, focal, centre, at in zip(
        frame.size_px, (frame.K[1, 1], frame.K[0, 0]), (frame.K[1, 2], frame.K[0, 2]), (y, x), strict=True
    ):
        middle, half = focal * at / z + centre, _WIDER * focal * radius_m / z
        first = int(np.clip(middle - half, 0, size - 1))
        spans.append(slice(first, int(np.clip(middle + half, first + 1, size))))
    return spans[0], spans[1]


def _is_same(true: _Looks, depth_m: Float32, rgb: Float32, measured_m: Float32, seen: Bool) -> bool:
    """Whether what is seen of the object would be the same at another pose."""
    # The object itself hides nothing of a pose; what else was measured nearer does, at its rim too.
    other_m = np.where(seen | (measured_m <= 0.0), np.inf, measured_m).astype(np.float32)
    is_hidden = cv2.erode(other_m, np.ones((3, 3))) < depth_m - SAME_DEPTH_M
    shown = (depth_m > 0.0) & ~is_hidden
    # What hides the object at its true pose hides all that is no nearer.
    may_be_hidden = ~seen & (true.depth_m[0] > 0.0) & (depth_m > true.depth_m[0] - SAME_DEPTH_M)
    if _is_area((shown & ~seen & ~may_be_hidden) | (seen & (depth_m <= 0.0))):
        return False
    both = seen & (depth_m > 0.0) & (true.depth_m[0] > 0.0)
    if not both.any() or _is_area(both & (np.abs(depth_m - true.depth_m[0]) > SAME_DEPTH_M)):
        return False
    apart = np.abs(rgb - true.rgb[0]).max(axis=-1)
    return not _is_area(both & (apart > SAME_COLOUR)) and float(apart[both].mean()) <= SAME_MEAN_COLOUR


def _is_area(pixels: Bool) -> bool:
    return bool(cv2.morphologyEx(pixels.astype(np.uint8), cv2.MORPH_OPEN, _FEW_PX).any())
