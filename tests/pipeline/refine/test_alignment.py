"""The residual's terms from sums: the same on the host and in the kernel, within bounds whatever rounding does."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.kernels import evidence as ev
from storm_edge.pipeline.refine.alignment import fuse_terms


def of_colours(model: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Sums ``(1, SUM_COUNT)`` of points that agree in depth, with these tones."""
    sums = np.zeros((1, ev.SUM_COUNT), dtype=np.float32)
    sums[0, [ev.JUDGED, ev.INLIERS]] = len(model)
    moments = (model, image, model * model, image * image, model * image)
    sums[0, ev.MODEL_SUM :] = [values.astype(np.float32).sum(dtype=np.float32) for values in moments]
    return sums


def on_device(sums: np.ndarray) -> np.ndarray:
    """The kernel's terms ``(1, TERM_COUNT)``."""
    terms = wp.zeros((len(sums), ev.TERM_COUNT), dtype=wp.float64, device="cpu")
    wp.launch(ev.fuse_terms_kernel, dim=len(sums), inputs=[wp.array(sums, device="cpu"), False, terms], device="cpu")
    return np.asarray(terms.numpy())


@pytest.mark.parametrize("tone", [0.1, 0.7, 0.93, 1.0])
def test_a_plain_object_has_a_colour_term_within_bounds(tone: float) -> None:
    """Its tones have no variance but what rounding leaves, and nothing to correlate with."""
    sums = of_colours(np.full(1000, tone), np.full(1000, tone))
    sums[0, ev.PRODUCT] *= np.float32(1.0 + 5e-5)
    terms = fuse_terms(sums.astype(np.float64), colours_known=False)
    assert 0.0 <= terms.colour[0] <= 1.0
    assert terms.residual[0] == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(on_device(sums)[0, ev.COLOUR_TERM], terms.colour[0], atol=1e-6)


def test_the_colour_term_is_one_minus_the_correlation() -> None:
    tones = np.linspace(0.0, 1.0, 1000)
    for image, expected in ((0.3 + 0.2 * tones, 0.0), (1.0 - tones, 1.0)):
        sums = of_colours(tones, image)
        assert fuse_terms(sums.astype(np.float64), colours_known=False).colour[0] == pytest.approx(expected, abs=1e-3)
        assert on_device(sums)[0, ev.COLOUR_TERM] == pytest.approx(expected, abs=1e-3)
