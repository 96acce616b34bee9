"""What travels through the generator: scenes as they are, scenes as a camera sees them, and what trains a network.

All tensors of one value live on one device. ``B`` scenes of ``H`` x ``W`` pixels with ``N`` places for objects;
a scene with fewer objects has ``slot`` -1 in the places left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Batch = dict[str, Tensor]
"""What one step of training reads, by name; `Source.batch` says which names each network has."""


@dataclass(frozen=True, kw_only=True)
class SceneTruth:
    """What is in the scenes, exactly."""

    K: Tensor
    """Intrinsics [px], ``(B, 3, 3)`` float32; pixels need not be square."""
    T_cam_obj: Tensor
    """Object to camera [m], ``(B, N, 4, 4)`` float32."""
    slot: Tensor
    """Mesh of each object in the pool, ``(B, N)`` int64, -1 = no object."""
    instance: Tensor
    """Which object a pixel shows, ``(B, H, W)`` int64: its place 0..N-1, or -1 for room, hands and nothing."""
    visible_share: Tensor
    """Part of each object's own silhouette that lies in the image and that nothing hides, ``(B, N)`` float32."""
    silhouette_px: Tensor
    """Pixels of each object's own silhouette, counted to one image beyond the border, ``(B, N)`` float32."""


@dataclass(frozen=True, kw_only=True)
class RenderedScenes:
    """The scenes before any camera: sharp, without noise."""

    truth: SceneTruth
    colour: Tensor
    """Lit surfaces, RGB >= 0 where 1 is white in full light, ``(B, 3, H, W)`` float32."""
    depth_m: Tensor
    """True z-depth [m], ``(B, H, W)`` float32, 0 = nothing there."""
    normal: Tensor
    """Unit normals towards the camera, camera axes, ``(B, 3, H, W)`` float32, 0 = nothing there."""
    measurable: Tensor
    """False where no depth camera has a reading (glass, screens, too far), ``(B, H, W)`` bool."""


@dataclass(frozen=True, kw_only=True)
class SceneBatch:
    """The scenes as an RGB-D camera delivers them."""

    truth: SceneTruth
    rgb: Tensor
    """Colour in [0, 1] in steps of 1/255, ``(B, 3, H, W)`` float32."""
    depth_m: Tensor
    """Measured z-depth [m], ``(B, H, W)`` float32, 0 = no reading."""


class Source(Protocol):
    """An endless, seeded stream of batches for one network. One seed gives one stream on one device."""

    def batch(self, items: int) -> Batch:
        """The next ``items`` items, on the source's device, float32.

        * RefineNet: ``rendered``, ``observed`` ``(n, 6, S, S)``; ``trans_target``, ``rot_target`` ``(n, 3)``;
          ``weight (n,)``.
        * ScoreNet: ``rendered``, ``observed`` ``(n, H, 6, S, S)``; ``add_error (n, H)`` [diameters],
          1 where another object is seen.
        * Segmenter: ``image (n, 8, 120, 160)``, ``objects (n, T, 5, 60, 80)``, ``views (n, T, V, 8, 32, 32)``,
          ``mask (n, T, 60, 80)``, ``present (n, T)``.
        * Verifier: ``crops (n, G, 6, S, S)``, ``good (n, G)``.
        """
        ...
