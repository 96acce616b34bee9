"""Whether an object stands on a large plane, by geometry: a box above a table, seen from straight above."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame, small_frame
from storm_edge.pipeline.detect.config import StandingConfig
from storm_edge.pipeline.detect.standing import standing

K = np.array([[150.0, 0.0, 79.5], [0.0, 150.0, 59.5], [0.0, 0.0, 1.0]])
TABLE_M, SIDE_M = 1.0, 0.1
BOX = SIDE_M * (np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], [0.0, 1.0]), axis=-1).reshape(-1, 3) - 0.5)
DIAMETER_M = SIDE_M * np.sqrt(3.0)
CONFIG = StandingConfig()


def table(first_column: int = 0, floor_m: float = 0.0) -> SmallFrame:
    """A table from a column on, and a floor beside it; 0 is none."""
    depth_m = np.full((120, 160), floor_m, dtype=np.float32)
    depth_m[:, first_column:] = TABLE_M
    return small_frame(np.zeros((120, 160, 3), dtype=np.uint8), depth_m, K)


def box_at(height_m: float, turn: float = 0.0) -> float:
    """How well the box stands with its middle so far above the table [m]."""
    return standing(BOX, pose(height_m, turn=turn), table(), DIAMETER_M, CONFIG)


def pose(height_m: float, x_m: float = 0.0, turn: float = 0.0) -> np.ndarray:
    return make_T(exp_so3([turn, 0.0, 0.0]), [x_m, 0.0, TABLE_M - height_m])


def test_a_box_stands_on_its_side_and_on_its_edge() -> None:
    assert box_at(SIDE_M / 2) == pytest.approx(1.0, abs=1e-3)
    on_edge = SIDE_M / np.sqrt(2.0)
    assert box_at(on_edge, np.pi / 4) == pytest.approx(1.0, abs=1e-3)
    assert box_at(SIDE_M / 2, np.pi / 4) < 0.05


@pytest.mark.parametrize("gap_m", [0.02, -0.02])
def test_a_box_above_the_table_or_within_does_not(gap_m: float) -> None:
    assert box_at(SIDE_M / 2 + gap_m) < 0.05


def test_small_gaps_are_noise() -> None:
    deviation_m = np.hypot(CONFIG.gap_diameters * DIAMETER_M, CONFIG.noise_m + CONFIG.noise_per_m * 0.95**2)
    assert box_at(SIDE_M / 2 + deviation_m) == pytest.approx(np.exp(-0.5), abs=0.02)


def test_a_box_beside_the_table_does_not_stand_on_it() -> None:
    """At the height of the table, but the table ends half a metre beside."""
    frame = table(first_column=110, floor_m=3.0)
    assert len(frame.planes) >= 1
    assert standing(BOX, pose(SIDE_M / 2, x_m=-0.35), frame, DIAMETER_M, CONFIG) == 0.0
    assert standing(BOX, pose(SIDE_M / 2, x_m=0.35), frame, DIAMETER_M, CONFIG) == pytest.approx(1.0, abs=1e-3)


def test_nothing_stands_where_no_plane_is_seen() -> None:
    frame = small_frame(np.zeros((120, 160, 3), dtype=np.uint8), np.zeros((120, 160), dtype=np.float32), K)
    assert standing(BOX, pose(SIDE_M / 2), frame, DIAMETER_M, CONFIG) == 0.0


def test_nothing_stands_beside_the_lens_or_behind() -> None:
    """On a floor that goes on beneath the camera, 0.3 m below."""
    below_m = 0.3
    slope = (np.arange(120.0) - K[1, 2]) / K[1, 1]
    depth_m = np.where(slope > 0.1, below_m / np.maximum(slope, 0.1), 0.0)
    depth_m = np.repeat(depth_m[:, None], 160, axis=1).astype(np.float32)
    floor = small_frame(np.zeros((120, 160, 3), dtype=np.uint8), depth_m, K)
    for z_m, expected in ((1.0, 1.0), (0.0, 0.0), (-0.5, 0.0)):
        T = make_T(np.eye(3), [0.0, below_m - SIDE_M / 2, z_m])
        assert standing(BOX, T, floor, DIAMETER_M, CONFIG) == pytest.approx(expected, abs=1e-3)
