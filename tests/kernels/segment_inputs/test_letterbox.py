"""Where pixels go, and that they come back."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.kernels.segment_inputs import contract
from storm_edge.kernels.segment_inputs.letterbox import Letterbox

K = np.array([[570.0, 0.0, 322.0], [0.0, 575.0, 236.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("size_px", [(480, 640), (360, 640), (720, 1280), (480, 480), (90, 130)])
def test_a_point_projects_to_the_same_place_of_the_small_image(size_px: tuple[int, int]) -> None:
    box = Letterbox.of(size_px)
    point = np.array([0.03, -0.02, 0.8])
    at = (K @ point)[:2] / point[2]
    small = (box.intrinsics(K) @ point)[:2] / point[2]
    assert small == pytest.approx((at + 0.5) * box.scale - 0.5 + [box.left, box.top])
    assert box.left + box.width <= contract.SIZE_PX[1]
    assert box.top + box.height <= contract.SIZE_PX[0]


@pytest.mark.parametrize("size_px", [(480, 640), (360, 640)])
def test_a_mask_comes_back_where_it_was(size_px: tuple[int, int]) -> None:
    """Worst overlap seen: 0.968; cells are 8 px."""
    mask = np.zeros(size_px, dtype=bool)
    mask[120:264, 80:230] = True
    box = Letterbox.of(size_px)
    back = box.enlarge(box.shrink_mask(mask), size_px) > 0.5
    assert (mask & back).sum() / (mask | back).sum() > 0.95


def test_depth_is_measured_or_nothing() -> None:
    depth = np.full((480, 640), 1.0, dtype=np.float32)
    depth[:, 320:] = 2.0
    depth[200:280, 100:200] = 0.0
    small = Letterbox.of(depth.shape).shrink_depth(depth)
    assert set(np.unique(small)) == {0.0, 1.0, 2.0}
