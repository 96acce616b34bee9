"""The reference views of an object that STORM's SOM takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import make_T
from storm_edge.geometry.viewsphere import golden_spiral, look_at_origin
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.kernels.renderer import render
from storm_edge.kernels.shading import Lighting
from storm_edge.pipeline.segment.full_som_framing import SIZE_PX

Float32 = NDArray[np.float32]

VIEWS = 16  # fixed: the network's input
"""Reference views."""

# Upstream's camera: 45 degrees high, as many box diagonals away; grey behind. It lights with a lamp on the camera, a
# distant one and ambient light; one lamp on the camera is what our rasteriser has.
_HALF_FOV_RAD = np.deg2rad(22.5)  # fixed: upstream's reference views
_DISTANCE = 1.5  # fixed: upstream's reference views
_GREY = 0.5  # fixed: upstream's reference views
_LIGHT = Lighting(ambient=0.4, diffuse=0.8)  # fixed: the nearest that our rasteriser has to upstream's lamps
_SUPERSAMPLING = 2  # fixed: as smooth as upstream's pictures


def reference_views(mesh: Mesh, *, device: str = "cpu") -> Float32:
    """The sixteen pictures SOM wants of an object, ``(16, 3, 224, 224)``, normalised.

    The cameras are upstream's: directions on a golden spiral, z upwards in the picture, one and a half box diagonals
    from the centre; the middle square of its 640 x 480 pictures is all that its network sees.

    Args:
        mesh: The object, its box centred at the origin.
        device: Warp device name.
    """
    size = _SUPERSAMPLING * SIZE_PX
    f, c = size / 2 / np.tan(_HALF_FOV_RAD), (size - 1) / 2
    K = np.array([[f, 0.0, c], [0.0, f, c], [0.0, 0.0, 1.0]])
    diagonal_m = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    upright = np.diag((-1.0, -1.0, 1.0)) @ look_at_origin(golden_spiral(VIEWS))  # that function's up is our down
    picture = render(
        mesh, make_T(upright, np.array([0.0, 0.0, _DISTANCE * diagonal_m])), K, size, lighting=_LIGHT, device=device
    )
    colour = np.where(picture.mask[..., None] > 0, picture.colour, np.float32(_GREY))
    cells = colour.reshape(VIEWS, SIZE_PX, _SUPERSAMPLING, SIZE_PX, _SUPERSAMPLING, 3).mean(axis=(2, 4))
    normalised = (cells - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(np.moveaxis(normalised, -1, 1), dtype=np.float32)
