"""Surfaces under masks, and models in another unit. Masks that are refused are in `test_registrar`."""

from __future__ import annotations

import pytest

from storm_edge.errors import UnitError
from storm_edge.geometry.se3 import invert, transform
from storm_edge.pipeline.register.config import RegisterConfig
from storm_edge.pipeline.register.mask_surface import check_scale, masked_surface
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


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_model_in_another_unit(staged: Staged, factor: float) -> None:
    surface = masked_surface(staged.buffers(), staged.mask(), min_depth_px=CONFIG.min_depth_px)
    check_scale(surface, staged.bundle.diameter_m, **LIMITS)
    with pytest.raises(UnitError, match="--unit"):
        check_scale(surface, staged.bundle.diameter_m * factor, **LIMITS)
