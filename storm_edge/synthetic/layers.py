"""Layers of colour and depth, and who hides whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.kernels.shading import Lighting

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_NEAR_M = 0.05


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One thing as the camera would see it alone, in the whole picture or a window of it."""

    colour: Float32
    """RGB in [0, 1] ``(h, w, 3)``."""
    depth: Float32
    """z-depth [m] ``(h, w)``, infinite where the thing is not."""
    measured: NDArray[np.bool_] | None = None
    """Where the depth sensor can see it ``(h, w)``; everywhere when None."""
    corner: tuple[int, int] = (0, 0)
    """Row and column of the window's first pixel in the picture."""

    @property
    def window(self) -> tuple[slice, slice]:
        """Where the layer lies in the picture."""
        (row, column), (height, width) = self.corner, self.depth.shape
        return slice(row, row + height), slice(column, column + width)


@dataclass(frozen=True, kw_only=True)
class Composite:
    """All layers as the camera sees them together."""

    colour: Float32
    """RGB in [0, 1] ``(H, W, 3)``."""
    depth: Float32
    """True z-depth [m] ``(H, W)``, 0 where there is nothing to measure."""
    owner: NDArray[np.int16]
    """Index of the layer that is seen ``(H, W)``."""


def rendered_layer(colour: Float32, depth: Float32, corner: tuple[int, int] = (0, 0)) -> Layer:
    """A `Layer` from a rasteriser's pictures, whose background depth is 0."""
    return Layer(colour=colour, depth=np.where(depth > 0.0, depth, np.float32(np.inf)), corner=corner)


def render_layer(
    buffers: MeshBuffers, vertices: Float32, T_cam_obj: Float64, K: Float64, size_px: tuple[int, int], light: Lighting
) -> Layer | None:
    """Render one object into the window of the picture that it covers; None where it is out of sight.

    Args:
        buffers: Mesh on the device.
        vertices: Its vertices [m] ``(V, 3)``, to find the window.
        T_cam_obj: Object to camera [m] ``(4, 4)``.
        K: Intrinsics of the picture [px].
        size_px: Height and width of the picture [px].
        light: How it is lit.
    """
    p = vertices @ T_cam_obj[:3, :3].T.astype(np.float32) + T_cam_obj[:3, 3].astype(np.float32)
    p = p[p[:, 2] > _NEAR_M]
    if not len(p):
        return None
    u, v = K[0, 0] * p[:, 0] / p[:, 2] + K[0, 2], K[1, 1] * p[:, 1] / p[:, 2] + K[1, 2]
    u0, u1 = max(int(np.floor(u.min())), 0), min(int(np.ceil(u.max())), size_px[1] - 1)
    v0, v1 = max(int(np.floor(v.min())), 0), min(int(np.ceil(v.max())), size_px[0] - 1)
    if u1 < u0 or v1 < v0:
        return None
    K_window = K - np.array([[0.0, 0.0, u0], [0.0, 0.0, v0], [0.0, 0.0, 0.0]])
    result = render(buffers, T_cam_obj, K_window, (v1 - v0 + 1, u1 - u0 + 1), lighting=light)
    return rendered_layer(result.colour[0], result.depth[0], (v0, u0))


def compose(layers: Sequence[Layer]) -> Composite:
    """Nearest layer per pixel. The first layer fills the picture and wins ties."""
    first = layers[0]
    colour, depth = first.colour.copy(), first.depth.copy()
    owner = np.zeros(depth.shape, dtype=np.int16)
    measured = np.isfinite(depth) if first.measured is None else first.measured.copy()
    for index, layer in enumerate(layers[1:], start=1):
        window = layer.window
        nearer = layer.depth < depth[window]
        np.copyto(colour[window], layer.colour, where=nearer[..., None])
        np.copyto(depth[window], layer.depth, where=nearer)
        owner[window][nearer] = index
        measured[window][nearer] = True if layer.measured is None else layer.measured[nearer]
    return Composite(colour=colour, depth=np.where(measured, depth, np.float32(0.0)), owner=owner)
