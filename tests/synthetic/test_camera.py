"""What the colour camera does, who hides whom, and the ray-cast room."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.geometry.camera import back_project
from storm_edge.geometry.se3 import invert, make_T, transform
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.kernels.shading import Lighting
from storm_edge.synthetic.appearance import (
    Appearance,
    motion_kernel,
    random_appearance,
    random_lighting,
    smear,
)
from storm_edge.synthetic.layers import Layer, compose, render_layer
from storm_edge.synthetic.motion import camera_at
from storm_edge.synthetic.objects import make_object
from storm_edge.synthetic.rooms import Plane, random_texture, render_planes

K = np.array([[500.0, 0.0, 79.5], [0.0, 500.0, 59.5], [0.0, 0.0, 1.0]])
SIZE = (120, 160)


def _flat(depth: float, red: float, size: tuple[int, int] = SIZE, corner: tuple[int, int] = (0, 0)) -> Layer:
    colour = np.zeros((*size, 3), dtype=np.float32)
    colour[..., 0] = red
    return Layer(colour=colour, depth=np.full(size, depth, dtype=np.float32), corner=corner)


def test_a_clean_camera_changes_nothing(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    clean = Appearance(noise=0.0)
    np.testing.assert_array_equal(clean.expose(picture.astype(np.float32) / 255.0, rng), picture)


def test_gain_gamma_and_grey_are_what_they_say(rng: np.random.Generator) -> None:
    picture = np.broadcast_to(np.array([0.2, 0.4, 0.6], dtype=np.float32), (*SIZE, 3))
    out = Appearance(noise=0.0, gain=(2.0, 1.0, 0.5)).expose(picture, rng)
    np.testing.assert_allclose(out[0, 0], [102, 102, 76], atol=1)
    out = Appearance(noise=0.0, gamma=2.0).expose(picture, rng)
    np.testing.assert_allclose(out[0, 0], np.array([0.04, 0.16, 0.36]) * 255, atol=1)
    out = Appearance(noise=0.0, saturation=0.0).expose(picture, rng)
    assert np.ptp(out[0, 0]) == 0


def test_noise_has_the_strength_asked_for(rng: np.random.Generator) -> None:
    white = np.full((200, 300, 3), 0.64, dtype=np.float32)
    out = Appearance(noise=0.05).expose(white, rng).astype(np.float64) / 255.0
    assert out.std() == pytest.approx(0.05 * 0.8, rel=0.05)  # shot noise: the root of the brightness


def test_drawn_cameras_deliver_pictures(rng: np.random.Generator) -> None:
    scene = rng.random((64, 64, 3)).astype(np.float32)
    for _ in range(20):
        out = random_appearance(rng).expose(scene, rng)
        assert out.shape == (64, 64, 3)
        assert out.dtype == np.uint8
        assert out.std() > 2
        assert random_lighting(rng).ambient > 0.3


@pytest.mark.parametrize(("length", "angle"), [(3.0, 0.0), (10.0, 0.7), (7.5, 2.0)])
def test_motion_kernels_spread_along_their_line(length: float, angle: float) -> None:
    kernel = motion_kernel(length, angle)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
    half = len(kernel) // 2
    v, u = np.mgrid[-half : half + 1, -half : half + 1]
    along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    blur = 1.0 / 3.0  # bilinear splatting adds at most this variance
    assert (kernel * along**2).sum() == pytest.approx(length**2 / 12.0, abs=blur)
    assert (kernel * across**2).sum() < blur


def test_smearing_moves_only_what_moves(rng: np.random.Generator) -> None:
    behind = rng.random((60, 80, 3)).astype(np.float32)
    moving = np.zeros((60, 80), dtype=bool)
    moving[25:35, 30:50] = True
    colour = np.where(moving[..., None], np.float32(1.0), behind)
    out = smear(colour, behind, moving, motion_kernel(8.0, 0.0))
    np.testing.assert_allclose(out[:20], behind[:20], atol=1e-6)
    np.testing.assert_allclose(out[26:34, 36:44], 1.0, atol=1e-5)  # the inside of the bar is still the bar
    edge = out[30, 29:31]
    assert (np.abs(edge - 0.5 - 0.5 * behind[30, 29:31]) < 0.15).all()  # half bar, half background at its border


def test_the_nearest_layer_is_seen_and_the_owner_named() -> None:
    window = _flat(0.5, 0.9, (20, 30), (10, 40))
    hidden = _flat(2.0, 0.1)
    scene = compose([_flat(1.0, 0.3), window, hidden])
    assert (scene.owner == 1).sum() == 600
    assert (scene.owner[window.window] == 1).all()
    np.testing.assert_allclose(scene.depth[window.window], 0.5)
    assert scene.depth[0, 0] == 1.0
    assert scene.colour[15, 50, 0] == pytest.approx(0.9)


def test_unmeasured_layers_hide_but_have_no_depth() -> None:
    mirror = _flat(0.5, 0.9)
    mirror = Layer(colour=mirror.colour, depth=mirror.depth, measured=np.zeros(SIZE, dtype=bool))
    scene = compose([_flat(1.0, 0.3), mirror])
    assert scene.depth.max() == 0.0
    assert (scene.owner == 1).all()


def test_a_window_renders_as_the_whole_picture_does() -> None:
    item = make_object(2)
    T = make_T(np.eye(3), [0.05, 0.02, 4 * item.diameter_m])
    buffers, light = MeshBuffers.from_mesh(item.mesh), Lighting()
    layer = render_layer(buffers, item.mesh.vertices, T, K, SIZE, light)
    whole = render(buffers, T, K, SIZE, lighting=light)
    assert layer is not None
    assert layer.depth.size < whole.depth[0].size
    pasted = np.zeros(SIZE, dtype=np.float32)
    pasted[layer.window] = np.where(np.isfinite(layer.depth), layer.depth, 0.0)
    assert ((pasted > 0) != (whole.depth[0] > 0)).sum() <= 2  # the principal point is shifted in float32
    both = (pasted > 0) & (whole.depth[0] > 0)
    np.testing.assert_allclose(pasted[both], whole.depth[0][both], atol=1e-4)


def test_things_behind_the_camera_are_no_layer() -> None:
    item = make_object(2)
    T = make_T(np.eye(3), [0.0, 0.0, -1.0])
    assert render_layer(MeshBuffers.from_mesh(item.mesh), item.mesh.vertices, T, K, SIZE, Lighting()) is None


def test_rays_meet_the_plane(rng: np.random.Generator) -> None:
    """Every hit, taken back to the world, lies on the table and inside its borders."""
    T_cam_world = camera_at(np.array([0.0, 0.0, 0.0]), 0.4, 0.6, 0.9, roll=0.2)
    table = Plane(T_world_plane=np.eye(4), texture=random_texture(rng), tile_m=0.3, half_m=(0.1, 0.2))
    layer = render_planes([table], T_cam_world, K, SIZE)
    hit = np.isfinite(layer.depth)
    assert 0.05 < hit.mean() < 0.95
    v, u = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    points = back_project(K, np.stack([u, v], axis=2)[hit], layer.depth[hit])
    world = transform(invert(T_cam_world), points)
    assert np.abs(world[:, 2]).max() < 1e-5
    assert np.abs(world[:, 0]).max() < 0.1 + 1e-5
    assert np.abs(world[:, 1]).max() < 0.2 + 1e-5
    assert layer.measured is not None
    assert (layer.measured == hit).all()
