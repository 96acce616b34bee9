"""The crops networks compare: both presets against their rules in NumPy, and what must hold by geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storm_edge.errors import InputError
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.depth import UPSTREAM_FILTER
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.reference import crop, depth, raster
from storm_edge.kernels.reference.crop_window import plain_windows, upstream_windows
from storm_edge.kernels.reference.network_input import network_input
from storm_edge.kernels.renderer import render
from storm_edge.pipeline.inputs.config import DEFAULT, PARITY
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.inputs.network_inputs import PairInputs
from tests.kernels.shapes import K_CAMERA, poses, quad, sphere

RADIUS_M = 0.08
DIAMETER_M = 2 * RADIUS_M
IMAGE = (480, 640)
# Kernels (float32) against NumPy (float64); worst seen on an x86-64 CPU: colour 2.2e-5, xyz 6e-6 half diameters.
TOLERANCE = 1e-4
# Share of pixels that float32 may give to another triangle or another source pixel; none seen.
OTHERWISE = 2e-3
# A small image for what is compared with slow NumPy.
SMALL = (240, 320)
K_SMALL = np.array([[300.0, 0.0, 160.0], [0.0, 305.0, 120.0], [0.0, 0.0, 1.0]])


def render_frame(mesh, T, K=K_CAMERA, size_px=IMAGE):
    """A frame that shows exactly the mesh."""
    image = render(mesh, T, K, size_px)
    return Frame(rgb=np.rint(image.colour[0] * 255).astype(np.uint8), depth_m=image.depth[0], K=K, index=0)


def uploaded(frame, device="cpu"):
    buffers = FrameBuffers(*frame.size_px, device)
    buffers.upload(frame)
    return buffers


def crop_pairs(mesh, frame, T, preset, network="refine", size_px=80, device="cpu"):
    buffers = MeshBuffers.from_mesh(mesh, device)
    pair = PairInputs(buffers, diameter_m=DIAMETER_M, preset=preset, network=network, batch=len(T), size_px=size_px)
    pair.fill(uploaded(frame, device), T)
    return pair.rendered.numpy(), pair.observed.numpy()


@pytest.fixture(scope="module")
def scene():
    """A sphere, seen; and poses around where it is."""
    rng = np.random.default_rng(3)
    mesh = sphere(RADIUS_M)
    frame = render_frame(mesh, make_T(np.eye(3), [0.03, -0.02, 0.6]), K_SMALL, SMALL)
    noise = rng.normal(0, 0.0005, SMALL).astype(np.float32)
    frame = replace(frame, depth_m=np.where(frame.depth_m > 0, frame.depth_m + noise, np.float32(0)))
    T = poses(rng, 3, z_m=0.6, spread_m=0.04).astype(np.float32).astype(np.float64)
    return mesh, frame, T


@pytest.mark.parametrize("network", ["refine", "score"])
@pytest.mark.parametrize("preset", [DEFAULT, PARITY], ids=["default", "parity"])
def test_crops_match_the_rules_in_numpy(scene, preset, network):
    mesh, frame, T = scene
    size = 48
    rendered, observed = crop_pairs(mesh, frame, T, preset, network, size)
    rule = preset.rule(network)
    where = {"K": K_SMALL, "reach_m": DIAMETER_M * rule.crop_ratio / 2, "size_px": size}
    if preset.upstream_windows:
        windows, K_crop = upstream_windows(T, image_size_px=SMALL, **where)
    else:
        windows, K_crop = plain_windows(T, **where)
    seen = frame.depth_m
    if preset.depth_filter is not None:
        seen = depth.filter_depth(frame.depth_m, preset.depth_filter)
    xyz = depth.back_project(seen, K_SMALL, 100.0)
    to_input = {"diameter_m": DIAMETER_M, "min_z_m": rule.min_z_m, "limit": 2.0}
    for n in range(len(T)):
        model = raster.render_one(mesh, T[n], K_crop[n], (size, size))
        expected_a = network_input(model.colour[0], model.xyz[0], T[n, :3, 3], **to_input)
        colour = crop.crop_colour(frame.rgb, windows[n], size)
        expected_b = network_input(colour, crop.crop_nearest(xyz, windows[n], size), T[n, :3, 3], **to_input)
        for crop_pair, expected in ((rendered[n], expected_a), (observed[n], expected_b)):
            assert (np.abs(expected).max(axis=0) > 0).mean() > 0.2
            assert (np.abs(crop_pair - expected) > TOLERANCE).mean() < OTHERWISE


def test_presets_are_the_documented_rules():
    """Reference-networks 5.1, 5.4 and 5.6."""
    assert (PARITY.refine.crop_ratio, PARITY.score.crop_ratio) == (1.2, 1.1)
    assert (PARITY.refine.min_z_m, PARITY.score.min_z_m) == (0.001, 0.1)
    assert (PARITY.lighting.ambient, PARITY.lighting.diffuse) == (0.8, 0.5)
    assert PARITY.xyz_limit == 2.0
    assert PARITY.depth_filter == UPSTREAM_FILTER
    assert DEFAULT.refine == DEFAULT.score


def test_at_the_true_pose_model_and_image_agree():
    """The default preset's reason: one window. Points agree to half a source pixel (more at the rim)."""
    mesh, T = sphere(RADIUS_M, 4), make_T(np.eye(3), [[0.03, -0.02, 0.6]])
    rendered, observed = crop_pairs(mesh, render_frame(mesh, T[0]), T, DEFAULT)
    both = (rendered[0, 5] != 0) & (observed[0, 5] != 0)
    assert both.sum() > 0.95 * (rendered[0, 5] != 0).sum()
    half_pixel = 0.5 * 0.6 / 600 / RADIUS_M
    sideways = np.abs(rendered[0, 3:5] - observed[0, 3:5])[:, both]
    assert (sideways < 1.05 * half_pixel).mean() > 0.95
    assert np.abs(sideways.mean()) < 0.5 * half_pixel
    assert np.abs((rendered[0, 5] - observed[0, 5])[both].mean()) < 1e-3
    assert np.median(np.abs(rendered[0, :3] - observed[0, :3])[:, both]) < 0.01


def test_points_are_in_half_diameters_around_the_pose():
    """A square 4 cm in front of the pose's centre, half diameter 8 cm: z is -0.5 wherever it is seen."""
    mesh = quad(0.05)
    frame = render_frame(mesh, make_T(np.eye(3), [0.0, 0.0, 0.46]))
    _, observed = crop_pairs(mesh, frame, make_T(np.eye(3), [[0.0, 0.0, 0.5]]), DEFAULT)
    z = observed[0, 5]
    np.testing.assert_allclose(z[z != 0], -0.5, atol=1e-5)
    # Its border is 5 cm aside: x up to 0.625.
    assert observed[0, 3].max() == pytest.approx(0.625, abs=0.03)  # a crop pixel is 0.028


def test_each_coordinate_far_off_is_zeroed_on_its_own():
    """A wall 20 cm behind: z is 2.5 half diameters and goes, x and y stay.

    rho = 0.096 * 610 / 0.5 = 117.1 px, the last column's centre 115.7 and its pixel 116 px off the centre: there
    x = 116 * 0.7 / 600 / 0.08 half diameters.
    """
    wall = Frame(
        rgb=np.full((*IMAGE, 3), 255, np.uint8), depth_m=np.full(IMAGE, 0.7, np.float32), K=K_CAMERA, index=0
    )
    _, observed = crop_pairs(sphere(RADIUS_M), wall, make_T(np.eye(3), [[0.0, 0.0, 0.5]]), DEFAULT)
    assert not observed[0, 5].any()
    assert observed[0, 3, 40, 79] == pytest.approx(116 * 0.7 / 600 / 0.08, abs=1e-4)
    np.testing.assert_allclose(observed[0, :3], 1.0, atol=1e-6)


def test_the_scorer_of_upstream_ignores_what_is_nearer_than_10_cm():
    near = Frame(
        rgb=np.full((*IMAGE, 3), 255, np.uint8), depth_m=np.full(IMAGE, 0.09, np.float32), K=K_CAMERA, index=0
    )
    T = make_T(np.eye(3), [[0.0, 0.0, 0.15]])
    parity = replace(PARITY, depth_filter=None)
    assert crop_pairs(sphere(0.02), near, T, parity, "refine")[1][0, 3:].any()
    assert not crop_pairs(sphere(0.02), near, T, parity, "score")[1][0, 3:].any()


def test_bad_depth_reaches_no_network(scene):
    """Frames are cleaned where they enter; a NaN that came past that is 0 all the same."""
    mesh, frame, T = scene
    spoilt = frame.depth_m.copy()
    spoilt[::2] = np.nan
    for preset in (DEFAULT, PARITY):
        _, observed = crop_pairs(mesh, replace(frame, depth_m=spoilt), T, preset)
        assert np.isfinite(observed).all()


def test_an_object_off_the_image_gives_black_and_no_error(scene):
    mesh, frame, _ = scene
    T = make_T(np.eye(3), [[3.0, 0.0, 0.6]])
    for preset in (DEFAULT, PARITY):
        rendered, observed = crop_pairs(mesh, frame, T, preset)
        assert rendered.any()
        assert not observed.any()


def test_host_windows_are_the_ones_that_are_filled(scene):
    mesh, frame, T = scene
    pair = PairInputs(MeshBuffers.from_mesh(mesh), diameter_m=DIAMETER_M, batch=4, size_px=80)
    pair.fill(uploaded(frame), T)
    windows, K_crop = plain_windows(T, K_SMALL, reach_m=0.6 * DIAMETER_M, size_px=80)
    np.testing.assert_allclose(pair.windows.numpy()[:3], windows, atol=1e-4)
    np.testing.assert_allclose(pair.K_crop.numpy()[:3], K_crop, rtol=1e-6, atol=1e-4)


def test_poses_on_the_device_do_as_poses_on_the_host(scene):
    mesh, frame, T = scene
    pair = PairInputs(MeshBuffers.from_mesh(mesh), diameter_m=DIAMETER_M, batch=3, size_px=32)
    image = uploaded(frame)
    pair.fill(image, T)
    first = pair.rendered.numpy().copy(), pair.observed.numpy().copy()
    for part in (pair.rendered, pair.observed):
        part.zero_()
    pair.fill(image, pair.poses)
    np.testing.assert_array_equal(pair.rendered.numpy(), first[0])
    np.testing.assert_array_equal(pair.observed.numpy(), first[1])


def test_the_image_alone_is_cut_as_beside_the_model(scene):
    mesh, frame, T = scene
    pair = PairInputs(MeshBuffers.from_mesh(mesh), diameter_m=DIAMETER_M, batch=3, size_px=32)
    image = uploaded(frame)
    pair.fill(image, T)
    observed = pair.observed.numpy().copy()
    for part in (pair.rendered, pair.observed):
        part.zero_()
    pair.fill_observed(image, T)
    np.testing.assert_array_equal(pair.observed.numpy(), observed)
    assert not pair.rendered.numpy().any()


def test_more_poses_than_the_batch_are_refused_in_one_line(scene):
    mesh, frame, T = scene
    pair = PairInputs(MeshBuffers.from_mesh(mesh), diameter_m=DIAMETER_M, batch=2, size_px=32)
    with pytest.raises(InputError, match=r"1\.\.2"):
        pair.fill(uploaded(frame), T)


@pytest.mark.gpu
@pytest.mark.parametrize("preset", [DEFAULT, PARITY], ids=["default", "parity"])
def test_cuda_makes_the_crops_the_cpu_makes(scene, preset, cuda):
    mesh, frame, T = scene
    for a, b in zip(crop_pairs(mesh, frame, T, preset), crop_pairs(mesh, frame, T, preset, device=cuda), strict=True):
        assert (np.abs(a - b) > TOLERANCE).mean() < OTHERWISE
