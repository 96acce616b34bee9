"""Places that other instances of the same model take: a place that is taken is not taken again.

Two solids of one shape cannot come nearer to each other than the smaller of their extents allows; poses whose centres
are nearer than half of it are of one object. What other instances hide is no candidate, either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.camera import project
from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import transform

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

TakenPoses = Callable[[Frame], Sequence[Float64]]
"""Poses ``(4, 4)`` of the centred mesh [m] that other instances have in a frame."""


def nothing_taken(frame: Frame) -> Sequence[Float64]:
    """There are no other instances."""
    return ()


def least_extent_m(mesh: Mesh) -> float:
    """The smallest side of a model's bounding box [m]."""
    return float(np.ptp(mesh.vertices, axis=0).min())


def is_same_place(T_cam_centre: Float64, other: Float64, least_extent_m: float) -> bool:
    """Whether two poses ``(4, 4)`` of one shape cannot be of two objects.

    Args:
        T_cam_centre: A pose [m].
        other: Another one.
        least_extent_m: The smallest side of the model's bounding box [m].
    """
    apart_m = float(np.linalg.norm(T_cam_centre[:3, 3] - other[:3, 3]))
    return apart_m + apart_m < least_extent_m


def hull_mask(vertices: NDArray[np.float32], poses: Sequence[Float64], frame: Frame) -> Bool:
    """Pixels ``(H, W)`` inside the outlines of the convex hulls of a model at some poses.

    Args:
        vertices: The model in the centre frame [m], ``(N, 3)``.
        poses: Where it is ``(4, 4)`` [m].
        frame: The image.
    """
    mask = np.zeros(frame.size_px, dtype=np.uint8)
    for T in poses:
        points = transform(T, vertices.astype(np.float64))
        if (points[:, 2] > 0.0).all():
            outline = cv2.convexHull(np.round(project(frame.K, points)).astype(np.int32))
            cv2.fillConvexPoly(mask, outline, 1)
    return mask.astype(np.bool_)
