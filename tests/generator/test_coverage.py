from __future__ import annotations

import torch

from storm_edge.generator.coverage import cover
from storm_edge.generator.scenes import SceneGenerator


def test_what_touches_the_camera_has_a_silhouette_that_ends(small_generator: SceneGenerator) -> None:
    """One object in ten thousand had 1e8 pixels, and its batch took twenty seconds instead of a fifth of one."""
    pool, size_px = small_generator.pool, (120, 160)
    K = torch.tensor([[[160.0, 0.0, 79.5], [0.0, 160.0, 59.5], [0.0, 0.0, 1.0]]])
    T = torch.eye(4).expand(1, pool.object_count, 4, 4).clone()
    T[..., 2, 3] = 0.3 * pool.diameter_m[: pool.object_count]
    slot = torch.arange(pool.object_count, dtype=torch.int32)[None]
    drawn = cover(pool, slot, T, K, size_px, silhouettes=pool.object_count)
    assert drawn.silhouette_px.max() <= 1.05 * 9 * size_px[0] * size_px[1]
    assert drawn.silhouette_px.max() > 2 * size_px[0] * size_px[1]
