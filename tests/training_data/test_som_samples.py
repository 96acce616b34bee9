"""Samples of the full segmenter: of a BOP split beside upstream's views, and changed as upstream's loader does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.choices import Framing, LengthUnit
from storm_edge.errors import InputError, SceneError
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.pipeline.segment.full_som_framing import square_image
from storm_edge.training_data.som_augment import SomAugment, som_input
from storm_edge.training_data.som_samples import held_out_apart, read_samples
from storm_edge.training_data.view_pictures import write_views
from tests.training_data.tiny_dataset import SPLIT, write_tiny_dataset

STILL = SomAugment(brightness=0.0, hue=0.0, blur_share=0.0, erase_share=0.0)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """A white L on black, and its mask."""
    mask = np.zeros((240, 320), dtype=bool)
    mask[80:180, 130:150] = mask[160:180, 130:220] = True
    return np.repeat(mask[..., None].astype(np.uint8) * np.uint8(255), 3, axis=2), mask


def test_a_split_beside_upstreams_views_is_read(tmp_path: Path) -> None:
    dataset = write_tiny_dataset(tmp_path / "tiny", scenes=2, frames=2)
    with pytest.raises(SceneError, match="no angle_000"):
        read_samples(dataset / SPLIT)
    views = dataset / "render" / "obj_000003"
    write_views(dataset / "models" / "obj_000003.ply", LengthUnit.MM, views, name="obj_000003")
    (views / "views.json").unlink()  # upstream's scripts write none
    samples = read_samples(dataset / SPLIT)
    assert len(samples) == 4
    assert {sample.views for sample in samples} == {views}
    kept, apart = held_out_apart(samples)
    assert (len(kept), len(apart)) == (3, 1)
    assert samples[0].read()[1].any()
    with pytest.raises(InputError, match="one picture"):
        held_out_apart(samples[:1])


def test_what_is_not_changed_is_what_the_network_is_shown() -> None:
    rgb, mask = drawn()
    image, wanted = som_input(rgb, mask, None, np.random.default_rng(0))
    np.testing.assert_array_equal(image, square_image(rgb, Framing.UPSTREAM)[0])
    assert image.shape == (3, 224, 224)
    assert wanted.shape == (256, 256)
    assert set(np.unique(wanted)) == {0.0, 1.0}


def test_picture_and_mask_move_together() -> None:
    """The L stays under its mask, whichever way it is turned, mirrored and sheared; one mirrored alone would not."""
    rgb, mask = drawn()
    shapes = []
    for seed in range(6):
        image, wanted = som_input(rgb, mask, STILL, np.random.default_rng(seed))
        grey = (image[0] * IMAGENET_STD[0] + IMAGENET_MEAN[0]) > 0.5
        rows = (np.arange(224) * 256 + 128) // 224
        small = wanted[rows][:, rows] > 0.5
        assert (grey & small).sum() / (grey | small).sum() > 0.85
        shapes.append(small)
    assert all((shapes[0] != other).any() for other in shapes[1:])
    turned = replace(STILL, mirror_share=0.0, turn_deg=0.0, scale=(1.0, 1.0))
    _, sheared = som_input(rgb, mask, turned, np.random.default_rng(0))
    top, bottom = (np.flatnonzero(sheared[row]).min() for row in (90, 165))
    assert top - bottom == pytest.approx(75 * np.tan(np.deg2rad(25)), abs=3)  # every picture, by 25 degrees


def test_a_hidden_part_is_noise_without_an_object() -> None:
    rgb, mask = np.full((256, 256, 3), 120, dtype=np.uint8), np.ones((256, 256), dtype=bool)
    augment = replace(STILL, erase_share=1.0, mirror_share=0.0, turn_deg=0.0, scale=(1.0, 1.0), shear_deg=(0.0, 0.0))
    for seed in range(4):
        image, wanted = som_input(rgb, mask, augment, np.random.default_rng(seed))
        assert 0.015 < (wanted == 0.0).mean() < 0.105
        hidden = np.abs(image - np.median(image, axis=(1, 2), keepdims=True)) > 1e-3
        assert hidden.any(axis=0).mean() == pytest.approx((wanted == 0.0).mean(), abs=0.01)
