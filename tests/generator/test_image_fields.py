from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from storm_edge.generator.image_fields import PerScene, binomial, farthest_of_3x3, looked_up, nearest_of_3x3


def per_scene(count: int) -> PerScene:
    return PerScene(count, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("reach", [1, 2])
def test_binomial_averages_with_repeated_borders(reach: int) -> None:
    x = torch.rand(2, 3, 13, 17)
    weights = np.zeros(2 * reach + 1)
    weights[[0, reach, -1]] = 0.25, 0.5, 0.25
    wanted = ndimage.convolve1d(x.numpy(), weights, axis=-1, mode="nearest")
    wanted = ndimage.convolve1d(wanted, weights, axis=-2, mode="nearest")
    np.testing.assert_allclose(binomial(x, reach).numpy(), wanted, atol=1e-6)


def test_windows_of_3x3() -> None:
    x = torch.rand(2, 13, 17)
    np.testing.assert_array_equal(
        nearest_of_3x3(x).numpy(), ndimage.minimum_filter(x.numpy(), (1, 3, 3), mode="nearest")
    )
    np.testing.assert_array_equal(
        farthest_of_3x3(x).numpy(), ndimage.maximum_filter(x.numpy(), (1, 3, 3), mode="nearest")
    )


def test_fields_vary_alike_everywhere_and_are_as_smooth_as_asked() -> None:
    scale = torch.tensor([3.0, 12.0]).repeat(150)
    fields = per_scene(300).field((24, 36), scale, 3.0)
    assert fields.mean().abs() < 0.03
    for which in (0, 1):
        part = fields[which::2]
        assert (part.std(0) - 1.0).abs().max() < 0.3
    step = (fields[:, :, 1:] - fields[:, :, :-1]).square().mean((1, 2)).sqrt()
    assert step[0::2].mean() > 2.5 * step[1::2].mean()


def test_looking_up_moves_the_picture() -> None:
    x = torch.arange(35.0).reshape(1, 5, 7)
    out = looked_up(x, torch.full((1, 5, 7), 2.0), torch.full((1, 5, 7), -1.0))
    assert torch.equal(out[0, 1:, :5], x[0, :4, 2:])
    assert torch.equal(looked_up(x[:, None], torch.full((1, 5, 7), 2.0), torch.full((1, 5, 7), -1.0))[:, 0], out)
