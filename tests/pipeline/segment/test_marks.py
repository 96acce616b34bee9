"""Cells in 3D and marks of maps that a test draws, so that place, threshold and sums are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame, small_frame
from storm_edge.pipeline.segment.cells import Cells, cells_of
from storm_edge.pipeline.segment.config import MarkConfig
from storm_edge.pipeline.segment.marks import FEATURES, best_marks, centres, marks_around
from storm_edge.pipeline.segment.segmenter import Segmenter
from tests.staged import Staged

K = np.array([[570.0, 0.0, 319.5], [0.0, 570.0, 239.5], [0.0, 0.0, 1.0]])
Z_M = 0.8
RADIUS_M = 0.08
OWN_BITS = 5.0
CONFIG = MarkConfig()


def _small(height: int = 480, *, hole: bool = False) -> SmallFrame:
    """A wall square to the camera; with a hole in its depth where the image's middle is."""
    depth = np.full((height, 640), Z_M, dtype=np.float32)
    if hole:
        depth[height // 2 - 40 : height // 2 + 40, 280:360] = 0.0
    camera = K.copy()
    camera[1, 2] = (height - 1) / 2.0
    return small_frame(np.full((height, 640, 3), 128, dtype=np.uint8), depth, camera)


def _disk(row: float, column: float, radius: float) -> np.ndarray:
    """Cells ``(60, 80)`` whose middle is within so many cells."""
    v, u = np.mgrid[:60, :80]
    return np.hypot(v - row, u - column) < radius


def _channels() -> np.ndarray:
    return np.full((5, 60, 80), 0.5, dtype=np.float32)  # 4 bits of colour and of chroma everywhere


def _cells(probability: np.ndarray, small: SmallFrame | None = None) -> Cells:
    return cells_of(_small() if small is None else small, probability.astype(np.float32), _channels())


def test_cells_are_where_the_camera_saw_them() -> None:
    """Cell (r, c) of a 640x480 image covers its pixels 8 c to 8 c + 7."""
    cells = _cells(np.zeros((60, 80)))
    assert len(cells.probability) == 60 * 80
    x = (8.0 * np.arange(80) + 3.5 - K[0, 2]) / K[0, 0]
    y = (8.0 * np.arange(60) + 3.5 - K[1, 2]) / K[1, 1]
    expected = np.stack(np.broadcast_arrays(x[None] * Z_M, y[:, None] * Z_M, Z_M), axis=-1).reshape(-1, 3)
    np.testing.assert_allclose(cells.points_m, expected, atol=1e-5)
    np.testing.assert_allclose(cells.colour_bits, 4.0)


def test_cells_of_the_empty_margin_are_left_out() -> None:
    """640x360 takes 90 of the 120 working rows, from the 15th on; cells half in the margin do not count."""
    cells = _cells(np.zeros((60, 80)), _small(360))
    assert len(cells.probability) == 44 * 80
    assert cells.is_read.all()
    middle_m = cells.points_m.mean(axis=0)
    np.testing.assert_allclose(middle_m[:2], 0.0, atol=0.01)


def test_a_cell_without_a_reading_lies_in_a_sphere_as_if_at_its_depth() -> None:
    cells = _cells(np.zeros((60, 80)), _small(hole=True))
    assert not cells.is_read.all()
    full = _cells(np.zeros((60, 80)))
    centre = np.array([0.0, 0.0, Z_M])
    np.testing.assert_array_equal(cells.within(centre, 0.05), full.within(centre, 0.05))


def test_a_shy_map_is_marked_at_its_own_threshold() -> None:
    """A tenth on the object and a hundredth beside it, as of a large white thing: nothing is above a half."""
    thing = _disk(30, 40, 6.0)
    cells = _cells(np.where(thing, 0.12, 0.01))
    [mark] = best_marks(cells, OWN_BITS, RADIUS_M, replace(CONFIG, min_overlap=0.0))
    assert mark.threshold <= 0.1
    np.testing.assert_array_equal(np.sort(mark.cells), np.flatnonzero(thing))


def test_a_mark_is_what_is_above_its_threshold_in_the_sphere() -> None:
    rng = np.random.default_rng(0)
    cells = _cells(rng.random((60, 80)))
    centre = np.array([0.05, -0.03, Z_M])
    marks = marks_around(cells, OWN_BITS, centre, RADIUS_M, CONFIG)
    assert [mark.threshold for mark in marks] == list(CONFIG.thresholds)
    inside = cells.within(centre, RADIUS_M)
    for mark in marks:
        chosen = inside[cells.probability[inside] > mark.threshold]
        np.testing.assert_array_equal(np.sort(mark.cells), np.sort(chosen))
        q, surface = cells.probability, cells.surface
        p = q[chosen]
        expected = {
            "inside": np.mean(np.log(p / (1.0 - p))),
            "caught": surface[chosen].sum() / surface[inside].sum(),
            "share": np.log((surface * q)[chosen].sum() / (surface * q).sum() + CONFIG.least_share),
            "colour": 4.0 - OWN_BITS,
            "chroma": 4.0,
        }
        said = dict(zip(FEATURES, mark.features, strict=True))
        for name, value in expected.items():
            assert said[name] == pytest.approx(value, abs=1e-3), name
        logit = np.dot(mark.features, [getattr(CONFIG.weights, n) for n in FEATURES]) + CONFIG.weights.constant
        assert mark.overlap == pytest.approx(1.0 / (1.0 + np.exp(-logit)), abs=1e-6)


def test_two_things_are_two_marks_and_none_repeats_another() -> None:
    left, right = _disk(30, 20, 6.0), _disk(30, 60, 6.0)
    marks = best_marks(_cells(np.where(left | right, 0.9, 0.01)), OWN_BITS, RADIUS_M, CONFIG)
    assert len(marks) == 2
    assert {frozenset(mark.cells) for mark in marks} == {frozenset(np.flatnonzero(m)) for m in (left, right)}
    assert marks[0].overlap >= marks[1].overlap


def test_a_map_of_nothing_has_no_mark() -> None:
    assert best_marks(_cells(np.zeros((60, 80))), OWN_BITS, RADIUS_M, CONFIG) == []
    assert list(centres(_cells(np.zeros((60, 80))), RADIUS_M, CONFIG)) == []


def test_without_depth_nothing_is_marked() -> None:
    small = small_frame(np.zeros((480, 640, 3), dtype=np.uint8), np.zeros((480, 640), dtype=np.float32), K)
    assert best_marks(_cells(np.full((60, 80), 0.9), small), OWN_BITS, RADIUS_M, CONFIG) == []


def test_candidates_of_the_nano_segmenter_are_ordered_by_the_overlap_that_they_promise(
    staged: Staged,
) -> None:
    """The first is the mug; its score is about what it overlaps by."""
    segmenter = Segmenter(NetworkBundle.load("nano"))
    found = segmenter.segment(segmenter.encode_image(staged.frame()), segmenter.encode_object(staged.item))
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True)
    assert found.best is not None
    truth = staged.mask()
    overlap = (found.best.mask & truth).sum() / (found.best.mask | truth).sum()
    assert overlap > 0.6
    assert found.best.score == pytest.approx(overlap, abs=0.25)


def test_of_nearly_equal_marks_the_tighter_one_is_taken() -> None:
    """A sure disk with a ring of 0.45 one cell wide: with the ring it promises as much, within a few hundredths."""
    core, ring = _disk(30, 40, 5.0), _disk(30, 40, 6.0)
    cells = _cells(np.where(core, 0.95, np.where(ring, 0.45, 0.005)))
    [tight] = best_marks(cells, OWN_BITS, RADIUS_M, replace(CONFIG, near_best=0.7))
    np.testing.assert_array_equal(np.sort(tight.cells), np.flatnonzero(core))
    [best] = best_marks(cells, OWN_BITS, RADIUS_M, replace(CONFIG, near_best=1.0))
    assert best.overlap >= tight.overlap >= 0.7 * best.overlap
    np.testing.assert_array_equal(np.sort(best.cells), np.flatnonzero(ring))
