"""The small square window around a pose in which poses of one object are compared: what is seen, what is rendered."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.kernels.device import HostSide
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import Renderer
from storm_edge.pipeline.side.config import SideEvidenceConfig

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class SideWindow:
    """What the camera saw around a pose, S pixels square."""

    K: Float32
    """Intrinsics of the window [px] ``(3, 3)``."""
    depth_m: Float32
    """Measured depth [m] ``(S, S)``, 0 without a reading and outside the image."""
    rgb: Float32
    """Colours in [0, 1], averaged over what a pixel covers ``(S, S, 3)``."""
    in_image: Bool
    """Pixels within the image ``(S, S)``."""
    rows: NDArray[np.int64]
    """Rows of the image that its rows are of, the nearest within the image ``(S,)``."""
    columns: NDArray[np.int64]
    """Its columns likewise ``(S,)``."""

    def of_mask(self, mask: Bool) -> Bool:
        """What an object's mask ``(H, W)`` marks in the window ``(S, S)``."""
        return np.asarray(mask[self.rows[:, None], self.columns] & self.in_image)

    @staticmethod
    def around(frame: Frame, T_cam_centre: Float64, reach_m: float, size_px: int) -> SideWindow:
        """The window around a pose ``(4, 4)`` that reaches ``reach_m`` to either side at its distance."""
        x, y, z = T_cam_centre[:3, 3]
        fx, fy, cx, cy = frame.K[0, 0], frame.K[1, 1], frame.K[0, 2], frame.K[1, 2]
        half_px = max(fx, fy) * reach_m / z
        step = 2.0 * half_px / size_px
        left, top = fx * x / z + cx - half_px + 0.5 * step, fy * y / z + cy - half_px + 0.5 * step
        columns, rows = (np.rint(start + step * np.arange(size_px)).astype(np.int64) for start in (left, top))
        height, width = frame.size_px
        inside = ((rows >= 0) & (rows < height))[:, None] & (columns >= 0) & (columns < width)
        rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
        y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        patch, side = frame.rgb[y0:y1, x0:x1], max(round(step), 1)
        smooth = cv2.blur(patch, (side, side)) if side > 1 else patch
        rgb = smooth[(rows - y0)[:, None], columns - x0].astype(np.float32) / 255.0
        K = [[fx / step, 0.0, (cx - left) / step], [0.0, fy / step, (cy - top) / step], [0.0, 0.0, 1.0]]
        depth = np.where(inside, frame.depth_m[rows[:, None], columns], 0.0).astype(np.float32)
        K_window = np.asarray(K, dtype=np.float32)
        return SideWindow(K=K_window, depth_m=depth, rgb=rgb, in_image=inside, rows=rows, columns=columns)


class WindowRenderer:
    """Renders poses of one object into such a window; buffers are made here.

    Args:
        mesh: The object in its centred frame.
        diameter_m: Its diameter [m].
        config: How large the window is.
        batch: Poses that are rendered at a time.
    """

    def __init__(self, mesh: MeshBuffers, diameter_m: float, config: SideEvidenceConfig, batch: int) -> None:
        self._reach_m, self._size_px = 0.5 * diameter_m * config.window_diameters, config.size_px
        self._batch = batch
        self._renderer = Renderer(mesh, batch=batch, size_px=config.size_px)
        self._T = wp.zeros(batch, dtype=wp.mat44f, device=mesh.device)
        self._K = wp.zeros(batch, dtype=wp.mat33f, device=mesh.device)
        self._T_host, self._K_host = HostSide(self._T), HostSide(self._K)
        self._depth_host, self._colour_host = HostSide(self._renderer.depth), HostSide(self._renderer.colour)

    def window(self, frame: Frame, T_cam_centre: Float64) -> SideWindow:
        """What a frame shows around a pose ``(4, 4)``."""
        return SideWindow.around(frame, T_cam_centre, self._reach_m, self._size_px)

    def render(self, window: SideWindow, T_cam_centre: Float64) -> tuple[Float32, Float32]:
        """Depth [m] ``(N, S, S)``, 0 where the model is not, and colours in [0, 1] ``(N, S, S, 3)`` of N poses."""
        self._K_host.write(np.broadcast_to(window.K, (min(len(T_cam_centre), self._batch), *window.K.shape)))
        if len(T_cam_centre) <= self._batch:
            return self._rendered(T_cam_centre)
        starts = range(0, len(T_cam_centre), self._batch)
        # They are views of buffers that the next part overwrites.
        parts = [[x.copy() for x in self._rendered(T_cam_centre[i : i + self._batch])] for i in starts]
        depth, colour = (np.concatenate(part) for part in zip(*parts, strict=True))
        return depth, colour

    def _rendered(self, T_cam_centre: Float64) -> tuple[Float32, Float32]:
        """`render` for a batch."""
        count = len(T_cam_centre)
        self._T_host.write(T_cam_centre)
        self._renderer.launch(self._T, self._K, count)
        return self._depth_host.read(count), self._colour_host.read(count)
