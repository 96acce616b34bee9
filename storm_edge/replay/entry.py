"""Whether enough of an object that enters the image is seen to begin with it.

A mask of a sliver at the image's edge fits many poses. How much is enough is told by area: over all directions the
convex hull of an object shows a quarter of its surface on average (Cauchy's formula).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh
from storm_edge.live.config import StormConfig
from storm_edge.pipeline.register.placement import is_cut_off


class EntryCheck:
    """Holds masks of one object against what it shows on average.

    Args:
        mesh: The object [m].
        config: From which share on it is enough.
    """

    def __init__(self, mesh: Mesh, config: StormConfig) -> None:
        self._share, self._edge_px = config.session.entered_share, config.register.scale.edge_px
        try:
            self._mean_area_m2: float | None = float(ConvexHull(mesh.vertices).area) / 4.0
        except QhullError:  # flat: how much it shows is anything
            self._mean_area_m2 = None

    def is_enough(self, frame: Frame, mask: NDArray[np.bool_]) -> bool:
        """Whether a mask ``(H, W)`` shows enough; one that is not cut off by the image's edge always does."""
        if self._mean_area_m2 is None or mask.shape != frame.depth_m.shape or not is_cut_off(mask, self._edge_px):
            return True
        readings = frame.depth_m[mask & (frame.depth_m > 0.0)]
        if not len(readings):
            return True
        pixel_m2 = float(np.median(readings)) ** 2 / float(frame.K[0, 0] * frame.K[1, 1])
        return bool(np.count_nonzero(mask) * pixel_m2 >= self._share * self._mean_area_m2)
