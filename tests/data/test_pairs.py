"""Training pairs: the targets undo the perturbation by the upstream rule, and crops agree with the geometry."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.data.synthetic.pairs import (
    ROT_NORMALIZER,
    PairConfig,
    PairSampler,
    crop_window,
    cropped,
    network_input,
    update_target,
)
from storm_edge.data.synthetic.patches import Observation
from storm_edge.geometry.camera import crop_K, project
from storm_edge.geometry.se3 import exp_so3, make_T, random_rotation, rotation_angle

SMALL = PairConfig(pool_size=6, pairs_per_renewal=1000, scenes_per_object=2, poses_per_scene=2)
TARGET_TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def sampler() -> PairSampler:
    return PairSampler(5, config=SMALL)


def test_the_target_turns_the_old_pose_into_the_new_one(rng: np.random.Generator) -> None:
    """Upstream rule (reference-networks 5.7), written out: t += trans * d / 2, R = Exp(tanh(w) * 0.349)^T R."""
    diameter_m = 0.2
    for _ in range(20):
        T_old = make_T(random_rotation(rng), rng.uniform(-0.1, 0.1, 3) + [0.0, 0.0, 0.8])
        T_new = make_T(exp_so3(rng.uniform(-0.3, 0.3, 3)) @ T_old[:3, :3], T_old[:3, 3] + rng.normal(0.0, 0.03, 3))
        trans, tanh_w = update_target(T_old, T_new, diameter_m)
        t = T_old[:3, 3] + trans * diameter_m / 2.0
        R = exp_so3(tanh_w * ROT_NORMALIZER).T @ T_old[:3, :3]
        np.testing.assert_allclose(t, T_new[:3, 3], atol=TARGET_TOLERANCE)
        assert rotation_angle(R, T_new[:3, :3]) < TARGET_TOLERANCE


def test_the_window_is_centred_and_as_wide_as_asked(rng: np.random.Generator) -> None:
    """A point at the pose's translation falls on the crop's centre; one ``reach`` aside on its border."""
    K = np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])
    t = np.array([0.05, -0.03, 0.6])
    scale, offset = crop_window(K, t, 0.12, 80)
    K_crop = crop_K(K, scale, offset)
    np.testing.assert_allclose(project(K_crop, t), [39.5, 39.5], atol=1e-9)
    np.testing.assert_allclose(project(K_crop, t + [0.12, 0.0, 0.0]), [79.5, 39.5], atol=1e-9)
    assert scale[0] == pytest.approx(2 * 0.12 * 600 / 0.6 / 80)  # 240 px of the image on 80 px of the crop


def test_a_crop_keeps_every_point_where_it_is(rng: np.random.Generator) -> None:
    """Cropped points project to within half a patch pixel of their crop pixel, wherever the window lies."""
    K = np.array([[500.0, 0.0, 40.0], [0.0, 500.0, 44.0], [0.0, 0.0, 1.0]])
    depth = rng.uniform(0.5, 0.7, (96, 96)).astype(np.float32)
    rgb = np.repeat(np.arange(96, dtype=np.uint8)[None, :, None], 96, axis=0).repeat(3, axis=2)  # value = column
    patch = Observation(rgb=rgb, depth_m=depth, K=K, T_cam_obj=np.eye(4), visible_share=1.0)
    scale, offset = crop_window(K, np.array([0.04, 0.02, 0.6]), 0.05, 80)  # reaches over the right border
    colour, xyz = cropped(patch, scale, offset, 80)
    pixels = project(crop_K(K, scale, offset), np.where(xyz[..., 2:] > 0, xyz, 1.0))
    v, u = np.mgrid[0:80, 0:80]
    inside = xyz[..., 2] > 0
    assert 0.3 < inside.mean() < 0.95
    assert np.abs(pixels - np.stack([u, v], axis=2))[inside].max() <= 0.5 / scale[0] + 1e-3
    columns = scale[0] * u + offset[0]
    within = (columns >= 0) & (columns <= 95) & inside
    np.testing.assert_allclose(colour[..., 0][within] * 255.0, columns[within], atol=0.6)  # uint8 rounding


def test_network_input_zeroes_components_on_their_own() -> None:
    xyz = np.array([[[0.1, 0.3, 0.5], [0.0, 0.0, 0.0]]], dtype=np.float32)
    colour = np.full((1, 2, 3), 0.25, dtype=np.float32)
    out = network_input(colour, xyz, np.array([0.0, 0.0, 0.45]), 0.1)
    assert out.shape == (6, 1, 2)
    np.testing.assert_allclose(out[:3], 0.25)
    np.testing.assert_allclose(out[3:, 0, 0], [1.0, 0.0, 0.5], atol=1e-6)  # y is 3 radii off: only y is zeroed
    np.testing.assert_array_equal(out[3:, 0, 1], 0.0)  # no depth


def test_refine_batches_have_their_shapes_and_ranges(sampler: PairSampler) -> None:
    batch = sampler.refine_batch(7)
    assert {name: array.shape for name, array in batch.items()} == {
        "rendered": (7, 6, 80, 80),
        "observed": (7, 6, 80, 80),
        "trans_target": (7, 3),
        "rot_target": (7, 3),
        "weight": (7,),
    }
    for name, array in batch.items():
        assert array.dtype == np.float32, name
        assert np.isfinite(array).all(), name
    for name in ("rendered", "observed"):
        assert batch[name][:, :3].min() >= 0.0
        assert batch[name][:, :3].max() <= 1.0
        assert np.abs(batch[name][:, 3:]).max() < 2.0
    assert np.abs(batch["rot_target"]).max() <= 1.0
    assert (batch["rendered"][:, 3:].any(axis=1).mean(axis=(1, 2)) > 0.01).all()  # the model is in its picture


def test_score_errors_are_sorted_by_what_they_mean(sampler: PairSampler) -> None:
    batch = sampler.score_batch(3, 10)
    assert batch["rendered"].shape == (3, 10, 6, 80, 80)
    assert batch["add_error"].shape == (3, 10)
    assert (batch["add_error"].min(axis=1) < 0.06).all()  # one hypothesis is always near truth
    assert (batch["add_error"].max(axis=1) > 0.05).all()


def test_one_seed_gives_one_stream() -> None:
    first, again, other = (PairSampler(seed, config=SMALL).refine_batch(3) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first["observed"], again["observed"])
    assert not np.array_equal(first["observed"], other["observed"])


def test_held_out_streams_use_held_out_objects(sampler: PairSampler) -> None:
    held_out = PairSampler(1_000_003, config=SMALL)
    assert min(item.truth.seed for item in held_out.pool.objects) >= 1_000_000
    assert max(item.truth.seed for item in sampler.pool.objects) < 1_000_000
