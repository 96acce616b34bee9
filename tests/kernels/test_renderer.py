"""The rasteriser against geometry, and against its NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.errors import InputError
from storm_edge.geometry.camera import back_project, crop_K
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.reference import raster as reference
from storm_edge.kernels.renderer import Renderer, render
from storm_edge.kernels.shading import Lighting
from tests.kernels.shapes import K_CAMERA, poses, quad, soup, sphere

# Kernel (float32) against reference (float64). Worst seen on an x86-64 CPU beside each.
DEPTH_M = 5e-6  # worst 1e-6
COLOUR = 1e-4  # worst 1.3e-5
BORDER_SHARE = 1e-3  # pixels whose centre lies so near an edge that float32 decides otherwise

IN_FRONT = make_T(np.eye(3), [0.0, 0.0, 0.5])


@pytest.mark.parametrize("shape", ["sphere", "soup", "textured"])
def test_kernel_matches_the_reference(shape, rng):
    """Worst seen: 1e-6 m, colour 1.3e-5, no pixel decided otherwise."""
    mesh = {"sphere": lambda: sphere(0.08), "soup": lambda: soup(rng), "textured": lambda: quad(0.1, textured=True)}
    mesh = mesh[shape]()
    T = poses(rng, 6)
    K = crop_K(K_CAMERA, [3.0, 3.0], [180.0, 100.0])
    lighting = Lighting(ambient=0.5, diffuse=0.9, to_light=(0.3, -0.5, -1.0))
    result = render(mesh, T, K, (90, 100), lighting=lighting)
    for n in range(len(T)):
        expected = reference.render_one(mesh, T[n], K, (90, 100), lighting=lighting)
        same = (result.mask[n] == expected.mask[0]) & (np.abs(result.depth[n] - expected.depth[0]) < 1e-3)
        assert 1.0 - same.mean() < BORDER_SHARE
        assert expected.mask.sum() > 300
        np.testing.assert_allclose(result.depth[n][same], expected.depth[0][same], atol=DEPTH_M)
        np.testing.assert_allclose(result.xyz[n][same], expected.xyz[0][same], atol=DEPTH_M)
        np.testing.assert_allclose(result.colour[n][same], expected.colour[0][same], atol=COLOUR)


def test_plane_has_the_points_of_its_pixels():
    """A square facing the camera: depth is the distance and xyz the back-projected pixel, all over it."""
    result = render(quad(0.1), IN_FRONT, K_CAMERA, (480, 640))
    v, u = np.nonzero(result.mask[0])
    np.testing.assert_allclose(result.depth[0][v, u], 0.5, atol=1e-6)
    expected = back_project(K_CAMERA, np.stack([u, v], axis=1), np.full(len(u), 0.5))
    np.testing.assert_allclose(result.xyz[0][v, u], expected, atol=1e-6)


def test_pixel_centres_are_on_integers():
    """0.1 m at 0.5 m with f = 600: columns 320 +- 120 exactly, both edge columns covered; rows 240 +- 122."""
    result = render(quad(0.1), IN_FRONT, K_CAMERA, (480, 640))
    rows, columns = np.nonzero(result.mask[0])
    assert (columns.min(), columns.max()) == (200, 440)
    assert (rows.min(), rows.max()) == (118, 362)
    assert result.mask[0].sum() == 241 * 245


def test_tilted_plane_is_interpolated_with_perspective():
    """Every pixel's ray meets the plane n . (p - c) = 0 at one depth, which is not linear on the screen."""
    R = exp_so3([0.0, np.deg2rad(60.0), 0.0])
    T = make_T(R, [0.0, 0.0, 0.5])
    result = render(quad(0.15), T, K_CAMERA, (480, 640))
    v, u = np.nonzero(result.mask[0])
    rays = back_project(K_CAMERA, np.stack([u, v], axis=1), np.ones(len(u)))
    normal = R[:, 2]
    expected = (normal @ T[:3, 3]) / (rays @ normal)
    assert np.ptp(expected) > 0.2
    np.testing.assert_allclose(result.depth[0][v, u], expected, atol=5e-6)  # worst seen 4e-7 on an x86-64 CPU


def test_sphere_is_seen_at_its_front():
    T = make_T(np.eye(3), [0.0, 0.0, 0.6])
    result = render(sphere(0.05, 4), T, K_CAMERA, (480, 640))
    # The mesh's vertices lie on the sphere, its faces up to 0.12 % of the radius inside.
    np.testing.assert_allclose(result.depth[0, 240, 320], 0.55, atol=1e-4)
    assert result.depth[0][result.mask[0] == 1].max() < 0.6


def test_closed_surface_has_no_holes(rng):
    """Every pixel within the silhouette of 30 spheres is covered: shared edges leave no gap."""
    mesh = sphere(0.08, 3)
    T = poses(rng, 30)
    K = crop_K(K_CAMERA, [2.5, 2.5], [200.0, 120.0])
    result = render(mesh, T, K, 100)
    for n in range(len(T)):
        v, u = np.mgrid[0:100, 0:100].reshape(2, -1)
        rays = back_project(K, np.stack([u, v], axis=1), np.ones(len(u)))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        distance = np.linalg.norm(np.cross(rays, T[n, :3, 3]), axis=1)
        well_inside = (distance < 0.079).reshape(100, 100)
        assert well_inside.sum() > 1000
        assert result.mask[n][well_inside].all()
        # Nor does one look through the front onto the back: the ray's first point is in front of the centre.
        assert (result.depth[n][well_inside] < T[n, 2, 3]).all()


def test_nearer_triangle_wins_in_either_order():
    near = np.array([[-1, -1, 0.4], [1, -1, 0.4], [0, 1, 0.4]]) * [0.1, 0.1, 1]
    far = np.array([[-1, -1, 0.8], [1, -1, 0.8], [0, 1, 0.8]]) * [0.2, 0.2, 1]
    colours = np.array([[1.0, 0, 0]] * 3 + [[0, 1.0, 0]] * 3)
    mesh = make_mesh(np.concatenate([near, far]), np.array([[0, 1, 2], [3, 4, 5]]), colours=colours)
    flipped = make_mesh(mesh.vertices, mesh.faces[::-1], colours=colours)
    first, second = (render(m, np.eye(4), K_CAMERA, (480, 640)) for m in (mesh, flipped))
    assert first.depth[0, 240, 320] == pytest.approx(0.4, abs=1e-6)
    assert first.colour[0, 240, 320, 0] > 0.5
    assert first.colour[0, 240, 320, 1] == 0.0
    np.testing.assert_array_equal(first.depth, second.depth)


def test_both_sides_of_a_triangle_are_drawn():
    turned = make_T(exp_so3([0.0, np.pi, 0.0]), [0.0, 0.0, 0.5])
    assert render(quad(0.1), turned, K_CAMERA, (480, 640)).mask.sum() > 50_000


def test_crop_intrinsics_render_the_crop(rng):
    """Rendering with K_crop at scale 1 equals cutting the crop out of the full image, pixel for pixel."""
    mesh, T = sphere(0.08), poses(rng, 1, spread_m=0.02)
    full = render(mesh, T, K_CAMERA, (480, 640))
    crop = render(mesh, T, crop_K(K_CAMERA, [1.0, 1.0], [250.0, 180.0]), (120, 130))
    part = (0, slice(180, 300), slice(250, 380))
    differs = full.mask[part] != crop.mask[0]
    assert differs.mean() < BORDER_SHARE
    np.testing.assert_allclose(crop.depth[0][~differs], full.depth[part][~differs], atol=DEPTH_M)


def test_poses_and_intrinsics_are_per_image():
    """Two poses, two K, one launch: as if rendered apart."""
    mesh = sphere(0.05)
    T = np.stack([make_T(np.eye(3), [0.0, 0.0, 0.4]), make_T(np.eye(3), [0.05, 0.0, 0.8])])
    K = np.stack([crop_K(K_CAMERA, [s, s], [100.0, 80.0]) for s in (4.0, 5.0)])
    both = render(mesh, T, K, 96)
    for n in range(2):
        np.testing.assert_array_equal(both.depth[n], render(mesh, T[n], K[n], 96).depth[0])


def test_only_the_first_count_are_rendered():
    mesh = MeshBuffers.from_mesh(sphere(0.05))
    renderer = Renderer(mesh, batch=3, size_px=32)
    T = wp.array(np.tile(IN_FRONT.astype(np.float32), (3, 1, 1)), dtype=wp.mat44f, device="cpu")
    K_crop = crop_K(K_CAMERA, [20.0, 20.0], [0.0, -80.0]).astype(np.float32)
    K = wp.array(np.tile(K_crop, (3, 1, 1)), dtype=wp.mat33f, device="cpu")
    renderer.depth.fill_(7.0)
    renderer.launch(T, K, count=2)
    depth = renderer.depth.numpy()
    assert (depth[:2] != 7.0).all()
    assert (depth[2] == 7.0).all()
    with pytest.raises(InputError, match=r"1\.\.3"):
        renderer.launch(T, K, count=4)


def test_triangles_at_the_camera_are_dropped_not_smeared():
    """A quad that passes through the camera: nothing of it, and nothing else harmed."""
    through = make_T(exp_so3([np.deg2rad(90.0), 0, 0]), [0.0, 0.02, 0.05])
    assert render(quad(0.1), through, K_CAMERA, (480, 640)).mask.sum() == 0
    behind = make_T(np.eye(3), [0.0, 0.0, -0.5])
    assert render(quad(0.1), behind, K_CAMERA, (480, 640)).mask.sum() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_pose_that_is_no_pose_renders_nothing(value):
    T = IN_FRONT.copy()
    T[0, 3] = value
    assert render(sphere(0.05), T, K_CAMERA, 64).mask.sum() == 0


def test_degenerate_triangles_claim_nothing():
    """Zero area on the screen, seen edge-on or collapsed, on pixel centres: no NaN and no pixel."""
    v = np.array([[0, 0, 1.0], [0.1, 0, 1.0], [0.2, 0, 1.0], [0.3, 0, 1.0]])
    mesh = make_mesh(v, np.array([[0, 1, 2], [3, 3, 3]]))
    result = render(mesh, np.eye(4), np.array([[100.0, 0, 10], [0, 100.0, 10], [0, 0, 1]]), 64)
    assert result.mask.sum() == 0
    assert np.isfinite(result.depth).all()


def test_an_empty_image_is_refused_in_one_line():
    with pytest.raises(InputError, match="renderer"):
        Renderer(MeshBuffers.from_mesh(sphere(0.05)), batch=0, size_px=32)


@pytest.mark.gpu
def test_cuda_renders_what_the_cpu_renders(rng, cuda):
    mesh, T = soup(rng, 200), poses(rng, 8)
    K = crop_K(K_CAMERA, [2.0, 2.0], [200.0, 120.0])
    cpu, cuda = (render(mesh, T, K, 120, device=device) for device in ("cpu", cuda))
    assert (cpu.mask != cuda.mask).mean() < BORDER_SHARE
    both = (cpu.mask == 1) & (np.abs(cpu.depth - cuda.depth) < 1e-3)
    assert both.sum() > 0.99 * cpu.mask.sum()
    np.testing.assert_allclose(cuda.depth[both], cpu.depth[both], atol=DEPTH_M)


@pytest.mark.data
def test_a_real_bottle_is_where_its_label_says(shared_data):
    """Camera, units, axes and pixel centres at once: the model at the labelled pose covers the labelled mask.

    Measured: IoU 0.999 (the mask is this dataset's own rendering of the pose), median depth difference 1.4 mm.
    """
    from storm_edge.bop.scene import BopScene
    from storm_edge.objects.mesh_io import load_mesh

    scene = BopScene(shared_data / "mustard")
    frame = next(iter(scene))
    mesh = load_mesh(shared_data / "mustard" / "models" / "obj_000005.ply", "mm")
    image = render(mesh, scene.ground_truth(frame.index)[0].T_cam_obj, frame.K, frame.size_px)
    drawn, labelled = image.mask[0] > 0, scene.mask_visib(frame.index, 0)
    assert (drawn & labelled).sum() > 0.995 * (drawn | labelled).sum()
    measured = drawn & (frame.depth_m > 0)
    assert np.median(np.abs(frame.depth_m - image.depth[0])[measured]) < 0.003


@pytest.mark.parametrize(
    "centres_m",
    [
        [[0.0, 0.0, 0.5]],
        [[0.05, 0.0, 0.5], [-0.1, 0.08, 0.6]],
        [[-0.29, -0.22, 0.5]],
        [[0.3, 0.21, 0.5], [0.0, 0.0, 0.02]],
        [[2.0, 0.0, 0.5]],
        [[0.0, -3.0, 0.5], [0.0, 0.0, -0.5]],
        [[np.nan, 0.0, 0.5]],
    ],
    ids=["middle", "two", "corner", "corner and all around", "beside", "above and behind", "no number"],
)
def test_drawing_where_the_mesh_is_leaves_out_nothing(centres_m: list[list[float]]) -> None:
    """`render` shades only rows and columns that hold a vertex; the whole image has the same."""
    T = np.stack([make_T(exp_so3([0.4, -0.3, 0.2]), at_m) for at_m in centres_m]).astype(np.float32)
    mesh = MeshBuffers.from_mesh(sphere(0.05))
    found = render(mesh, T, K_CAMERA, (480, 640))
    whole = Renderer(mesh, batch=len(T), size_px=(480, 640))
    K = np.repeat(np.asarray(K_CAMERA, dtype=np.float32)[None], len(T), axis=0)
    whole.launch(wp.array(T, dtype=wp.mat44f, device="cpu"), wp.array(K, dtype=wp.mat33f, device="cpu"))
    rows, columns = found.window
    for name in ("colour", "depth", "xyz", "mask"):
        expected = getattr(whole, name).numpy()
        np.testing.assert_array_equal(getattr(found, name), expected, err_msg=name)
        np.testing.assert_array_equal(found.cut(name), expected[:, rows, columns], err_msg=name)
