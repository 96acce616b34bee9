"""A texture that clamps or mirrors shows the same once it is turned into one that repeats."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.objects.texture_wrap import MAX_CLAMPED_PX, MAX_CLAMPED_RANGE, Wrap, WrapModes, unwrapped

PICTURE = np.random.default_rng(3).integers(0, 256, (5, 7, 3)).astype(np.uint8)


def sampled(texture: NDArray[np.uint8], uv: NDArray[np.float64], modes: WrapModes) -> NDArray[np.float64]:
    """Bilinear colours ``(N, 3)`` as OpenGL samples them: texel centres at (i + 0.5) / size."""
    height, width = texture.shape[:2]
    x, y = uv[:, 0] * width - 0.5, (1.0 - uv[:, 1]) * height - 0.5
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    total = np.zeros((len(uv), 3))
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = np.where(dx, x - x0, 1.0 - (x - x0)) * np.where(dy, y - y0, 1.0 - (y - y0))
        texel = texture[_index(y0 + dy, height, modes.v), _index(x0 + dx, width, modes.u)]
        total += weight[:, None] * texel
    return total


def _index(index: NDArray[np.int64], count: int, mode: Wrap) -> NDArray[np.int64]:
    if mode is Wrap.CLAMP:
        return np.clip(index, 0, count - 1)
    if mode is Wrap.MIRROR:
        folded = index % (2 * count)
        return np.where(folded < count, folded, 2 * count - 1 - folded)
    return index % count


@pytest.mark.parametrize("u", list(Wrap))
@pytest.mark.parametrize("v", list(Wrap))
def test_it_shows_the_same_when_it_repeats(u: Wrap, v: Wrap) -> None:
    """Largest difference seen: 1e-12 of 255."""
    uv = np.random.default_rng(4).uniform(-1.7, 2.6, (500, 2))
    modes = WrapModes(u=u, v=v)
    found = unwrapped(PICTURE, uv, modes)
    assert found is not None
    np.testing.assert_allclose(sampled(*found, WrapModes()), sampled(PICTURE, uv, modes), atol=1e-6)


def test_a_texture_within_its_edges_stays_as_it_is() -> None:
    uv = np.random.default_rng(4).uniform(0.0, 1.0, (50, 2))
    found = unwrapped(PICTURE, uv, WrapModes(u=Wrap.CLAMP, v=Wrap.MIRROR))
    assert found is not None
    np.testing.assert_array_equal(found[0], PICTURE)
    np.testing.assert_array_equal(found[1], uv)


def test_a_large_clamped_image_is_reduced() -> None:
    image = np.zeros((4, 1024, 3), dtype=np.uint8)
    image[:, 512:] = 200
    found = unwrapped(image, np.array([[-3.0, 0.5], [0.25, 0.5], [0.75, 0.5], [4.0, 0.5]]), WrapModes(u=Wrap.CLAMP))
    assert found is not None
    assert found[0].shape[1] <= MAX_CLAMPED_PX + 4
    np.testing.assert_array_equal(sampled(*found, WrapModes())[:, 0], [0.0, 0.0, 200.0, 200.0])


def test_coordinates_beyond_all_images_are_refused() -> None:
    far = np.array([[0.0, 0.0], [MAX_CLAMPED_RANGE + 1.0, 0.0]])
    assert unwrapped(PICTURE, far, WrapModes(u=Wrap.CLAMP)) is None
    assert unwrapped(PICTURE, far, WrapModes(u=Wrap.MIRROR)) is not None
