"""Depth that does not lie on colour: measured to a pixel or two on generated scenes, told from 6 px on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from storm_edge.frame import Frame
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.depth_offset.config import DepthOffsetConfig
from storm_edge.pipeline.depth_offset.correlation import EdgeCorrelation, correlate
from storm_edge.pipeline.depth_offset.offset import DepthOffset, is_sure, measure_offset
from storm_edge.synthetic.scene_renderer import SceneRenderer
from storm_edge.synthetic.scenes import evaluation_scene
from storm_edge.synthetic.splits import SCENES_DEV

CONFIG = DepthOffsetConfig()
SEEDS = tuple(SCENES_DEV.seed(i) for i in range(5))


@cache
def pictures() -> tuple[Frame, ...]:
    """As many different scenes as decide together."""
    return tuple(SceneRenderer(evaluation_scene(seed)).render_frame(0).frame for seed in SEEDS)


def moved(frame: Frame, right: int, down: int) -> Frame:
    """The same image with its depth shifted; no reading where it came from outside."""
    height, width = frame.size_px
    depth = np.zeros_like(frame.depth_m)
    depth[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = frame.depth_m[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return replace(frame, depth_m=depth)


def measured(right: int, down: int) -> tuple[DepthOffset, bool]:
    total: EdgeCorrelation | None = None
    for frame in pictures():
        found = run_to_completion(correlate(moved(frame, right, down), CONFIG))
        assert found is not None
        total = found if total is None else total + found
    assert total is not None
    offset = measure_offset(total, len(pictures()), CONFIG)
    return offset, is_sure(offset, len(pictures()), CONFIG)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-3, 0), (0, 3), (0, -3)])
def test_a_small_offset_is_not_told(right: int, down: int) -> None:
    offset, is_told = measured(right, down)
    assert abs(offset.right_px - right) < 1.5
    assert abs(offset.down_px - down) < 1.5
    assert not is_told


@pytest.mark.parametrize(
    ("right", "down", "words"),
    [
        (6, 0, "px to the right"),
        (-6, 0, "px to the left"),
        (0, 6, "px down"),
        (0, -6, "px up"),
        (10, 0, "px to the right"),
        (0, -10, "px up"),
        (-6, 6, "px down"),
    ],
)
def test_a_large_offset_is_told_with_its_direction(right: int, down: int, words: str) -> None:
    offset, is_told = measured(right, down)
    assert abs(offset.right_px - right) < 1.5
    assert abs(offset.down_px - down) < 1.5
    assert is_told
    assert offset.words.endswith(words)


@pytest.mark.parametrize(
    ("right", "down", "words"),
    [
        (8.2, 0.4, "8 px to the right"),
        (-0.4, -7.9, "8 px up"),
        (-6.1, 7.2, "6 px to the left and 7 px down"),
    ],
)
def test_a_direction_in_words(right: float, down: float, words: str) -> None:
    assert offset_of(right_px=right, down_px=down).words == words


def offset_of(**values: float) -> DepthOffset:
    usual = {"right_px": 8.0, "down_px": 0.0, "contrast": 0.2, "gain": 2.0, "votes": 1.0}
    return DepthOffset(**(usual | values), tile_count=9)


@pytest.mark.parametrize(
    "values", [{"right_px": 4.5}, {"right_px": 15.0}, {"gain": 0.1}, {"votes": 0.4}, {"contrast": 0.01}]
)
def test_what_is_small_or_may_be_chance_is_not_told(values: dict[str, float]) -> None:
    assert is_sure(offset_of(), CONFIG.least_images, CONFIG)
    assert not is_sure(offset_of(**values), CONFIG.least_images, CONFIG)


@pytest.mark.parametrize("values", [{"right_px": 5.0}, {"right_px": 12.0}, {"gain": 0.4}, {"votes": 0.7}])
def test_a_faint_one_must_be_larger_and_surer(values: dict[str, float]) -> None:
    assert is_sure(offset_of(contrast=0.04), CONFIG.least_images, CONFIG)
    assert is_sure(offset_of(**values), CONFIG.least_images, CONFIG)
    assert not is_sure(offset_of(**values, contrast=0.04), CONFIG.least_images, CONFIG)


def test_one_of_a_single_image_must_be_larger() -> None:
    assert is_sure(offset_of(right_px=5.2), CONFIG.least_images, CONFIG)
    assert not is_sure(offset_of(right_px=5.2), 1, CONFIG)
    assert is_sure(offset_of(right_px=6.0), 1, CONFIG)


def test_votes_of_few_tiles_decide_nothing() -> None:
    assert not is_sure(replace(offset_of(), tile_count=2), CONFIG.least_images, CONFIG)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: replace(frame, depth_m=np.full_like(frame.depth_m, 0.8)),
        lambda frame: replace(frame, depth_m=np.zeros_like(frame.depth_m)),
        lambda frame: replace(frame, rgb=frame.rgb[:16, :16].copy(), depth_m=frame.depth_m[:16, :16].copy()),
    ],
)
def test_images_without_edges_say_nothing(change: Callable[[Frame], Frame]) -> None:
    assert run_to_completion(correlate(change(pictures()[0]), CONFIG)) is None


def test_pictures_without_outlines_are_chance() -> None:
    """Grey images and noise: whatever is best is best by chance."""
    rng = np.random.default_rng(0)
    for rgb in (np.full((480, 640, 3), 90, np.uint8), rng.integers(0, 255, (480, 640, 3), np.uint8)):
        total: EdgeCorrelation | None = None
        for number, frame in enumerate(pictures(), start=1):
            found = run_to_completion(correlate(replace(frame, rgb=rgb), CONFIG))
            assert found is not None
            total = found if total is None else total + found
            if number in (1, len(pictures())):
                assert not is_sure(measure_offset(total, number, CONFIG), number, CONFIG)


def test_only_the_first_chunk_reads_the_frame() -> None:
    """A camera's arrays may be another image by the next frame."""
    frame = moved(pictures()[0], 6, 0)
    expected = run_to_completion(correlate(frame, CONFIG))
    copied = replace(frame, rgb=frame.rgb.copy(), depth_m=frame.depth_m.copy())
    work = correlate(copied, CONFIG)
    next(work)
    copied.rgb[:], copied.depth_m[:] = 0, 0.0
    found = run_to_completion(work)
    assert found is not None
    assert expected is not None
    np.testing.assert_array_equal(found.sums, expected.sums)
