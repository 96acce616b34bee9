from __future__ import annotations

import dataclasses

import pytest
import torch

from storm_edge.generator.camera_config import DepthCameraConfig, DepthKindsConfig
from storm_edge.generator.depth_camera import measure
from tests.generator.analytic_scenes import wall_and_ball, wall_and_box

CLEAN_KINDS = DepthKindsConfig(
    noise_m=(1e-9, 1e-9),
    disparity_share=0.0,
    window_px=(0.01, 0.01),
    flying=(0.0, 0.0),
    fattening_px=(0.0, 0.0),
    jitter_px=(0.0, 0.0),
    shadow_share=0.0,
    grazing_cosine=(0.0, 0.0),
    dark_level=(-1.0, -1.0),
    bright_level=(9.0, 9.0),
    flight_noise_m=(1e-9, 1e-9),
    flight_bias_m=(0.0, 0.0),
    flight_edge_px=(0.0, 0.0),
    flight_flying=(0.0, 0.0),
    lidar_wave=(1e-9, 1e-9),
)
CLEAN = DepthCameraConfig(
    kinds=CLEAN_KINDS,
    kind_shares=(0.0, 0.0, 0.0),
    shift_share=0.0,
    border_share=0.0,
    range_share=0.0,
    dropout_share=0.0,
    scale_bias=0.0,
    steps_m=(0.001, 0.001),
)
STEREO, FLIGHT, LIDAR = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def camera(shares: tuple[float, float, float], **kinds: object) -> DepthCameraConfig:
    return dataclasses.replace(
        CLEAN,
        kind_shares=shares,
        kinds=dataclasses.replace(CLEAN_KINDS, **kinds),
        steps_m=(1e-5, 1e-5),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("shares", [(0.0, 0.0, 0.0), STEREO, FLIGHT])
def test_a_camera_without_faults_rounds_to_millimetres(shares: tuple[float, float, float]) -> None:
    scenes = wall_and_ball(3)
    z = measure(scenes, generator(), dataclasses.replace(CLEAN, kind_shares=shares))
    assert (z - scenes.depth_m).abs().max() <= 0.00051
    assert ((z * 1e3) - (z * 1e3).round()).abs().max() < 1e-3


def test_measuring_twice_with_one_seed_gives_one_batch() -> None:
    scenes = wall_and_ball(8)
    first = measure(scenes, generator(1), DepthCameraConfig())
    assert torch.equal(first, measure(scenes, generator(1), DepthCameraConfig()))
    assert not torch.equal(first, measure(scenes, generator(2), DepthCameraConfig()))


@pytest.mark.parametrize("shares", [STEREO, FLIGHT, LIDAR, (0.4, 0.3, 0.2)])
@pytest.mark.parametrize("size_px", [(120, 160), (91, 133)])
def test_readings_are_finite_and_where_nothing_is_there_is_none(
    shares: tuple[float, float, float], size_px: tuple[int, int]
) -> None:
    scenes = wall_and_box(6, size_px=size_px)
    depth = scenes.depth_m.clone()
    depth[:, :, : size_px[1] // 3] = 0.0  # seen through a window
    measurable = torch.ones_like(scenes.measurable)
    measurable[:, size_px[0] // 2 :] = False  # a mirror
    scenes = dataclasses.replace(scenes, depth_m=depth, measurable=measurable)
    z = measure(scenes, generator(), dataclasses.replace(DepthCameraConfig(), kind_shares=shares, shift_share=0.0))
    assert torch.isfinite(z).all()
    assert (z >= 0.0).all()
    assert z.max() < 1.3
    # Averages and jitter reach a few pixels over the border.
    assert (z[:, :, : size_px[1] // 3 - 8] == 0.0).all()
    assert (z[:, size_px[0] // 2 + 8 :] == 0.0).all()


@pytest.mark.parametrize(("shares", "power"), [(STEREO, 2.0), (FLIGHT, 1.0)])
def test_noise_grows_with_distance_as_the_kind_says(shares: tuple[float, float, float], power: float) -> None:
    spread = []
    for wall_m in (0.6, 1.2, 2.4):
        scenes = wall_and_box(16, wall_m=wall_m, box_m=wall_m)
        config = camera(shares, noise_m=(0.002, 0.002), flight_noise_m=(0.002, 0.002))
        z = measure(scenes, generator(), config)
        spread.append(float((z - wall_m)[:, 4:-4, 4:-4].std()))
    assert spread[1] / spread[0] == pytest.approx(2.0**power, rel=0.15)
    assert spread[2] / spread[1] == pytest.approx(2.0**power, rel=0.15)


def test_stereo_has_a_shadow_on_one_side_as_wide_as_the_disparities_differ() -> None:
    scenes = wall_and_box(16, size_px=(120, 320))
    z = measure(scenes, generator(), camera(STEREO, shadow_share=1.0, baseline_m=(0.05, 0.05)))
    hidden = z[:, 60] == 0.0
    left, right = hidden[:, :106].sum(1), hidden[:, 213:].sum(1)
    wanted = 320 * 0.05 * (1.0 / 0.7 - 1.0 / 1.0)
    assert ((left == 0) != (right == 0)).all()
    assert (left > 0).any()
    assert (right > 0).any()
    assert ((left + right).float() - wanted).abs().max() <= 1.0


def test_near_things_grow_when_a_camera_fattens_them() -> None:
    scenes = wall_and_box(4, size_px=(120, 320))
    z = measure(scenes, generator(), camera(STEREO, fattening_px=(4.0, 4.0)))
    grown = (z < 0.85).sum((1, 2)) - (scenes.depth_m < 0.85).sum((1, 2))
    assert (grown == 44 * (107 + 4) - 40 * 107).all()


def test_time_of_flight_flies_between_surfaces_or_drops_the_edge() -> None:
    scenes = wall_and_box(4)
    flying = measure(scenes, generator(), camera(FLIGHT, flight_flying=(1.0, 1.0)))
    assert ((flying > 0.72) & (flying < 0.98)).sum() > 100
    dropped = measure(scenes, generator(), camera(FLIGHT, flight_edge_px=(8.0, 8.0)))
    assert ((dropped == 0.0) | ((dropped - scenes.depth_m).abs() < 1e-3)).all()
    assert (dropped == 0.0).sum((1, 2)).min() > 150


def test_lidar_bleeds_over_edges_and_has_no_holes() -> None:
    scenes = wall_and_box(4, size_px=(240, 320))
    z = measure(scenes, generator(), camera(LIDAR, lidar_cell_px=(10.0, 10.0)))
    assert (z > 0.0).all()
    between = (z[:, 120] > 0.71) & (z[:, 120] < 0.99)
    assert (between.sum(1) >= 4).all()
    assert (between.sum(1) <= 16).all()
    assert (z[:, 120, 160] - 0.7).abs().max() < 1e-3


def test_dark_and_grazing_surfaces_lose_their_depth() -> None:
    scenes = wall_and_box(8)
    scenes.colour[:, :, 40:80, 53:106] = 0.01
    z = measure(scenes, generator(), camera(STEREO, dark_level=(0.1, 0.1)))
    box = scenes.truth.instance == 0
    share = (z == 0.0)[box].float().mean()
    assert 0.2 < float(share) < 0.6
    assert not (z == 0.0)[~box].any()
    scenes = wall_and_ball(8)
    z = measure(scenes, generator(), camera(STEREO, grazing_cosine=(0.3, 0.3)))
    lost = z == 0.0
    assert lost.any()
    assert (scenes.truth.instance == 0)[lost].all()
    assert (-scenes.normal[:, 2])[lost].max() < 0.8


def test_depth_lies_off_the_colour_by_the_shift_that_is_asked_for() -> None:
    scenes = wall_and_box(8, size_px=(240, 320))
    config = dataclasses.replace(CLEAN, shift_share=1.0, shift_px=(8.0, 8.0), parallax_share=0.0)
    z = measure(scenes, generator(), config)
    columns, rows = torch.arange(320.0), torch.arange(240.0)
    box = (z < 0.85).float()
    centre = torch.stack([(box.sum(1) * columns).sum(1), (box.sum(2) * rows).sum(1)], 1) / box.sum((1, 2))[:, None]
    still = torch.tensor([(106 + 212) / 2.0, 79.5 + 40.0])
    assert ((centre - still).norm(dim=1) - 4.0).abs().max() < 1.0


def test_borders_and_ranges_are_blind() -> None:
    scenes = wall_and_box(8)
    z = measure(scenes, generator(), dataclasses.replace(CLEAN, border_share=1.0, border=(0.05, 0.05), slant=0.0))
    assert (z[:, :, :8] == 0.0).all()
    assert (z[:, :, 9:-9][:, 9:-9] > 0.0).all()
    z = measure(scenes, generator(), dataclasses.replace(CLEAN, range_share=1.0, range_m=(0.9, 0.9)))
    assert torch.equal(z > 0.0, scenes.depth_m < 0.9)


def test_dropouts_take_the_share_that_is_asked_for() -> None:
    config = dataclasses.replace(CLEAN, dropout_share=1.0, dropout=(0.04, 0.04))
    lost = measure(wall_and_box(24), generator(), config) == 0.0
    assert float(lost.float().mean()) == pytest.approx(0.04, abs=0.012)


def test_shares_over_one_are_refused() -> None:
    with pytest.raises(ValueError, match="kind_shares"):
        DepthCameraConfig(kind_shares=(0.6, 0.6, 0.0))
