"""The segmenter's inputs against geometry: where pixels go, what normals are, which colours fit."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.errors import MeshError
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.viewsphere import golden_spiral
from storm_edge.kernels import segment_inputs as inputs
from storm_edge.kernels.mesh_buffers import MeshBuffers

from ..tiny_scene import box_mesh

K = np.array([[570.0, 0.0, 322.0], [0.0, 575.0, 236.0], [0.0, 0.0, 1.0]])


def plane_depth(size_px: tuple[int, int], K: np.ndarray, normal: np.ndarray, offset_m: float) -> np.ndarray:
    """z-depth [m] of the plane ``normal . p = offset_m``."""
    v, u = np.mgrid[0 : size_px[0], 0 : size_px[1]]
    ray = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(size_px)], axis=2)
    return (offset_m / (ray @ normal)).astype(np.float32)


@pytest.mark.parametrize("size_px", [(480, 640), (360, 640), (720, 1280), (480, 480), (90, 130)])
def test_a_point_projects_to_the_same_place_of_the_small_image(size_px: tuple[int, int]) -> None:
    box = inputs.Letterbox.of(size_px)
    point = np.array([0.03, -0.02, 0.8])
    at = (K @ point)[:2] / point[2]
    small = (box.intrinsics(K) @ point)[:2] / point[2]
    assert small == pytest.approx((at + 0.5) * box.scale - 0.5 + [box.left, box.top])
    assert box.left + box.width <= inputs.SIZE_PX[1]
    assert box.top + box.height <= inputs.SIZE_PX[0]


@pytest.mark.parametrize("size_px", [(480, 640), (360, 640)])
def test_a_mask_comes_back_where_it_was(size_px: tuple[int, int]) -> None:
    """Worst overlap seen: 0.968; cells are 8 px."""
    mask = np.zeros(size_px, dtype=bool)
    mask[120:264, 80:230] = True
    box = inputs.Letterbox.of(size_px)
    back = box.enlarge(box.shrink_mask(mask), size_px) > 0.5
    assert (mask & back).sum() / (mask | back).sum() > 0.95


def test_depth_is_measured_or_nothing() -> None:
    depth = np.full((480, 640), 1.0, dtype=np.float32)
    depth[:, 320:] = 2.0
    depth[200:280, 100:200] = 0.0
    small = inputs.Letterbox.of(depth.shape).shrink_depth(depth)
    assert set(np.unique(small)) == {0.0, 1.0, 2.0}


def test_normals_of_a_plane_point_to_the_camera() -> None:
    """Worst error seen 0.0005 (x86-64 CPU)."""
    normal = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])
    z = plane_depth((60, 80), np.array([[70.0, 0, 40], [0, 70.0, 30], [0, 0, 1]]), normal, -0.7)
    assert z.min() > 0.0
    n = inputs.surface_normals(z, np.array([[70.0, 0, 40], [0, 70.0, 30], [0, 0, 1]]))
    assert np.abs(n[1:-1, 1:-1] - normal).max() < 2e-3
    assert not n[0].any()


def test_no_normals_across_an_edge_or_a_hole() -> None:
    z = np.full((40, 40), 1.0, dtype=np.float32)
    z[:, 20:] = 1.5
    z[10, 10] = 0.0
    n = inputs.surface_normals(z, np.array([[70.0, 0, 20], [0, 70.0, 20], [0, 0, 1]]))
    assert not n[5, 19:21].any()
    assert not n[9:12, 10].any()
    assert n[30, 10] == pytest.approx([0.0, 0.0, -1.0])


def test_relief_is_the_height_above_the_table() -> None:
    K_small = inputs.Letterbox.of((480, 640)).intrinsics(K)
    normal = np.array([0.0, 0.6, 0.8])
    z = plane_depth(inputs.SIZE_PX, K_small, normal, 0.8)
    z[50:70, 60:90] = plane_depth(inputs.SIZE_PX, K_small, normal, 0.74)[50:70, 60:90]
    z[0:5, 0:5] = 0.0
    relief = inputs.plane_relief(z, K_small)
    assert relief[60, 75] == pytest.approx(0.06, abs=2e-3)
    assert np.abs(relief[80:, :]).max() < 2e-3
    assert (relief[0:5, 0:5] == -1.0).all()


def test_no_plane_where_there_is_none(rng: np.random.Generator) -> None:
    z = rng.uniform(0.5, 3.0, inputs.SIZE_PX).astype(np.float32)
    assert (inputs.plane_relief(z, np.array([[140.0, 0, 80], [0, 140.0, 60], [0, 0, 1]])) == -1.0).all()


def test_views_show_the_object_in_full() -> None:
    mesh = box_mesh()
    diameter_m = float(np.linalg.norm([0.10, 0.14, 0.20]))
    views = inputs.object_views(MeshBuffers.from_mesh(mesh), diameter_m)
    assert views.channels.shape == (inputs.VIEW_COUNT, inputs.VIEW_CHANNELS, inputs.VIEW_PX, inputs.VIEW_PX)
    silhouette = views.channels[:, 7]
    border = np.concatenate([silhouette[:, 0], silhouette[:, -1], silhouette[:, :, 0], silhouette[:, :, -1]], axis=1)
    assert not border.any()
    assert silhouette.mean(axis=(1, 2)).min() > 0.1
    # The nearest point of a box is in front of its centre by no more than its half diagonal, one radius.
    assert views.channels[:, 6].min() > -1.05
    assert (views.channels[:, 6][silhouette > 0].mean()) < 0.0


def test_views_of_nothing_are_refused() -> None:
    far = make_mesh(np.array([[9.0, 9, 9], [9.001, 9, 9], [9, 9.001, 9]]), np.array([[0, 1, 2]]))
    with pytest.raises(MeshError, match="reference views"):
        inputs.object_views(MeshBuffers.from_mesh(far), 0.1)


def test_colours_of_the_object_fit_under_any_light(rng: np.random.Generator) -> None:
    red = np.clip(np.array([0.7, 0.15, 0.1]) + rng.normal(0, 0.02, (500, 3)), 0, 1).astype(np.float32)
    model = inputs.colour_model(red)
    depth = np.full((480, 640), 1.0, dtype=np.float32)
    picture = np.full((480, 640, 3), (60, 110, 160), dtype=np.uint8)
    picture[200:280, 200:280] = (0.7 * 0.8 * 255, 0.15 * 0.8 * 255, 0.1 * 0.8 * 255)
    small = inputs.small_frame(picture, depth, K)
    channels = inputs.object_channels(small, model, 0.15)
    assert channels.shape == (inputs.OBJECT_CHANNELS, *inputs.MASK_PX)
    assert channels[1, 30, 30] > 0.5
    assert channels[1, 10, 70] < -0.5
    # 0.15 m at 1 m seen with 570 / 4 px: 21.4 px, against the usual 24.
    assert channels[3, 10, 70] == pytest.approx(np.log2(0.15 * 570 / 4 / 24), abs=0.01)
    on_it, beside = np.zeros((2, 480, 640), dtype=bool)
    on_it[210:270, 210:270] = True
    beside[20:80, 20:80] = True
    assert inputs.colour_fit(small, model, on_it) > -1.0
    assert inputs.colour_fit(small, model, beside) < -3.0
    assert inputs.colour_fit(small, model, np.zeros((480, 640), dtype=bool)) == 0.0


def test_directions_of_the_views_are_spread_over_the_sphere() -> None:
    d = golden_spiral(inputs.VIEW_COUNT)
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1.0, atol=1e-12)
    apart = np.arccos(np.clip(d @ d.T - 2.0 * np.eye(len(d)), -1.0, 1.0))
    # Sixteen caps of equal area have a radius of 29 degrees; no gap and no crowd.
    assert np.rad2deg(apart.min(axis=1)).min() > 35.0
    assert np.abs(d.mean(axis=0)).max() < 0.05
