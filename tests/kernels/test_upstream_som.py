"""Where STORM's segmenter looks and where its mask goes: the upstream defect, and the two geometries without it."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.kernels.upstream_som import Geometry, mask_to_image, network_input


def _through(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A mask painted into an image, seen by a network that is always right, and brought back."""
    rgb = np.where(mask[..., None], np.uint8(255), np.uint8(0)) * np.ones(3, dtype=np.uint8)
    # Grey letterbox borders are below this, white above.
    white = network_input(rgb, geometry)[0] > 1.5
    return mask_to_image(np.where(white, 5.0, -5.0).astype(np.float32), mask.shape, geometry) > 0.0


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("geometry", [Geometry.LETTERBOX, Geometry.CENTRE])
@pytest.mark.parametrize("size_px", [(480, 640), (720, 1280)])
def test_a_mask_comes_back_where_it_was(geometry: Geometry, size_px: tuple[int, int]) -> None:
    """Worst overlap seen: 0.94 (letterboxed 1280x720, 5.7 px per input pixel)."""
    mask = np.zeros(size_px, dtype=bool)
    mask[200:320, size_px[1] // 2 + 40 : size_px[1] // 2 + 140] = True
    assert _iou(_through(mask, geometry), mask) > 0.9


def test_upstream_misplaces_it_as_the_facts_say() -> None:
    """reference-networks 2.6: an object at x 480-540 of a 640x480 frame comes back at x 535-615, IoU 0.037."""
    mask = np.zeros((480, 640), dtype=bool)
    mask[200:280, 480:540] = True
    columns = np.flatnonzero(_through(mask, Geometry.UPSTREAM).any(axis=0))
    assert columns[0] == pytest.approx(535, abs=4)
    assert columns[-1] == pytest.approx(615, abs=4)


def test_the_centre_square_is_blind_at_the_sides() -> None:
    out = mask_to_image(np.full((64, 64), 5.0, dtype=np.float32), (480, 640), Geometry.CENTRE)
    assert (out[:, :79] < 0.0).all()
    assert (out[:, 81:559] > 0.0).all()
