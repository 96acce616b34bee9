from __future__ import annotations

import time

import torch

from storm_edge.generator.coverage import cover
from storm_edge.generator.scenes import SceneGenerator


def test_what_touches_the_camera_costs_no_more_than_what_fills_the_picture(small_generator: SceneGenerator) -> None:
    """One object in ten thousand had 1e8 pixels, and its batch took twenty seconds instead of a fifth of one."""
    pool, size_px = small_generator.pool, (120, 160)
    K = torch.tensor([[[160.0, 0.0, 79.5], [0.0, 160.0, 59.5], [0.0, 0.0, 1.0]]])
    slot = torch.arange(pool.object_count, dtype=torch.int32)[None]

    def seconds(diameters: float) -> float:
        T = torch.eye(4).expand(1, pool.object_count, 4, 4).clone()
        T[..., 2, 3] = diameters * pool.diameter_m[: pool.object_count]
        start = time.process_time()
        cover(pool, slot, T, K, size_px, silhouettes=pool.object_count)
        return time.process_time() - start

    seconds(1.0)
    assert seconds(0.3) < 20.0 * seconds(1.0) + 1.0  # it was a thousand times
