"""A frame at the working size, and its image channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.segment_inputs.colour_model import RGB_BINS, chroma_bins_of, colour_density, rgb_bins_of
from storm_edge.kernels.segment_inputs.contract import IMAGE_CHANNELS, SIZE_PX
from storm_edge.kernels.segment_inputs.letterbox import Letterbox
from storm_edge.kernels.segment_inputs.planes import Plane, large_planes, larger_planes, plane_distances
from storm_edge.kernels.segment_inputs.surface_normals import surface_normals

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
ByteImage = NDArray[np.uint8]

DEPTH_RANGE_M = (0.05, 16.0)
"""The channel of depth is limited to this."""
SMOOTHING_SHARE = 0.02
"""A pixel's depth becomes the mean of its neighbourhood where they differ by less than this share."""

BRIGHTEST_PERCENTILE = 90.0
"""Of the pixels' brightest channels, what counts as the brightest of the image: lamps and highlights are few."""


@dataclass(frozen=True, kw_only=True)
class SmallFrame:
    """A frame at the working size, and its image channels."""

    rgb: Float32
    """Colour in [0, 1] ``(120, 160, 3)``."""
    depth_m: Float32
    """z-depth [m] ``(120, 160)``, 0 = no reading."""
    K: Float64
    """Intrinsics at the working size [px]."""
    channels: Float32
    """Image channels ``(8, 120, 160)``."""
    letterbox: Letterbox
    """Where the image lies in it."""
    rgb_bins: NDArray[np.int64]
    """Which entry of `ColourModel.rgb` each pixel reads ``(120, 160)``."""
    chroma_bins: NDArray[np.int64]
    """Which entry of `ColourModel.chroma` each pixel reads ``(120, 160)``."""
    scene_density: Float32
    """Density of the picture's own colours where each pixel is, 1 in a picture of all colours ``(120, 160)``."""
    planes: tuple[Plane, ...]
    """The large planes in view."""
    plane_distance_m: Float32
    """Distance from the nearest large plane [m] ``(120, 160)``, negative where unknown."""

    @cached_property
    def brightest(self) -> float:
        """How bright the brightest tenth of the image is at least: its brightest channel, in [0, 1]."""
        return float(np.percentile(self.rgb[self.letterbox.window].max(axis=2), BRIGHTEST_PERCENTILE))

    def for_object(self, diameter_m: float) -> SmallFrame:
        """The frame to look for an object of this diameter [m] in: a side of its own is no table and no wall."""
        planes = tuple(larger_planes(self.planes, diameter_m))
        if len(planes) == len(self.planes):
            return self
        distance_m = plane_distances(self.depth_m, self.K, planes)
        return replace(self, planes=planes, plane_distance_m=distance_m)


def small_frame(rgb: ByteImage, depth_m: Float32, K: Float64, planes: Sequence[Plane] | None = None) -> SmallFrame:
    """Bring a frame to the working size.

    Args:
        rgb: Colour ``(H, W, 3)``.
        depth_m: z-depth [m] ``(H, W)``, 0 = no reading.
        K: Intrinsics [px].
        planes: Large planes in view, for a part of a larger frame; its own where None.
    """
    box = Letterbox.of(depth_m.shape)
    small, z, K_small = box.shrink_rgb(rgb), box.shrink_depth(depth_m), box.intrinsics(K)
    channels = np.zeros((IMAGE_CHANNELS, *SIZE_PX), dtype=np.float32)
    channels[:3] = small.transpose(2, 0, 1) - np.float32(0.5)
    channels[3:6] = surface_normals(_smoothed(z), K_small).transpose(2, 0, 1)
    seen = z > 0.0
    channels[6] = np.where(seen, np.log2(np.clip(z, *DEPTH_RANGE_M)), np.float32(0.0))
    channels[7] = seen
    found = tuple(large_planes(z, K_small) if planes is None else planes)
    rgb_bins = rgb_bins_of(small)
    density = colour_density(rgb_bins[box.window], (RGB_BINS,) * 3)
    return SmallFrame(
        rgb=small,
        depth_m=z,
        K=K_small,
        channels=channels,
        letterbox=box,
        rgb_bins=rgb_bins,
        chroma_bins=chroma_bins_of(small),
        scene_density=density.reshape(-1)[rgb_bins],
        planes=found,
        plane_distance_m=plane_distances(z, K_small, found),
    )


def _smoothed(z: Float32) -> Float32:
    """Depth averaged over 3x3 pixels of one surface: normals are twice as sensitive to noise as depth is."""
    seen = (z > 0.0).astype(np.float32)
    mean = cv2.blur(z, (3, 3)) / np.maximum(cv2.blur(seen, (3, 3)), np.float32(1e-6))
    return np.where((np.abs(mean - z) < SMOOTHING_SHARE * z) & (z > 0.0), mean, z)
