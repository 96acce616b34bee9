"""The model as upstream has it: all triangles, its normals, its symmetries; against references of their formulas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storm_edge.errors import MeshError
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.geometry.symmetry import ContinuousSymmetry
from storm_edge.geometry.viewsphere import rotation_grid
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import Symmetries, onboard
from storm_edge.objects.upstream_file import upstream_rotations
from storm_edge.objects.upstream_model import cluster_rotations, upstream_symmetries

HALF_TURN = make_T(exp_so3([0.0, 0.0, np.pi]), np.zeros(3))
Z = ContinuousSymmetry(axis=(0.0, 0.0, 1.0))


def write_box(path: Path) -> Path:
    """A box of 40 x 60 x 120 mm about (10, 20, 30) mm, its normals in the file all wrong: (0, 0, 1)."""
    corners = [
        [x, y, z, 0.0, 0.0, 1.0, 200, 100, 50] for x in (-10.0, 30.0) for y in (-10.0, 50.0) for z in (-30.0, 90.0)
    ]
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)]
    faces += [(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]
    names = ["x", "y", "z", "nx", "ny", "nz"]
    head = ["ply", "format ascii 1.0", "element vertex 8", *(f"property float {name}" for name in names)]
    head += [*(f"property uchar {name}" for name in ("red", "green", "blue")), "element face 12"]
    head += ["property list uchar int vertex_indices", "end_header"]
    lines = [" ".join(map(str, corner)) for corner in corners] + [f"3 {a} {b} {c}" for a, b, c in faces]
    path.write_text("\n".join(head + lines) + "\n")
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ObjectBundle:
    path = write_box(tmp_path_factory.mktemp("upstream") / "box.ply")
    return onboard(path, "mm", view_subdivisions=0, as_upstream=True, symmetries=Symmetries(discrete=(HALF_TURN,)))


def test_normals_are_means_by_angle_of_the_loaded_faces(bundle: ObjectBundle) -> None:
    """Not split at edges, as ours are; not what the file says, since upstream assigns its vertices anew."""
    assert bundle.upstream is not None
    mesh = bundle.upstream.mesh
    assert (len(mesh.vertices), len(mesh.faces), len(bundle.mesh.vertices)) == (8, 12, 24)
    expected = np.zeros((8, 3))
    for face in mesh.faces:
        for i in range(3):
            at, one, other = (mesh.vertices[face[(i + n) % 3]].astype(np.float64) for n in range(3))
            a, b = one - at, other - at
            n = np.cross(a, b)
            angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            expected[face[i]] += angle * n / np.linalg.norm(n)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(mesh.normals, expected, atol=1e-6)
    np.testing.assert_allclose(np.abs(mesh.normals), 3.0**-0.5, atol=1e-6)
    np.testing.assert_array_equal(bundle.upstream.file_normals, np.tile([0.0, 0.0, 1.0], (8, 1)))


def test_it_is_centred_as_ours_and_has_its_colours(bundle: ObjectBundle) -> None:
    assert bundle.upstream is not None
    np.testing.assert_allclose(bundle.upstream.mesh.bounds(), bundle.mesh.bounds(), atol=1e-7)
    np.testing.assert_allclose(bundle.upstream.mesh.colours, np.tile([200 / 255, 100 / 255, 50 / 255], (8, 1)))


def test_it_is_saved_with_the_object_and_older_objects_have_none(bundle: ObjectBundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "box")
    again = ObjectBundle.load(tmp_path / "box").upstream
    assert again is not None
    assert bundle.upstream is not None
    for name, array in bundle.upstream.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name])
    replace(bundle, upstream=None).save(tmp_path / "plain")
    assert ObjectBundle.load(tmp_path / "plain").upstream is None


def test_a_file_of_several_parts_is_refused(tmp_path: Path) -> None:
    import trimesh

    scene = trimesh.Scene([trimesh.creation.box((0.1, 0.1, 0.1)), trimesh.creation.icosphere(radius=0.07)])
    scene.export(tmp_path / "two.glb")
    with pytest.raises(MeshError, match=r"2 parts, expected the single mesh that upstream reads"):
        onboard(tmp_path / "two.glb", "m", view_subdivisions=0, as_upstream=True)


def test_symmetries_are_a_list_without_products() -> None:
    assert len(upstream_symmetries()) == 1
    assert len(upstream_symmetries([HALF_TURN])) == 2
    both = upstream_symmetries([HALF_TURN], [Z])
    assert len(both) == 2 + 72
    np.testing.assert_allclose(both[2 + 18], exp_so3([0.0, 0.0, np.pi / 2.0]), atol=1e-12)


@pytest.mark.parametrize(
    ("axis", "turns_about", "count"),
    [
        ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), 72),
        ((0.0, 0.6, 0.8), (0.0, 1.0, 0.0), 72),
        ((0.0, 0.0, -1.0), (0.0, 0.0, 0.0), 1),
    ],
)
def test_an_axis_is_the_first_of_xyz_along_which_it_points(
    axis: tuple[float, float, float], turns_about: tuple[float, float, float], count: int
) -> None:
    found = upstream_symmetries(continuous=[ContinuousSymmetry(axis=axis), Z])
    assert len(found) == 1 + count
    np.testing.assert_allclose(found[2 % len(found)], exp_so3(np.deg2rad(5.0 * (count > 1)) * np.array(turns_about)))


def test_the_grid_is_ours_in_upstreams_order() -> None:
    """All of one view follow each other, turned by -60 degrees each."""
    grid, ours = upstream_rotations(), rotation_grid()
    apart = np.abs(grid[:, None] - ours[None]).max(axis=(2, 3))
    assert apart.min(axis=1).max() < 1e-9
    assert len(set(apart.argmin(axis=1).tolist())) == 252
    np.testing.assert_allclose(grid[1] @ grid[0].T, exp_so3([0.0, 0.0, -np.pi / 3.0]), atol=1e-9)


@pytest.mark.parametrize(
    ("discrete", "continuous", "count"), [((), (), 252), ((HALF_TURN,), (), 126), ((), (Z,), 20)]
)
def test_clustering_keeps_as_many_as_upstream(
    discrete: tuple[np.ndarray, ...], continuous: tuple[ContinuousSymmetry, ...], count: int
) -> None:
    """Counts of reference-networks, 5.7; which ones are kept by a plain greedy loop over pairs."""
    grid, symmetries = upstream_rotations(), upstream_symmetries(discrete, continuous)
    kept = cluster_rotations(grid, symmetries)
    assert len(kept) == count
    if count == 126:
        by_hand: list[np.ndarray] = []
        for R in grid:
            traces = [np.trace(R @ S @ other.T) for other in by_hand for S in symmetries]
            if max(traces, default=-1.0) <= 1.0 + 2.0 * np.cos(np.deg2rad(30.0)):
                by_hand.append(R)
        np.testing.assert_array_equal(kept, by_hand)


def test_the_bundle_has_the_reduced_grid(bundle: ObjectBundle) -> None:
    assert bundle.upstream is not None
    assert len(bundle.upstream.rotation_grid) == 126


def write_textured(folder: Path, *, with_image: bool) -> Path:
    """A tetrahedron of 100 mm whose texture is red on top and blue below."""
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    picture[:4, :, 0], picture[4:, :, 2] = 255, 255
    if with_image:
        Image.fromarray(picture).save(folder / "skin.png")
    (folder / "skin.mtl").write_text("newmtl skin\n" + ("map_Kd skin.png\n" if with_image else "Kd 1 0 0\n"))
    path = folder / "tetrahedron.obj"
    corners = ["v 0 0 0", "v 100 0 0", "v 0 100 0", "v 0 0 100"]
    faces = [(1, 3, 2), (1, 2, 4), (1, 4, 3), (2, 3, 4)]
    uv = ["vt 0.1 0.1", "vt 0.9 0.1", "vt 0.5 0.9", "vt 0.5 0.5"]
    lines = ["mtllib skin.mtl", *corners, *uv, "usemtl skin"]
    path.write_text("\n".join(lines + ["f " + " ".join(f"{i}/{i}" for i in face) for face in faces]) + "\n")
    return path


def test_a_texture_is_kept_as_upstream_samples_it(tmp_path: Path) -> None:
    """v upwards, row 0 on top: the corner at v = 0.9 is red, those at 0.1 are blue."""
    made = onboard(write_textured(tmp_path, with_image=True), "mm", view_subdivisions=0, as_upstream=True).upstream
    assert made is not None
    mesh = made.mesh
    assert mesh.uv is not None
    assert mesh.texture is not None
    assert (len(mesh.vertices), mesh.texture.shape) == (4, (8, 8, 3))
    texels = mesh.texture[((1.0 - mesh.uv[:, 1]) * 8).astype(int), (mesh.uv[:, 0] * 8).astype(int)]
    is_third = np.isclose(mesh.vertices[:, 1], mesh.vertices[:, 1].max())
    np.testing.assert_array_equal(texels[is_third], [[255, 0, 0]])
    np.testing.assert_array_equal(texels[np.isclose(mesh.uv[:, 1], 0.1)], [[0, 0, 255]] * 2)


def test_a_material_without_its_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="a material without image, expected the texture that upstream renders"):
        onboard(write_textured(tmp_path, with_image=False), "mm", view_subdivisions=0, as_upstream=True)
