"""Scenes are repeatable, and their truth agrees with their pictures."""

from __future__ import annotations

import torch

from storm_edge.generator.config import GeneratorConfig
from storm_edge.generator.scenes import SceneGenerator


def test_one_seed_gives_one_batch(small_config: GeneratorConfig) -> None:
    first = SceneGenerator(5, "cpu", small_config).scenes(3)
    again = SceneGenerator(5, "cpu", small_config).scenes(3)
    other = SceneGenerator(6, "cpu", small_config).scenes(3)
    assert torch.equal(first.colour, again.colour)
    assert torch.equal(first.depth_m, again.depth_m)
    assert torch.equal(first.truth.instance, again.truth.instance)
    assert not torch.equal(first.colour, other.colour)


def test_what_is_visible_is_part_of_the_silhouette(small_generator: SceneGenerator) -> None:
    truth = small_generator.scenes(6).truth
    n = truth.slot.shape[1]
    for place in range(n):
        seen = (truth.instance == place).sum(dim=(1, 2))
        expected = truth.visible_share[:, place] * truth.silhouette_px[:, place]
        torch.testing.assert_close(seen.float(), expected, atol=0.5, rtol=1e-4)
    assert not truth.visible_share[truth.slot < 0].any()


def test_depth_and_normals_are_where_something_is(small_generator: SceneGenerator) -> None:
    scenes = small_generator.scenes(6)
    there = scenes.depth_m > 0.0
    length = scenes.normal.norm(dim=1)
    torch.testing.assert_close(length, there.float(), atol=1e-4, rtol=0.0)
    assert not scenes.measurable[~there].any()
    assert bool((scenes.colour >= 0.0).all())
