"""What was rejected is left out while it is unchanged, and no longer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.pipeline.reacquire.config import RejectedRegionsConfig
from storm_edge.pipeline.reacquire.rejected_regions import RejectedRegions

CONFIG = RejectedRegionsConfig()
K = np.array([[100.0, 0.0, 50.0], [0.0, 100.0, 40.0], [0.0, 0.0, 1.0]])


def picture(*, noise_seed: int = 0, stamp_s: float = 0.0) -> Frame:
    """A grey wall at 1 m behind a red box at 0.8 m, with a camera's noise: 2 mm, and 3 of 255."""
    rng = np.random.default_rng(noise_seed)
    rgb, depth = np.full((80, 100, 3), 120.0), np.full((80, 100), 1.0)
    rgb[20:50, 30:70], depth[20:50, 30:70] = (200.0, 30.0, 30.0), 0.8
    depth += rng.normal(0.0, 0.002, depth.shape)
    depth[rng.random(depth.shape) < 0.05] = 0.0
    rgb += rng.normal(0.0, 3.0, rgb.shape)
    stamp_ns = round(stamp_s * 1e9)
    return Frame(rgb=rgb.astype(np.uint8), depth_m=depth.astype(np.float32), K=K, stamp_ns=stamp_ns, index=0)


def box(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    mask = np.zeros((80, 100), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


MASK = box(30, 20, 70, 50)


@pytest.fixture
def rejected() -> RejectedRegions:
    rejected = RejectedRegions(CONFIG)
    rejected.add(picture(), MASK)
    return rejected


def test_the_same_region_in_another_image_is_left_out(rejected: RejectedRegions) -> None:
    later = picture(noise_seed=1, stamp_s=0.5)
    assert rejected.contains(later, MASK)
    assert rejected.contains(later, box(32, 22, 70, 50)), "masks of one thing differ from image to image"


def test_nothing_is_left_out_before_or_after(rejected: RejectedRegions) -> None:
    assert not RejectedRegions(CONFIG).contains(picture(), MASK)
    rejected.clear()
    assert not rejected.contains(picture(), MASK)


def test_a_region_is_tried_again_after_a_while(rejected: RejectedRegions) -> None:
    assert rejected.contains(picture(stamp_s=CONFIG.memory_s), MASK)
    assert not rejected.contains(picture(stamp_s=CONFIG.memory_s + 0.1), MASK)


@pytest.mark.parametrize(
    "mask",
    [box(72, 20, 98, 50), box(30, 20, 45, 50), box(10, 0, 100, 80)],
    ids=["beside it", "a part of it", "much more than it"],
)
def test_another_region_is_not_left_out(rejected: RejectedRegions, mask: NDArray[np.bool_]) -> None:
    assert not rejected.contains(picture(noise_seed=1), mask)


def test_what_came_nearer_is_not_left_out(rejected: RejectedRegions) -> None:
    frame = picture(noise_seed=1)
    depth = frame.depth_m.copy()
    depth[20:50, 30:70] -= np.float32(0.05) * (depth[20:50, 30:70] > 0.0)
    assert not rejected.contains(replace(frame, depth_m=depth), MASK)


def test_what_changed_its_colour_is_not_left_out(rejected: RejectedRegions) -> None:
    frame = picture(noise_seed=1)
    rgb = frame.rgb.copy()
    rgb[20:50, 30:70] = (30, 30, 200)
    assert not rejected.contains(replace(frame, rgb=rgb), MASK)


def test_something_else_in_a_quarter_of_the_region_makes_it_new(rejected: RejectedRegions) -> None:
    frame = picture(noise_seed=1)
    rgb, depth = frame.rgb.copy(), frame.depth_m.copy()
    rgb[20:35, 30:50], depth[20:35, 30:50] = (20, 90, 20), 0.7
    assert not rejected.contains(replace(frame, rgb=rgb, depth_m=depth), MASK)


def test_where_a_camera_reads_no_depth_colour_decides(rejected: RejectedRegions) -> None:
    frame = picture(noise_seed=1)
    blind = replace(frame, depth_m=np.where(MASK, np.float32(0.0), frame.depth_m))
    assert rejected.contains(blind, MASK)


def test_the_oldest_region_is_forgotten_first() -> None:
    rejected = RejectedRegions(RejectedRegionsConfig(max_count=2))
    masks = [box(x, 0, x + 10, 10) for x in (0, 20, 40)]
    for mask in masks:
        rejected.add(picture(), mask)
    assert [rejected.contains(picture(), mask) for mask in masks] == [False, True, True]


def test_later_images_do_not_change_what_is_remembered(rejected: RejectedRegions) -> None:
    """Callers may write to a mask again; what is kept is a copy."""
    mask = MASK.copy()
    other = RejectedRegions(CONFIG)
    other.add(picture(), mask)
    mask[:] = False
    assert other.contains(picture(noise_seed=1), MASK)


def test_an_empty_mask_and_an_image_of_another_size_are_no_error(rejected: RejectedRegions) -> None:
    rejected.add(picture(), np.zeros((80, 100), dtype=bool))
    small = Frame(rgb=np.zeros((20, 20, 3), np.uint8), depth_m=np.ones((20, 20), np.float32), K=K, index=0)
    assert not rejected.contains(small, np.ones((20, 20), dtype=bool))
    assert not rejected.contains(picture(), np.zeros((80, 100), dtype=bool))


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_a_large_region_is_recognised_by_part_of_its_pixels(scale: int) -> None:
    """A close object in a large image; what is kept does not grow with it."""
    frame, later = (
        Frame(
            rgb=np.kron(shot.rgb, np.ones((scale, scale, 1), np.uint8)),
            depth_m=np.kron(shot.depth_m, np.ones((scale, scale), np.float32)),
            K=K,
            index=0,
        )
        for shot in (picture(), picture(noise_seed=1))
    )
    mask = np.kron(MASK, np.ones((scale, scale), bool))
    rejected = RejectedRegions(CONFIG)
    rejected.add(frame, mask)
    assert rejected.contains(later, mask)
    assert not rejected.contains(later, np.roll(mask, 25 * scale, axis=1))
    assert rejected._regions[0].mask.size <= CONFIG.max_px
