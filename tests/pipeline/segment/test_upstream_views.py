"""Upstream's reference views: cameras about the mean of the vertices, light by the glTF formula, worked by hand."""

from __future__ import annotations

import numpy as np

from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.pipeline.segment.upstream_views import lit_colours, upstream_pictures

TOWARDS = np.array([0.0, 0.0, -1.0])
"""From a surface before the camera to it."""


def lopsided() -> Mesh:
    """A box of 60 mm whose vertices lie mostly at one end: a fan divides its top."""
    import trimesh

    box = trimesh.creation.box((0.06, 0.06, 0.06))
    vertices, faces = np.asarray(box.vertices), np.asarray(box.faces)
    for _ in range(3):
        top = (vertices[faces][:, :, 2] > 0.029).all(axis=1)
        split, new = trimesh.remesh.subdivide(vertices, faces[top])
        vertices, faces = np.asarray(split), np.concatenate([faces[~top], np.asarray(new)])
    return make_mesh(vertices, faces, colours=np.tile([0.8, 0.4, 0.2], (len(vertices), 1)))


def lit(n: np.ndarray, to_distant: np.ndarray, *, distance: float = 1.0, is_textured: bool = False) -> np.ndarray:
    return lit_colours(
        np.array([[0.8, 0.4, 0.2]]),
        n[None],
        np.array([[0.0, 0.0, distance]]),
        to_distant=to_distant,
        is_textured=is_textured,
    )[0]


def test_a_lit_side_is_white_and_a_dark_one_has_the_ambient_share() -> None:
    """500 times a share of pi saturates; away from the lamp a thousandth of it is left, and 0.4 of the base colour.

    All of that times the vertex colour, by the gamma of 2.2. The lamp on the camera is far away and shows nothing.
    """
    away = np.array([0.0, 0.0, 1.0])
    np.testing.assert_array_equal(lit(TOWARDS, TOWARDS, distance=1000.0), 1.0)
    dark = lit(TOWARDS, away + np.array([1e-9, 0.0, 0.0]), distance=1e6)
    # l + v vanishes: the half vector is across, so that nh = vh = 0 and the Fresnel term is 1.
    k = 1.8**2 / 8.0
    shadowing = 1.0 / (1.0 * (1.0 - k) + k) * 0.001 / (0.001 * (1.0 - k) + k)
    specular = 0.001 * shadowing * 0.8**4 / np.pi / (4.0 * 0.001 + 0.001)
    expected = ((500.0 * specular + 0.4 * 0.3) * np.array([0.8, 0.4, 0.2])) ** (1.0 / 2.2)
    np.testing.assert_allclose(dark, np.clip(expected, 0.0, 1.0), atol=1e-4)


def test_the_lamp_on_the_camera_fades_with_the_square_of_the_files_unit() -> None:
    """Facing it: nl = nv = nh = vh = 1, so that the reflected share is known; a metre is bright, a thousand not."""
    side = np.array([1.0, 0.0, 0.0])
    for distance in (10.0, 100.0, 1000.0):
        f0 = 0.04 * 0.8 + 0.3 * 0.2
        camera = (1.0 - f0) * 0.3 * 0.96 * 0.8 / np.pi + f0 / (np.pi * 0.8**4) / 4.001
        # The distant lamp comes from the side: nl = 0.001, nv = 1, nh = vh = cos 45.
        half = 0.5**0.5
        fresnel = f0 + (1.0 - f0) * (1.0 - half) ** 5
        k = 1.8**2 / 8.0
        shadowing = 0.001 / (0.001 * (1.0 - k) + k)
        spread = 0.8**4 / (np.pi * (0.5 * (0.8**4 - 1.0) + 1.0) ** 2)
        distant = 0.001 * ((1.0 - fresnel) * 0.3 * 0.96 * 0.8 / np.pi + fresnel * shadowing * spread / 0.005)
        light = 600.0 / distance**2 * camera + 500.0 * distant + 0.4 * 0.3
        expected = np.clip((light * np.array([0.8, 0.4, 0.2])) ** (1.0 / 2.2), 0.0, 1.0)
        np.testing.assert_allclose(lit(TOWARDS, side, distance=distance), expected, atol=1e-6)


def test_a_texture_is_the_base_colour_of_a_metal() -> None:
    """Textured surfaces are all metal there: in the dark 0.4 of their linear colour is left, and the reflection."""
    dark = lit(TOWARDS, np.array([1.0, 0.0, 0.0]), distance=1e6, is_textured=True)
    linear = ((np.array([0.8, 0.4, 0.2]) + 0.055) / 1.055) ** 2.4
    assert (dark > (0.4 * linear) ** (1.0 / 2.2) - 1e-9).all()
    assert dark[0] > dark[1] > dark[2]


def test_cameras_look_at_the_mean_of_the_vertices() -> None:
    """Silhouettes against vertices projected by upstream's cameras; grey is 128, the lamp's side white.

    A camera sits at mean + 1.5 diagonals * direction, looks at the mean, and has z upwards in its picture.
    """
    mesh = lopsided()
    pictures = upstream_pictures(mesh, mesh.normals, per_metre=1000.0, supersampling=1)
    assert pictures.shape == (16, 480, 640, 3)
    assert (pictures[:, 0, 0] == 128).all()
    assert (pictures == 255).all(axis=-1).any(axis=(1, 2)).sum() > 8
    mean, f = mesh.vertices.mean(axis=0), 240.0 / np.tan(np.deg2rad(22.5))
    assert mean[2] > 0.02
    for k, picture in enumerate(pictures):
        z = 1.0 - 2.0 * (k + 0.5) / 16
        azimuth = np.pi * (3.0 - 5.0**0.5) * k
        direction = np.array([np.cos(azimuth) * (1 - z * z) ** 0.5, np.sin(azimuth) * (1 - z * z) ** 0.5, z])
        right = np.cross(-direction, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        p = mesh.vertices - (mean + 1.5 * 0.06 * 3.0**0.5 * direction)
        depth = p @ -direction
        u = f * (p @ right) / depth + 319.5
        v = 239.5 - f * (p @ np.cross(direction, right)) / depth
        rows, columns = np.nonzero((picture != 128).any(axis=-1))
        seen = [columns.min(), columns.max(), rows.min(), rows.max()]
        np.testing.assert_allclose(seen, [u.min(), u.max(), v.min(), min(v.max(), 479.0)], atol=1.5)
