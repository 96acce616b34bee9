"""Reference views of an object for STORM's segmenter, rendered by our own rasteriser, so a model alone is enough.

The 16 viewpoints, the camera and the background are upstream's (reference-networks 2.1): directions on a golden
spiral, 1.5 diagonals of the bounding box away, 45 degrees of view, 640x480, grey. Upstream shades with a renderer for
glossy materials; ours has one light beside the camera, bright and soft, which shows the same colours. The nano
segmenter has smaller views of its own (`kernels.segment_inputs.object_views`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import make_T
from storm_edge.geometry.viewsphere import golden_spiral, look_at_origin
from storm_edge.kernels.raster import Lighting, render
from storm_edge.kernels.upstream_som import Geometry, network_input

VIEW_COUNT = 16
SIZE_PX = (480, 640)
_FIELD_OF_VIEW_DEG = 45.0
_DIAGONALS = 1.5
_BACKGROUND = 0.5
_LIGHT = Lighting(ambient=0.55, diffuse=0.5, to_light=(0.3, -0.5, -1.0))


def reference_views(mesh: Mesh, *, device: str = "cpu") -> NDArray[np.uint8]:
    """Pictures of a centred mesh from all sides, RGB ``(16, 480, 640, 3)``.

    Args:
        mesh: The model, its bounding box around the origin [m].
        device: Where rendering happens.
    """
    low, high = mesh.bounds()
    distance_m = _DIAGONALS * float(np.linalg.norm(high.astype(np.float64) - low))
    f = SIZE_PX[0] / 2.0 / np.tan(np.deg2rad(_FIELD_OF_VIEW_DEG) / 2.0)
    K = np.array([[f, 0.0, (SIZE_PX[1] - 1) / 2.0], [0.0, f, (SIZE_PX[0] - 1) / 2.0], [0.0, 0.0, 1.0]])
    R = look_at_origin(golden_spiral(VIEW_COUNT))
    T = make_T(R, np.array([0.0, 0.0, distance_m]))
    picture = render(mesh, T, K, SIZE_PX, lighting=_LIGHT, device=device)
    colour = np.where(picture.mask[..., None] > 0, picture.colour, np.float32(_BACKGROUND))
    return np.round(colour * 255.0).astype(np.uint8)


def reference_input(views: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Views as the network wants them, ``(16, 3, 224, 224)``: upstream's square in the centre holds the object."""
    return np.stack([network_input(view, Geometry.CENTRE) for view in views])
