"""A frame as templates are compared with it: depth, normals, what lies on large planes, and directions of edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.camera import back_project
from storm_edge.geometry.pixels import marked_pixels
from storm_edge.kernels.segment_inputs.surface_normals import surface_normals
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.templates.config import MatchConfig

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]

EDGE_BINS = 8  # fixed: one bit of a byte each
"""Directions of edges are told apart as finely as this over half a turn: light and dark may change sides."""


@dataclass(frozen=True, kw_only=True)
class MatchedImage:
    """A frame, thinned to every so manieth row and column."""

    depth_m: Float32
    """z-depth [m] ``(H, W)``, 0 = no reading."""
    normals: Float32
    """Unit normals towards the camera ``(H, W, 3)``, 0 where there is none."""
    stands_out: Bool
    """What is off the large planes ``(H, W)``."""
    on_plane: Bool
    """What is on one ``(H, W)``."""
    edges: NDArray[np.uint8]
    """Bit k is set where an edge across direction k of `EDGE_BINS` is near ``(H, W)``."""
    rgb: Float32
    """Mean colours in [0, 1] ``(H, W, 3)``."""
    K: Float64
    """Intrinsics of the thinned image [px] ``(3, 3)``."""

    def points(self, diameter_m: float, config: MatchConfig) -> tuple[Float32, Float32]:
        """Measured points [m] ``(N, 3)`` that may be of the object, evenly spread, and their normals ``(N, 3)``."""
        usable = self.stands_out & ((self.normals**2).sum(axis=2) > 0.5)  # fixed: a unit vector, or none
        v, u = marked_pixels(usable)
        z = self.depth_m[v, u]
        size_px = self.K[0, 0] * diameter_m / z
        octave = np.floor(np.log2(np.maximum(size_px, 1.0)))
        step_px = np.maximum(2.0**octave / config.steps_per_diameter, 1.0)
        cells = np.stack([octave, v // step_px, u // step_px], axis=1).astype(np.int64)
        _, first = np.unique(cells, axis=0, return_index=True)
        first = first[size_px[first] >= config.least_size_px]
        chosen = _evenly(octave[first], config.max_points)
        v, u = v[first[chosen]], u[first[chosen]]
        points = back_project(self.K, np.stack([u, v], axis=1), self.depth_m[v, u])
        return points.astype(np.float32), self.normals[v, u]


def _evenly(group: NDArray[np.floating], most: int) -> Int64:
    """Indices of at most about ``most`` of ``group (N,)``, of each group as many where it has them."""
    chosen: list[Int64] = []
    left, groups = most, sorted((np.flatnonzero(group == g) for g in np.unique(group)), key=len)
    for number, members in enumerate(groups):
        share = max(left // (len(groups) - number), 1)
        taken = members[:: -(-len(members) // share)]
        left -= len(taken)
        chosen.append(taken)
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)


def matched_image(image: ImageFeatures, diameter_m: float, config: MatchConfig) -> MatchedImage:
    """Thin a frame, and take normals and edges of it.

    Args:
        image: The frame, encoded.
        diameter_m: Of the object [m].
        config: How.
    """
    frame, small = image.frame, image.small
    step = max(1, -(-max(frame.size_px) // config.max_side_px))
    thin = (slice(None, None, step), slice(None, None, step))
    z = np.ascontiguousarray(frame.depth_m[thin])
    K = frame.K.copy()
    K[:2] /= step
    # The least around a place: interpolated at an edge, the plane behind an object would stand out.
    nearest_m = cv2.erode(small.plane_distance_m, np.ones((3, 3), np.uint8))
    distance_m = small.letterbox.enlarge(np.asarray(nearest_m, np.float32), frame.size_px)[thin]
    least_m = np.float32(config.plane_distance_diameters * diameter_m)
    mean = np.ascontiguousarray(cv2.blur(frame.rgb, (step, step))[thin], dtype=np.uint8)
    no_plane = bool((small.plane_distance_m < 0.0).all())
    stands_out = (z > 0.0) & (no_plane | (distance_m > least_m))
    return MatchedImage(
        depth_m=z,
        normals=surface_normals(_smoothed(z, config), K),
        stands_out=stands_out,
        on_plane=(z > 0.0) & ~stands_out,
        edges=_edges(mean, config),
        rgb=mean.astype(np.float32) / 255.0,
        K=K,
    )


def _smoothed(z: Float32, config: MatchConfig) -> Float32:
    """Depth averaged within one surface."""
    square = (config.smooth_px, config.smooth_px)
    mean = cv2.blur(z, square) / np.maximum(cv2.blur((z > 0.0).astype(np.float32), square), np.float32(1e-6))
    return np.where((np.abs(mean - z) < config.smooth_share * z) & (z > 0.0), mean, z)


def _edges(rgb: NDArray[np.uint8], config: MatchConfig) -> NDArray[np.uint8]:
    """Directions of the picture's edges, spread over their neighbourhood ``(H, W)``."""
    blurred = cv2.GaussianBlur(rgb, (0, 0), config.edge_blur_px).astype(np.float32)
    per_px = 0.25  # fixed: Sobel's weights of one side add up to 4
    along_u, along_v = (cv2.Sobel(blurred, cv2.CV_32F, *way, scale=per_px) for way in ((1, 0), (0, 1)))
    strength = along_u**2 + along_v**2
    channel = strength.argmax(axis=2)[..., None]
    du, dv = (np.take_along_axis(slope, channel, axis=2)[..., 0] for slope in (along_u, along_v))
    strong = du**2 + dv**2 >= config.min_edge_levels**2
    bins = direction_bins(np.asarray(du, np.float32), np.asarray(dv, np.float32))
    bits = np.where(strong, np.uint8(1) << bins, np.uint8(0)).astype(np.uint8)
    near = np.ones((config.edge_spread_px, config.edge_spread_px), np.uint8)
    spread = np.zeros_like(bits)
    for k in range(EDGE_BINS):
        here = (bits >> np.uint8(k)) & np.uint8(1)
        spread |= cv2.dilate(here, near) << np.uint8(k)
    return np.asarray(spread, dtype=np.uint8)


def direction_bins(du: Float32, dv: Float32) -> NDArray[np.uint8]:
    """The bin of directions in the image, those that differ by half a turn alike."""
    turn = np.arctan2(dv, du) / np.pi  # -1..1
    return np.asarray(np.floor((turn % 1.0) * EDGE_BINS).astype(np.uint8) % np.uint8(EDGE_BINS), dtype=np.uint8)
