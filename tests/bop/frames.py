"""Small frames that the tests write and read."""

from __future__ import annotations

import numpy as np

from storm_edge.frame import Frame

K = np.array([[600.0, 0.0, 31.5], [0.0, 610.0, 23.5], [0.0, 0.0, 1.0]])
SIZE = (48, 64)


def random_frame(index: int, rng: np.random.Generator) -> Frame:
    """An image pair of noise."""
    depth = rng.integers(4000, 20000, SIZE).astype(np.float32) * np.float32(1e-4)
    depth[:5] = 0.0
    return Frame(rgb=rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), depth_m=depth, K=K, index=index)
