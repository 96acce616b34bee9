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
    f = FILL * VIEW_PX * DISTANCE_DIAMETERS
    c = (VIEW_PX - 1) / 2.0
    K = np.array([[f, 0.0, c], [0.0, f, c], [0.0, 0.0, 1.0]])
    picture = render(mesh, make_T(R, np.array([0.0, 0.0, distance_m])), K, VIEW_PX)
    seen = picture.mask > 0
    if not seen.any():
        raise MeshError(
            mismatch("reference views", "no pixel of the model", "a surface of some size", "check the model")
        )
    channels = np.zeros((VIEW_COUNT, VIEW_CHANNELS, VIEW_PX, VIEW_PX), dtype=np.float32)
    for i in range(VIEW_COUNT):
        colour = picture.colour[i].transpose(2, 0, 1) - np.float32(0.5)
        channels[i, :3] = colour * seen[i]
        channels[i, 3:6] = surface_normals(picture.depth[i], K).transpose(2, 0, 1)
        channels[i, 6] = (picture.depth[i] - np.float32(distance_m)) * np.float32(2.0 / diameter_m) * seen[i]
    channels[:, 7] = seen
    return ObjectViews(channels=channels, colours=colour_model(picture.colour[seen]))
