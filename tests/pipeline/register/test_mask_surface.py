"""Surfaces under masks, and models in another unit. Masks that are refused are in `test_registrar`."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.errors import UnitError
from storm_edge.geometry.se3 import invert, transform
from storm_edge.pipeline.register.config import RegisterConfig
from storm_edge.pipeline.register.mask_surface import check_scale, mask_middle, masked_surface
from tests.staged import Staged

CONFIG = RegisterConfig()
LIMITS = {"max_factor": CONFIG.max_size_factor, "stray_percent": CONFIG.stray_depth_percent}


def test_the_surface_under_a_mask_is_the_objects(staged: Staged) -> None:
    """All points lie within the box around the mesh."""
    surface = masked_surface(staged.buffers(), staged.mask(), min_depth_px=CONFIG.min_depth_px)
    assert len(surface) == int(staged.mask().sum())
    in_object = transform(invert(staged.T_cam_centre), surface)
    low, high = staged.bundle.mesh.bounds()
    assert (in_object > low - 1e-4).all()
    assert (in_object < high + 1e-4).all()


K = np.array([[500.0, 0.0, 159.5], [0.0, 500.0, 119.5], [0.0, 0.0, 1.0]])
MASK = np.zeros((240, 320), dtype=bool)
MASK[100:121, 60:161] = True
MIDDLE = (110.0, 110.0)


def slanted(mask: np.ndarray, inverse_slope: float = 0.002) -> np.ndarray:
    """Points [m] of a plane under a mask, 0.5 m away in its middle."""
    rows, columns = np.nonzero(mask)
    z = 1.0 / (2.0 + inverse_slope * (columns - MIDDLE[0]))
    return np.stack([(columns - K[0, 2]) / K[0, 0] * z, (rows - K[1, 2]) / K[1, 1] * z, z], axis=1)


EXPECTED = np.array([(MIDDLE[0] - K[0, 2]) / K[0, 0], (MIDDLE[1] - K[1, 2]) / K[1, 1], 1.0]) * 0.5


def test_the_middle_of_a_mask_is_on_its_plane() -> None:
    np.testing.assert_allclose(mask_middle(slanted(MASK), MASK, K, 0.1), EXPECTED, atol=1e-6)


@pytest.mark.parametrize("first", [True, False])
def test_the_middle_stays_where_depth_is_missing_on_one_part(first: bool) -> None:
    """The middle of what has depth is a quarter of the object aside."""
    read = MASK.copy()
    if first:
        read[:, 110:] = False
    else:
        read[:, :110] = False
    surface = slanted(read)
    assert np.linalg.norm(np.median(surface, axis=0) - EXPECTED) > 0.02
    np.testing.assert_allclose(mask_middle(surface, MASK, K, 0.1), EXPECTED, atol=1e-6)


def test_stray_depth_does_not_tilt_the_plane() -> None:
    surface = slanted(MASK)
    surface[::9] *= 3.0
    np.testing.assert_allclose(mask_middle(surface, MASK, K, 0.1), EXPECTED, atol=1e-3)


def test_a_line_of_depth_has_no_slope_across() -> None:
    """A row of pixels with noise says nothing of the plane's slope up and down."""
    read = np.zeros_like(MASK)
    read[100, 60:161] = True
    surface = slanted(read, 0.0)
    surface *= 1.0 + 0.002 * np.random.default_rng(0).standard_normal((len(surface), 1))
    assert mask_middle(surface, MASK, K, 0.1)[2] == pytest.approx(0.5, abs=0.002)


def test_the_middle_is_within_reach() -> None:
    few = slanted(MASK)[:2]
    few[1] *= 1.1
    assert abs(mask_middle(few, MASK, K, 0.03)[2] - np.median(few[:, 2])) <= 0.03 + 1e-9
    apart = slanted(MASK)[:2]
    apart[1] *= 2.0
    assert np.isfinite(mask_middle(apart, MASK, K, 0.01)).all()


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_model_in_another_unit(staged: Staged, factor: float) -> None:
    surface = masked_surface(staged.buffers(), staged.mask(), min_depth_px=CONFIG.min_depth_px)
    check_scale(surface, staged.bundle.diameter_m, **LIMITS)
    with pytest.raises(UnitError, match="--unit"):
        check_scale(surface, staged.bundle.diameter_m * factor, **LIMITS)
