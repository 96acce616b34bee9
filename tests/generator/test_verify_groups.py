"""Groups of crops: good ones show one side of an object in its place, bad ones do not."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from storm_edge.generator.camera_config import ColourCameraConfig, DepthCameraConfig
from storm_edge.generator.config import GeneratorConfig, VerifyGroupConfig
from storm_edge.generator.contract import SceneBatch
from storm_edge.generator.crops import observed_crops, windows_of
from storm_edge.generator.group_scenes import make_group_scenes, turned_by
from storm_edge.generator.motions import exp_so3, rigid
from storm_edge.generator.scenes import SceneGenerator
from storm_edge.generator.verify_groups import BAD_COUNT, GOOD_COUNT, VerifyGroups, quarter_turned


def with_bad(config: GeneratorConfig, kinds: tuple[float, float, float, float]) -> GeneratorConfig:
    return dataclasses.replace(
        config, verify=dataclasses.replace(config.verify, bad_kinds=kinds, group_roll_share=0.0)
    )


def test_a_batch_is_what_the_contract_says_and_repeats_with_its_seed(small_config: GeneratorConfig) -> None:
    first, second = (VerifyGroups(4, config=small_config).batch(7) for _ in range(2))
    assert first["crops"].shape == (7, GOOD_COUNT + BAD_COUNT, 6, 80, 80)
    assert first["good"].tolist() == [[1.0] * GOOD_COUNT + [0.0] * BAD_COUNT] * 7
    for name, value in first.items():
        assert value.dtype == torch.float32
        assert torch.isfinite(value).all()
        assert torch.equal(value, second[name])


def test_pictures_of_a_series_show_about_one_side_and_the_last_another(small_generator: SceneGenerator) -> None:
    config = VerifyGroupConfig()
    made = make_group_scenes(small_generator, 6, 4, config)
    truth = made.rendered.truth
    R = truth.T_cam_obj[..., :3, :3].reshape(6, 5, -1, 3, 3)
    there = made.slot >= 0
    apart = (R[:, :4, None] @ R[:, None, :4].transpose(-1, -2)).diagonal(dim1=-2, dim2=-1).sum(-1)
    angle = torch.rad2deg(((apart - 1.0) / 2.0).clamp(-1.0, 1.0).acos()).amax((1, 2))
    assert angle[there].max() < 2.0 * config.spread_deg[1] + 0.1
    slot = truth.slot.reshape(6, 5, -1)
    assert ((slot == made.slot[:, None]) | (slot == -1)).all()
    for g, n in torch.nonzero(made.other_side & there).tolist():
        T = truth.T_cam_obj.reshape(6, 5, -1, 4, 4)[g, [0, 4], n]
        away = turned_by(small_generator.pool, made.slot[g, n][None], T[:1], T[1:])
        assert math.degrees(float(away)) >= config.least_turn_deg - 0.01


def test_objects_lie_on_the_table_however_they_are_turned(small_generator: SceneGenerator) -> None:
    made = make_group_scenes(small_generator, 3, 4, VerifyGroupConfig())
    assert torch.isfinite(made.rendered.depth_m).all()
    assert float(made.share.mean()) > 0.1


@pytest.mark.parametrize("kind", range(5))
def test_bad_crops_of_every_kind_differ_from_good_ones(small_config: GeneratorConfig, kind: int) -> None:
    kinds = tuple(float(k == kind) for k in range(4))
    config = with_bad(small_config, kinds)  # type: ignore[arg-type]
    clear = ColourCameraConfig(motion_share=0.0, defocus_share=0.0)
    config = dataclasses.replace(config, colour=clear, depth=DepthCameraConfig(kind_shares=(0.0, 0.0, 0.0)))
    crops = VerifyGroups(2, config=config).batch(12)["crops"]
    middle = crops[:, :, 3:, 36:44, 36:44]
    near = ((middle.norm(dim=2) < 1.0) & (middle[:, :, 2] != 0.0)).float().mean((2, 3))
    good, bad = near[:, :GOOD_COUNT].mean(), near[:, GOOD_COUNT:].mean()
    assert good > 0.6
    if kind in (0, 1):  # another side, or rolled: something is in its place
        assert bad > 0.5
    if kind == 4:
        assert bad < 0.35


def test_a_quarter_turned_crop_is_that_of_a_rolled_camera(small_generator: SceneGenerator) -> None:
    """The scene rolled about the view axis, photographed anew, gives the turned crop."""
    size, rng = 64, np.random.default_rng(1)
    K = torch.tensor([[[80.0, 0.0, 31.5], [0.0, 80.0, 31.5], [0.0, 0.0, 1.0]]])
    rgb = torch.from_numpy(rng.random((1, 3, size, size), dtype=np.float32))
    depth = torch.from_numpy(rng.uniform(0.45, 0.55, (1, size, size)).astype(np.float32))
    truth = dataclasses.replace(small_generator.scenes(1).truth, K=K)
    T = rigid(torch.eye(3)[None], torch.tensor([[0.0, 0.0, 0.5]]))
    d, image = torch.tensor([0.25]), torch.zeros(1, dtype=torch.long)
    windows, _ = windows_of(T, K, d)

    def crop(colour: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        scenes = SceneBatch(truth=truth, rgb=colour.contiguous(), depth_m=z.contiguous())
        return observed_crops(scenes, image, windows, T, 0.5 * d)

    for count in (1, 2, 3):
        wanted = crop(torch.rot90(rgb, count, (2, 3)), torch.rot90(depth, count, (1, 2)))
        got = quarter_turned(crop(rgb, depth), torch.tensor([count]))
        # Where the nearest of two equally near pixels is taken, rounding decides; colours agree everywhere.
        torch.testing.assert_close(got[:, :3], wanted[:, :3], atol=1e-4, rtol=0.0)
        assert ((got[:, 3:] - wanted[:, 3:]).abs().amax(1) < 1e-3).float().mean() > 0.9


def test_a_turn_about_the_axis_of_a_body_of_revolution_is_none(small_generator: SceneGenerator) -> None:
    pool = small_generator.pool
    pool.axis[0] = torch.tensor([0.0, 0.0, 1.0])
    pool.turns[0] = torch.eye(3)
    T = torch.eye(4)[None]
    about = rigid(exp_so3(torch.tensor([[0.0, 0.0, 2.0]])), torch.zeros(1, 3))
    over = rigid(exp_so3(torch.tensor([[2.0, 0.0, 0.0]])), torch.zeros(1, 3))
    slot = torch.tensor([0])
    assert float(turned_by(pool, slot, T, about)) < 1e-3
    assert float(turned_by(pool, slot, T, over)) == pytest.approx(2.0, abs=1e-3)
