"""How well the edges of depth lie on those of colour at every small offset, for one image.

Depth steps where one thing ends before another, and there colour mostly changes, too. So the steps of colour are
summed at the places where depth steps, moved by every offset of a small square; the sum is largest at the offset that
depth has. No object and no pose is needed. Sums are kept by tile, since one rich corner must not decide alone.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.pipeline.depth_offset.config import DepthOffsetConfig

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class EdgeCorrelation:
    """Sums of colour steps at moved depth edges; those of several images are added."""

    sums: Float64
    """By tile, offset down and offset to the right, ``(T, S, S)``; offset 0 is in the middle."""
    counts: Int
    """Edge points by tile, ``(T,)``."""

    def __add__(self, other: EdgeCorrelation) -> EdgeCorrelation:
        return EdgeCorrelation(sums=self.sums + other.sums, counts=self.counts + other.counts)


@dataclass(frozen=True, kw_only=True)
class _Points:
    """Depth edges across one direction, and the colour steps in that direction."""

    steps: Float32
    """Colour steps ``(H, W)``, raveled."""
    at: Int
    """Where the edges are in them, ``(N,)``."""
    tile: Float32
    """1 where an edge is in a tile, ``(T, N)``."""
    width: int
    """W."""

    def row(self, down: int, right: Int) -> Float64:
        """Sums by tile at the offsets ``(down, right)``, ``(T, S)``."""
        at = self.at[:, None] - (down * self.width + right)[None]
        return np.asarray(self.tile @ self.steps[at], dtype=np.float64)


def correlate(frame: Frame, config: DepthOffsetConfig) -> Generator[None, None, EdgeCorrelation | None]:
    """Work in chunks; only the first one reads the frame. Returns None where an image has too few edges.

    Args:
        frame: The image.
        config: How edges are found.
    """
    size_px = frame.size_px[0] // config.binning, frame.size_px[1] // config.binning
    if min(size_px) <= 2 * (config.reach + 2):
        return None
    colour = cv2.resize(frame.rgb, (size_px[1], size_px[0]), interpolation=cv2.INTER_AREA)
    nearest, farthest = _reduced_depth(frame.depth_m, size_px, config.binning)
    yield
    colour = cv2.GaussianBlur(colour, (3, 3), 0)  # fixed: with Sobel's kernel, the smallest there are
    steps_right = _colour_step(colour, 1, 0)
    yield
    steps_down = _colour_step(colour, 0, 1)
    level = np.hypot(steps_right, steps_down) + np.float32(config.faint_step)
    steps_right, steps_down = steps_right / level, steps_down / level
    yield
    edges_right, edges_down = _depth_edges(nearest, farthest, config)
    yield
    sides = [
        _points(0.5 * (steps_right[:, 1:] + steps_right[:, :-1]), edges_right, config),
        _points(0.5 * (steps_down[1:] + steps_down[:-1]), edges_down, config),
    ]
    counts = np.asarray(sum(side.tile.sum(axis=1) for side in sides), dtype=np.intp)
    if counts.sum() < config.min_points:
        return None
    yield
    right = np.arange(-config.reach, config.reach + 1)
    sums = np.zeros((len(counts), len(right), len(right)))
    for number, down in enumerate(right):
        sums[:, number] = sum(side.row(int(down), right) for side in sides)
        if (number + 1) % config.rows_per_chunk == 0:
            yield
    return EdgeCorrelation(sums=sums, counts=counts)


def _reduced_depth(depth_m: Float32, size_px: tuple[int, int], binning: int) -> tuple[Float32, Float32]:
    """Nearest and farthest reading of each block [m], 0 = none."""
    height, width = size_px[0] * binning, size_px[1] * binning
    farthest = np.zeros(size_px, np.float32)
    nearest = np.full(size_px, np.inf, np.float32)
    for row in range(binning):
        for column in range(binning):
            part = np.ascontiguousarray(depth_m[row:height:binning, column:width:binning])
            np.maximum(farthest, part, out=farthest)
            part[part == 0.0] = np.inf
            np.minimum(nearest, part, out=nearest)
    nearest[farthest == 0.0] = 0.0
    return nearest, farthest


def _colour_step(colour: NDArray[Any], right: int, down: int) -> Float32:
    """Steps to the right or down ``(H, W)`` [grey levels], the largest of the channels."""
    scale = 1.0 / 8.0  # fixed: of Sobel's kernel
    planes = [np.abs(cv2.Sobel(plane, cv2.CV_32F, right, down, scale=scale)) for plane in cv2.split(colour)]
    return np.maximum(np.maximum(planes[0], planes[1]), planes[2])


def _depth_edges(
    nearest: Float32, farthest: Float32, config: DepthOffsetConfig
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where depth steps between neighbours to the right ``(H, W - 1)`` and down ``(H - 1, W)``."""
    window = np.ones((config.fill_px, config.fill_px), np.uint8)
    depth = np.where(nearest > 0.0, nearest, cv2.dilate(farthest, window))
    is_read = depth > 0.0
    log = np.log(np.where(is_read, depth, np.float32(1.0)))
    right = (np.abs(log[:, 1:] - log[:, :-1]) > config.depth_jump) & is_read[:, 1:] & is_read[:, :-1]
    down = (np.abs(log[1:] - log[:-1]) > config.depth_jump) & is_read[1:] & is_read[:-1]
    return right, down


def _points(steps: Float32, edges: NDArray[np.bool_], config: DepthOffsetConfig) -> _Points:
    """Edges that stay inside the image at every offset; of many, every so manieth."""
    height, width = edges.shape
    inside = np.zeros_like(edges)
    margin = config.reach + 1
    inside[margin:-margin, margin:-margin] = edges[margin:-margin, margin:-margin]
    at = np.flatnonzero(inside)
    at = at[:: max(1, -(-len(at) // (config.max_points // 2)))]
    rows, columns = at // width, at % width
    tile = (rows * config.tiles // height) * config.tiles + columns * config.tiles // width
    is_in = np.arange(config.tiles**2)[:, None] == tile[None]
    return _Points(steps=np.ascontiguousarray(steps).ravel(), at=at, tile=is_in.astype(np.float32), width=width)
