"""A window around a pose: the model's depth there, what the camera measured, and what lies on a large plane.

The window holds the whole silhouette, beyond the image's edge too, and what is around it. Near objects are seen with
fewer pixels than the image has; no image is enlarged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.kernels.segment_inputs.letterbox import Letterbox
from storm_edge.kernels.segment_inputs.planes import large_planes, larger_planes, plane_distances
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame
from storm_edge.pipeline.detect.config import ShapeConfig

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PlaneMap:
    """How far the places of a frame are from its large planes, at the segmenter's working size."""

    letterbox: Letterbox
    """Where the frame lies in it."""
    distance_m: Float32
    """Distance from the nearest large plane [m] ``(120, 160)``, negative where unknown."""

    @classmethod
    def of(cls, frame: Frame, diameter_m: float) -> PlaneMap:
        """Of a frame that the segmenter has not seen, for an object of this diameter [m]: its side is no table."""
        box = Letterbox.of(frame.size_px)
        z, K = box.shrink_depth(frame.depth_m), box.intrinsics(frame.K)
        return cls(letterbox=box, distance_m=plane_distances(z, K, larger_planes(large_planes(z, K), diameter_m)))

    @classmethod
    def of_small(cls, small: SmallFrame) -> PlaneMap:
        """Of a frame at the working size."""
        return cls(letterbox=small.letterbox, distance_m=small.plane_distance_m)

    def at(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Float32:
        """Distances [m] at rows ``(R,)`` and columns ``(C,)`` of the frame, ``(R, C)``; nearest place."""
        box, (height, width) = self.letterbox, self.distance_m.shape
        v = np.rint((rows + 0.5) * box.scale - 0.5).astype(np.int64) + box.top
        u = np.rint((columns + 0.5) * box.scale - 0.5).astype(np.int64) + box.left
        return np.asarray(self.distance_m[np.clip(v, 0, height - 1)[:, None], np.clip(u, 0, width - 1)])


@dataclass(frozen=True, kw_only=True)
class ShapeCrop:
    """The model and what was measured, in a square window of S pixels."""

    model_m: Float64
    """Depth of the model [m] ``(S, S)``, 0 where it is not."""
    measured_m: Float64
    """Depth that the camera read [m] ``(S, S)``, 0 without a reading and outside the image."""
    in_image: Bool
    """Pixels within the image ``(S, S)``."""
    on_plane: Bool
    """Readings on a large plane, a table or a wall ``(S, S)``."""

    @property
    def silhouette(self) -> Bool:
        """Where the model is ``(S, S)``."""
        return np.asarray(self.model_m > 0.0)


def shape_crop(
    mesh: MeshBuffers, T_cam_centre: Float64, frame: Frame, planes: PlaneMap, diameter_m: float, config: ShapeConfig
) -> ShapeCrop | None:
    """The window around a pose; None where the object is behind the camera.

    Args:
        mesh: The model.
        T_cam_centre: Its pose [m] ``(4, 4)``.
        frame: The image.
        planes: Its planes.
        diameter_m: Of the object [m].
        config: Size and margin of the window.
    """
    if T_cam_centre[2, 3] <= 0.0:
        return None
    left, top, step_px, size_px = _window(T_cam_centre, frame, diameter_m, config)
    fx, fy, cx, cy = frame.K[0, 0], frame.K[1, 1], frame.K[0, 2], frame.K[1, 2]
    K_crop = [[fx / step_px, 0.0, (cx - left) / step_px], [0.0, fy / step_px, (cy - top) / step_px], [0.0, 0.0, 1.0]]
    model = render(mesh, T_cam_centre, K_crop, size_px).depth[0].astype(np.float64)
    height, width = frame.size_px
    rows, columns = (np.rint(start + step_px * np.arange(size_px)).astype(np.int64) for start in (top, left))
    inside = ((rows >= 0) & (rows < height))[:, None] & (columns >= 0) & (columns < width)
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    distance_m = planes.at(rows, columns)
    near_m = max(config.plane_diameters * diameter_m, config.min_plane_m)
    return ShapeCrop(
        model_m=model,
        measured_m=np.where(inside, frame.depth_m[rows[:, None], columns], 0.0).astype(np.float64),
        in_image=inside,
        on_plane=inside & (distance_m >= 0.0) & (distance_m < near_m),
    )


def _window(
    T_cam_centre: Float64, frame: Frame, diameter_m: float, config: ShapeConfig
) -> tuple[float, float, float, int]:
    """First column and row, pixels per step, and side of a window around an object; of an object so near that it
    fills more than the image, the image."""
    x, y, z = T_cam_centre[:3, 3]
    reach_m = diameter_m / 2.0
    height, width = frame.size_px
    half_px = np.inf
    if z > reach_m:
        half_px = max(frame.K[0, 0], frame.K[1, 1]) * reach_m / (z - reach_m) + config.margin_px
    middle = np.array([frame.K[0, 0] * x, frame.K[1, 1] * y]) / z + frame.K[:2, 2]
    if half_px > max(height, width):
        half_px, middle = max(height, width) / 2.0, (np.array([width, height]) - 1.0) / 2.0
    step_px = max(2.0 * half_px / config.max_crop_px, 1.0)
    left, top = np.rint(middle - half_px)
    return float(left), float(top), float(step_px), int(np.ceil(2.0 * half_px / step_px))
