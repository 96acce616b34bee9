"""Objects stand beside each other, not in each other, and have the size in the picture that was asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from storm_edge.generator.chance import Chance
from storm_edge.generator.config import LayoutConfig
from storm_edge.generator.layout import place_cameras, set_stage
from storm_edge.generator.scenes import SceneGenerator

CROWDED = LayoutConfig(close_up_share=0.0, held_share=0.0)


def test_resting_objects_do_not_overlap(small_generator: SceneGenerator) -> None:
    """A straight line on the table separates every two of them: tried are 180 directions."""
    pool, chance = small_generator.pool, Chance(small_generator.generator)
    stage = set_stage(chance, pool, 6, CROWDED)
    angle = torch.arange(180.0) * torch.pi / 90.0
    ways = torch.stack([torch.cos(angle), torch.sin(angle)])
    touching = 0
    for b in range(6):
        slots = stage.slot[b][stage.slot[b] >= 0]
        assert 5 <= len(slots) <= 8
        assert len(slots.unique()) == len(slots)
        ends = []
        for place, slot in enumerate(slots.tolist()):
            T = stage.T_world_obj[b, place]
            vertices = torch.from_numpy(pool.mesh(slot).vertices) @ T[:3, :3].T + T[:3, 3]
            assert float(vertices[:, 2].min()) == pytest.approx(0.0, abs=1e-5)
            ends.append((vertices[:, :2] @ ways).amax(dim=0))
        for i in range(len(ends)):
            for j in range(i):
                # The far end of j in a direction against the near end of i, which is -(far end of the other way).
                gap = -ends[i].roll(90) - ends[j]
                # Extreme points are those of 162 directions: 1 % of the diameter may be missed.
                assert float(gap.max()) > -0.012 * float(pool.diameter_m[slots].max())
                touching += int(gap.max() < 0.02)
    assert touching > 10


def test_the_first_object_is_as_large_as_asked(small_generator: SceneGenerator) -> None:
    pool, chance = small_generator.pool, Chance(small_generator.generator)
    config = replace(
        LayoutConfig(), apparent_share=(0.2, 0.2001), close_apparent_share=(0.5, 0.5001), distance_m=(0.01, 50.0)
    )
    stage = set_stage(chance, pool, 40, config)
    cameras = place_cameras(chance, pool, stage, (120, 160), config)
    T_cam_obj = cameras.T_cam_world @ stage.T_world_obj[:, 0]
    apparent = cameras.K[:, 0, 0] * pool.diameter_m[stage.slot[:, 0]] / T_cam_obj[:, 2, 3]
    expected = torch.where(stage.close_up, 0.5, 0.2) * 160
    # It is off the middle, where the camera aims, so its depth differs a little.
    ratio = apparent / expected
    assert float(ratio.median()) == pytest.approx(1.0, abs=0.15)
    u = cameras.K[:, 0, 0] * T_cam_obj[:, 0, 3] / T_cam_obj[:, 2, 3] + cameras.K[:, 0, 2]
    assert float(((u > 0) & (u < 160)).float().mean()) > 0.9
    assert 0.1 < float(stage.close_up.float().mean()) < 0.6


def test_some_cameras_have_odd_pixels(small_generator: SceneGenerator) -> None:
    pool, chance = small_generator.pool, Chance(small_generator.generator)
    stage = set_stage(chance, pool, 200, LayoutConfig())
    K = place_cameras(chance, pool, stage, (120, 160), LayoutConfig()).K
    ratio = K[:, 1, 1] / K[:, 0, 0]
    odd = (ratio - 1.0).abs() > 1e-3
    assert 0.15 < float(odd.float().mean()) < 0.35
    assert float(ratio.min()) >= 0.749
    assert float(ratio.max()) <= 1.351
