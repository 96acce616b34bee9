"""The agreement sums: every pixel class by hand, and the kernel against its reference."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.kernels import agreement as ag
from storm_edge.kernels.device import require_device
from storm_edge.kernels.launch_cache import LaunchCache
from storm_edge.kernels.reference.agreement import agreement_sums

TAU = 0.01
IDENTITY_WINDOW = np.array([[1, 0, 1, 0]], dtype=np.float32)
# float32 sums of up to 6400 products against float64; worst seen 2e-6 relative on an x86-64 CPU.
RELATIVE = 2e-5


def run(depth, colour, window, observed_depth, rgb, mask, noise_per_m=0.0):
    sums = wp.zeros((len(depth), ag.SUM_COUNT), dtype=wp.float32, device="cpu")
    blank = np.zeros(observed_depth.shape, np.uint8)
    crops = ag.rendered_crops(
        wp.array(depth, dtype=wp.float32, device="cpu"),
        wp.array(colour, dtype=wp.float32, device="cpu"),
        wp.array(window, dtype=wp.vec4f, device="cpu"),
        tau_m=TAU,
        noise_per_m=noise_per_m,
    )
    ag.launch_agreement(
        crops,
        (
            wp.array(observed_depth, dtype=wp.float32, device="cpu"),
            wp.array(rgb, dtype=wp.uint8, device="cpu"),
        ),
        wp.array(blank if mask is None else mask, dtype=wp.uint8, device="cpu"),
        mask_given=mask is not None,
        sums=sums,
        count=len(depth),
        launch_cache=LaunchCache(require_device("cpu")),
    )
    return sums.numpy()


def one_row(observed: list[float], mask: list[int] | None):
    """A model row at 1 m against one row of observed depths."""
    S = len(observed)
    depth = np.zeros((1, S, S), np.float32)
    depth[0, 0] = 1.0
    observed_depth = np.zeros((S, S), np.float32)
    observed_depth[0] = observed
    mask_image = None
    if mask is not None:
        mask_image = np.zeros((S, S), np.uint8)
        mask_image[0] = mask
    colour = np.zeros((1, S, S, 3), np.float32)
    rgb = np.zeros((S, S, 3), np.uint8)
    return run(depth, colour, IDENTITY_WINDOW, observed_depth, rgb, mask_image)[0]


def test_every_class_with_a_mask() -> None:
    #        on the surface, half the gate off, other depth, seen beside, behind, in front, nothing, nothing outside
    sums = one_row([1.0, 1.005, 1.05, 1.0, 1.4, 0.7, 0.0, 0.0], [1, 1, 1, 0, 0, 0, 1, 0])
    assert sums[ag.GOOD] == 2
    assert sums[ag.GOOD_WEIGHT] == pytest.approx(1.0 + 0.75, abs=1e-3)
    assert sums[ag.CONFLICT] == 1
    assert sums[ag.SPILL] == 2
    assert sums[ag.OCCLUDED] == 1
    assert sums[ag.UNKNOWN] == 1


def test_every_class_without_a_mask() -> None:
    sums = one_row([1.0, 1.4, 0.7, 0.0], None)
    assert [sums[c] for c in (ag.GOOD, ag.CONFLICT, ag.SPILL, ag.OCCLUDED, ag.UNKNOWN)] == [1, 0, 1, 1, 1]


@pytest.mark.parametrize("noise_per_m", [0.0, 0.012])
@pytest.mark.parametrize("with_mask", [True, False])
def test_kernel_equals_reference(with_mask: bool, noise_per_m: float, rng: np.random.Generator) -> None:
    N, S, H, W = 5, 40, 60, 70
    depth = rng.uniform(0.99, 1.01, (N, S, S)).astype(np.float32) * (rng.random((N, S, S)) < 0.7)
    colour = rng.random((N, S, S, 3), dtype=np.float32)
    # Windows that reach over the image border on every side.
    window = np.column_stack(
        [rng.uniform(0.5, 3, N), rng.uniform(-20, 30, N), rng.uniform(0.5, 3, N), rng.uniform(-20, 30, N)]
    ).astype(np.float32)
    observed = rng.uniform(0.98, 1.02, (H, W)).astype(np.float32) * (rng.random((H, W)) < 0.9)
    rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    mask = (rng.random((H, W)) < 0.5).astype(np.uint8) if with_mask else None
    depth, observed = depth.astype(np.float32), observed.astype(np.float32)
    expected = agreement_sums(depth, colour, window, observed, rgb, mask, tau_m=TAU, noise_per_m=noise_per_m)
    assert expected[:, ag.GOOD].min() > 20
    got = run(depth, colour, window, observed, rgb, mask, noise_per_m)
    np.testing.assert_allclose(got, expected, rtol=RELATIVE, atol=1e-3)
