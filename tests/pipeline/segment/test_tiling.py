"""Parts of a frame: where they lie, what they show, and that they bring back small objects."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.frame import Frame
from storm_edge.geometry.camera import back_project, project
from storm_edge.pipeline.segment.config import TilingConfig
from storm_edge.pipeline.segment.tiling import merge_max, tiles_of


def a_frame(rng: np.random.Generator, size_px: tuple[int, int]) -> Frame:
    return Frame(
        rgb=rng.integers(0, 256, (*size_px, 3), dtype=np.uint8),
        depth_m=rng.uniform(0.5, 2.0, size_px).astype(np.float32),
        K=np.array([[500.0, 0.0, 0.5 * size_px[1]], [0.0, 480.0, 0.4 * size_px[0]], [0.0, 0.0, 1.0]]),
        stamp_ns=7,
        index=3,
    )


@pytest.mark.parametrize("size_px", [(480, 640), (361, 641), (2, 3)])
def test_the_parts_cover_the_image_and_show_what_is_there(rng: np.random.Generator, size_px: tuple[int, int]) -> None:
    frame = a_frame(rng, size_px)
    covered = np.zeros(size_px, dtype=int)
    for part in tiles_of(frame, TilingConfig()):
        covered[part.window] += 1
        np.testing.assert_array_equal(part.frame.rgb, frame.rgb[part.window])
        np.testing.assert_array_equal(part.frame.depth_m, frame.depth_m[part.window])
        assert (part.frame.index, part.frame.stamp_ns) == (3, 7)
    assert covered.min() >= 1


def test_a_point_lies_in_a_part_where_its_camera_says(rng: np.random.Generator) -> None:
    frame = a_frame(rng, (480, 640))
    pixels = np.array([[10, 20], [400, 300], [639, 479]])
    points = back_project(frame.K, pixels, frame.depth_m[pixels[:, 1], pixels[:, 0]])
    for part in tiles_of(frame, TilingConfig()):
        rows, columns = part.window
        np.testing.assert_allclose(project(part.frame.K, points), pixels - [columns.start, rows.start], atol=1e-6)


def test_what_any_part_marks_is_marked() -> None:
    whole = np.full((4, 6), 0.5, dtype=np.float32)
    merge_max(whole, np.array([[0.9, 0.1]], dtype=np.float32), (slice(1, 2), slice(2, 4)))
    expected = np.full((4, 6), 0.5, dtype=np.float32)
    expected[1, 2] = 0.9
    np.testing.assert_array_equal(whole, expected)
