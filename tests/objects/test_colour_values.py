"""Which models' colours say something of where they are."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.objects.colour_values import GREY, colours_differ, has_colours, is_colourless

BOX = trimesh.creation.box((0.1, 0.1, 0.1))


def box(colours: np.ndarray | None = None, texture: np.ndarray | None = None) -> Mesh:
    vertices = np.asarray(BOX.vertices)
    uv = None if texture is None else np.zeros((len(vertices), 2))
    return make_mesh(vertices, np.asarray(BOX.faces), colours=colours, uv=uv, texture=texture)


@pytest.mark.parametrize(
    ("colour", "colourless"),
    [
        ((1.0, 1.0, 1.0), True),
        ((0.4, 0.4, 0.4), True),
        ((0.87, 0.85, 0.85), True),
        ((0.0, 0.0, 0.0), True),
        ((0.6, 0.1, 0.1), False),
        ((0.9, 0.85, 0.7), False),
    ],
)
def test_one_grey_is_no_colour_and_one_hue_is(colour: tuple[float, float, float], colourless: bool) -> None:
    mesh = box(np.tile(colour, (8, 1)))
    assert not colours_differ(mesh)
    assert is_colourless(mesh) is colourless
    textured = box(texture=np.tile(np.round(np.array(colour) * 255).astype(np.uint8), (4, 4, 1)))
    assert is_colourless(textured) is colourless


def test_a_model_without_colours_has_none() -> None:
    assert is_colourless(box())


def test_a_white_mug_says_its_colour_and_a_scan_without_does_not() -> None:
    assert has_colours(box(np.ones((8, 3))))
    assert has_colours(box(texture=np.full((4, 4, 3), 128, dtype=np.uint8)))
    assert not has_colours(box())
    assert not has_colours(box(np.full((8, 3), GREY)))


def test_two_greys_are_a_pattern() -> None:
    colours = np.full((8, 3), 0.5)
    colours[:4] = 0.6
    assert colours_differ(box(colours))
    assert not is_colourless(box(colours))
