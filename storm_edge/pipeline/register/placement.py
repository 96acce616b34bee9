"""Placement: where the hypotheses of a registration start, each rotation of the grid a pose of its own.

The surface under a mask is what one sees of the object, so each rotation is put where its own visible side, not the
object's centre, meets it. Where the image cuts the object off, one sees less than that side: its middle is then
sought over the part that would be in the image.

Poses are of the centred mesh (``T_cam_centre``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.pipeline.register.config import PlacementConfig
from storm_edge.pipeline.register.mask_surface import mask_middle

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class Placement:
    """Visible sides of an object from all rotations.

    Args:
        mesh: The object in its centred frame; its device is used.
        rotations: Rotations of the grid, ``(G, 3, 3)``.
        diameter_m: Diameter of the object [m].
        config: How views are rendered, and when a mask is cut off.

    Attributes:
        centres: Mean of the visible surface relative to the object's centre [m], along the camera's axes, for each
            rotation, ``(G, 3)``.
    """

    def __init__(
        self, mesh: MeshBuffers, rotations: Float64, diameter_m: float, config: PlacementConfig | None = None
    ) -> None:
        self._config = config = config or PlacementConfig()
        self._diameter_m = diameter_m
        size_px, every = config.size_px, config.every_px
        distance_m = config.distance_diameters * diameter_m
        f = size_px * distance_m / (config.view_diameters * diameter_m)
        c = (size_px - 1) / 2.0
        K = np.array([[f, 0.0, c], [0.0, f, c], [0.0, 0.0, 1.0]])
        t = np.array([0.0, 0.0, distance_m])
        count = len(rotations)
        self._rotations = rotations
        self.centres: Float64 = np.zeros((count, 3))
        kept = len(range(0, size_px, every)) ** 2
        self._points: Float32 = np.zeros((count, kept, 3), dtype=np.float32)
        self._seen: NDArray[np.bool_] = np.zeros((count, kept), dtype=bool)
        for start in range(0, count, config.chunk):
            part = slice(start, min(start + config.chunk, count))
            image = render(mesh, make_T(rotations[part], t), K, size_px)
            mask = image.mask > 0
            total = np.maximum(mask.sum(axis=(1, 2)), 1)[:, None]
            self.centres[part] = (image.xyz * mask[..., None]).sum(axis=(1, 2)) / total - t
            thin = (slice(None), slice(None, None, every), slice(None, None, every))
            self._points[part] = (image.xyz[thin] - t).reshape(len(mask), kept, 3)
            self._seen[part] = mask[thin].reshape(len(mask), kept)

    def poses(self, surface: Float64, mask: NDArray[np.bool_], K: Float64) -> Float64:
        """A pose per rotation, ``(G, 4, 4)``.

        Args:
            surface: Measured points under the mask [m], ``(N, 3)``.
            mask: The object's pixels ``(H, W)``.
            K: Intrinsics of the image [px], ``(3, 3)``.
        """
        middle = mask_middle(surface, mask, K, 0.5 * self._diameter_m)  # fixed: within the bounding sphere
        t = middle - self.centres
        if is_cut_off(mask, self._config.edge_px):
            for _ in range(self._config.rounds):
                t = middle - self._centres_inside(t, K, mask.shape)
        return make_T(self._rotations, t)

    def _centres_inside(self, t: Float64, K: Float64, size_px: tuple[int, ...]) -> Float64:
        """As `centres`, of what would be in the image if the object were at ``t``; of all of it if nothing would."""
        where = self._points + t[:, None].astype(np.float32)
        z = np.maximum(where[..., 2], np.float32(1e-6))
        u, v = (np.float32(K[i, i]) * where[..., i] / z + np.float32(K[i, 2]) for i in (0, 1))
        inside = self._seen & (u >= -0.5) & (u < size_px[1] - 0.5) & (v >= -0.5) & (v < size_px[0] - 0.5)
        count = inside.sum(axis=1)
        middles = (self._points * inside[..., None]).sum(axis=1) / np.maximum(count, 1)[:, None]
        return np.where((count > 0)[:, None], middles, self.centres)


def is_cut_off(mask: NDArray[np.bool_], edge_px: int) -> bool:
    """Whether a mask ``(H, W)`` comes within ``edge_px`` of the edge of its image."""
    e = edge_px
    return bool(mask[:e].any() or mask[-e:].any() or mask[:, :e].any() or mask[:, -e:].any())
