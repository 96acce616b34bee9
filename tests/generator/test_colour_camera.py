from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from storm_edge.generator.camera_config import ColourCameraConfig
from storm_edge.generator.colour_camera import photograph
from storm_edge.generator.jpeg import compressed
from storm_edge.generator.motion_blur import one_object, smeared
from tests.generator.analytic_scenes import wall_and_ball, wall_and_box

PLAIN = ColourCameraConfig(
    motion_share=0.0,
    defocus_share=0.0,
    metered_share=0.0,
    exposure_stops=0.0,
    temperature=0.0,
    tint=(0.0, 0.0),
    gamma=0.0,
    contrast=(0.0, 0.0),
    saturation=(1.0, 1.0),
    haze_share=0.0,
    vignetting=(0.0, 0.0),
    read_noise=(1e-9, 1e-9),
    shot_noise=(1e-9, 1e-9),
    sharpening_share=0.0,
    jpeg_share=0.0,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_camera_without_faults_gives_the_scene_in_steps_of_a_byte() -> None:
    scenes = wall_and_ball(3)
    rgb = photograph(scenes, generator(), PLAIN)
    assert torch.allclose(rgb, (scenes.colour * 255.0).round() / 255.0, atol=1e-6)


def test_pictures_are_bytes_and_the_scene_stays_as_it_was() -> None:
    scenes = wall_and_box(12)
    before = scenes.colour.clone()
    rgb = photograph(scenes, generator(), ColourCameraConfig())
    assert rgb.shape == (12, 3, 120, 160)
    assert torch.isfinite(rgb).all()
    assert rgb.min() >= 0.0
    assert rgb.max() <= 1.0
    assert ((rgb * 255.0) - (rgb * 255.0).round()).abs().max() < 1e-3
    assert torch.equal(scenes.colour, before)


def test_one_seed_gives_one_batch_and_scenes_differ() -> None:
    scenes = wall_and_ball(4)
    first = photograph(scenes, generator(5), ColourCameraConfig())
    assert torch.equal(first, photograph(scenes, generator(5), ColourCameraConfig()))
    assert not torch.equal(first, photograph(scenes, generator(6), ColourCameraConfig()))
    assert not torch.equal(first[0], first[1])


def test_odd_sizes_and_one_scene_work() -> None:
    config = dataclasses.replace(ColourCameraConfig(), jpeg_share=1.0, motion_share=1.0)
    assert photograph(wall_and_box(1, size_px=(91, 133)), generator(), config).shape == (1, 3, 91, 133)


def test_a_metered_exposure_brings_dark_and_bright_scenes_to_a_usual_level() -> None:
    config = dataclasses.replace(PLAIN, metered_share=1.0, metering=1.0, gain_limits=(0.01, 100.0))
    for light in (0.1, 0.5, 2.0):
        scenes = wall_and_box(8)
        scenes = dataclasses.replace(scenes, colour=scenes.colour * light)
        means = photograph(scenes, generator(), config).mean((1, 2, 3))
        assert means.min() > config.metered_level[0] - 0.06
        assert means.max() < config.metered_level[1] + 0.02


def test_noise_has_the_deviation_that_is_asked_for() -> None:
    config = dataclasses.replace(PLAIN, read_noise=(0.03, 0.03), coarse_noise=(0.0, 1.0))
    scenes = wall_and_box(16)
    scenes = dataclasses.replace(scenes, colour=torch.full_like(scenes.colour, 0.5))
    rgb = photograph(scenes, generator(), config)
    assert float(rgb.std()) == pytest.approx(0.03, rel=0.05)


def test_motion_smears_along_its_path_only_and_keeps_the_light() -> None:
    picture = torch.zeros(2, 3, 65, 65)
    picture[:, :, 32, 32] = 1.0
    path = torch.tensor([[16.0, 0.0], [0.0, 16.0]])
    out = smeared(picture, torch.ones(2, 65, 65), path)
    assert out.sum((2, 3)) == pytest.approx(torch.ones(2, 3), abs=1e-5)
    rows, columns = torch.nonzero(out[0, 0], as_tuple=True)
    assert set(rows.tolist()) == {32}
    assert 12 <= columns.max() - columns.min() <= 16
    assert abs(float((out[0, 0] * torch.arange(65)).sum()) - 32.0) <= 0.51
    assert torch.equal(out[1], out[0].transpose(1, 2))


def test_one_object_moves_before_a_still_wall() -> None:
    scenes = wall_and_box(1)
    alpha = one_object(scenes.truth, generator())
    assert torch.equal(alpha > 0.0, scenes.truth.instance == 0)
    out = smeared(scenes.colour, alpha, torch.tensor([[20.0, 0.0]]))
    assert torch.allclose(out[:, :, :30], scenes.colour[:, :, :30])
    assert torch.allclose(out[:, :, 60, 80], scenes.colour[:, :, 60, 80], atol=1e-5)
    assert not torch.allclose(out[:, :, 60, 50], scenes.colour[:, :, 60, 50], atol=0.02)


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_compression_does_what_a_jpeg_file_does(quality: int) -> None:
    rng = np.random.default_rng(3)
    few = rng.integers(40, 216, (12, 20, 3), dtype=np.uint8)
    picture = cv2.resize(few, (157, 93), interpolation=cv2.INTER_CUBIC)
    _, code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    wanted = cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32)
    x = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255.0
    got = compressed(x, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy() * 255.0
    difference = np.abs(got - wanted)
    assert difference.mean() < 1.1  # levels; the library calculates with integers
    assert difference.mean() < 0.4 * np.abs(wanted - picture).mean()


def test_ranges_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValueError, match="contrast"):
        ColourCameraConfig(contrast=(0.5, 0.1))
