"""An object from 16 sides: its view channels, and its colours over all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import MeshError, mismatch
from storm_edge.geometry.se3 import make_T
from storm_edge.geometry.viewsphere import golden_spiral, look_at_origin
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.kernels.segment_inputs.colour_model import ColourModel, colour_model
from storm_edge.kernels.segment_inputs.contract import VIEW_CHANNELS, VIEW_COUNT, VIEW_PX
from storm_edge.kernels.segment_inputs.surface_normals import surface_normals

Float32 = NDArray[np.float32]

DISTANCE_DIAMETERS = 3.0
"""Camera distance of a view: mild perspective."""
FILL = 0.95
"""Share of a view that the object's sphere spans."""
_FINEST = 16  # a rod of a 500th of its length is seen then; what is thinner still is no surface


@dataclass(frozen=True, kw_only=True)
class ObjectViews:
    """An object from 16 sides."""

    channels: Float32
    """View channels ``(16, 8, 32, 32)``."""
    colours: ColourModel
    """Its colours over all views."""


def object_views(mesh: MeshBuffers, diameter_m: float) -> ObjectViews:
    """Render the views of a centred mesh, and collect its colours.

    Raises:
        MeshError: No view shows anything.
    """
    R = look_at_origin(golden_spiral(VIEW_COUNT))
    distance_m = DISTANCE_DIAMETERS * diameter_m
    T = make_T(R, np.array([0.0, 0.0, distance_m]))
    for fine in (1, _FINEST):
        seen, colour, depth_m = _render_views(mesh, T, fine)
        if seen.any():
            break
    if not seen.any():
        raise MeshError(
            mismatch("reference views", "no pixel of the model", "a surface of some size", "check the model")
        )
    channels = np.zeros((VIEW_COUNT, VIEW_CHANNELS, VIEW_PX, VIEW_PX), dtype=np.float32)
    for i in range(VIEW_COUNT):
        channels[i, :3] = (colour[i].transpose(2, 0, 1) - np.float32(0.5)) * seen[i]
        channels[i, 3:6] = surface_normals(depth_m[i], _intrinsics(VIEW_PX)).transpose(2, 0, 1)
        channels[i, 6] = (depth_m[i] - np.float32(distance_m)) * np.float32(2.0 / diameter_m) * seen[i]
    channels[:, 7] = seen
    return ObjectViews(channels=channels, colours=colour_model(colour[seen]))


def _intrinsics(size_px: int) -> NDArray[np.float64]:
    """``K`` of a square view of ``size_px``."""
    f, c = FILL * size_px * DISTANCE_DIAMETERS, (size_px - 1) / 2.0
    return np.array([[f, 0.0, c], [0.0, f, c], [0.0, 0.0, 1.0]])


def _render_views(mesh: MeshBuffers, T: NDArray[np.float64], fine: int) -> tuple[NDArray[np.bool_], Float32, Float32]:
    """Mask ``(16, 32, 32)``, colour ``(16, 32, 32, 3)`` and depth [m] ``(16, 32, 32)`` of the views.

    A rod thinner than a pixel may pass between the pixel centres of every view. Drawn ``fine`` times as large, each
    pixel shows the first place in it that the object covers.
    """
    size_px = VIEW_PX * fine
    picture = render(mesh, T, _intrinsics(size_px), size_px)
    if fine == 1:
        return picture.mask > 0, picture.colour, picture.depth
    blocks = [_blocks(image, fine) for image in (picture.mask[..., None], picture.colour, picture.depth[..., None])]
    first = blocks[0].argmax(axis=3, keepdims=True)
    mask, colour, depth_m = (np.take_along_axis(block, first, axis=3)[:, :, :, 0] for block in blocks)
    return mask[..., 0] > 0, colour, depth_m[..., 0]


def _blocks(image: NDArray[np.float32], fine: int) -> NDArray[np.float32]:
    """Pixels ``(16, 32, 32, fine * fine, C)`` of each block of images ``(16, H, W, C)``."""
    n, _, _, c = image.shape
    parts = image.reshape(n, VIEW_PX, fine, VIEW_PX, fine, c).swapaxes(2, 3)
    return parts.reshape(n, VIEW_PX, VIEW_PX, fine * fine, c)
