"""What hides objects and is never looked for: hands, grippers and poles."""

from __future__ import annotations

import numpy as np

from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import exp_so3
from storm_edge.synthetic.hands import make_hand
from storm_edge.synthetic.primitives import box, moved, tube, union
from storm_edge.synthetic.textures import random_colour


def make_prop(rng: np.random.Generator) -> Mesh:
    """Something whose grasp point is the origin: it comes from +y, and what it holds lies towards -z."""
    kind = rng.random()
    if kind < 0.55:
        return make_hand(rng)
    return make_gripper(rng) if kind < 0.8 else make_pole(rng)


def make_gripper(rng: np.random.Generator) -> Mesh:
    """Two fingers made of boxes on a palm, and the arm behind."""
    step = 0.02
    opening, length = rng.uniform(0.03, 0.1), rng.uniform(0.04, 0.09)
    thick, wide = rng.uniform(0.008, 0.018), rng.uniform(0.015, 0.03)
    fingers = [
        moved(box((thick, length, wide), step), (side * (opening + thick) / 2.0, length / 2.0, 0.0))
        for side in (-1.0, 1.0)
    ]
    palm = moved(box((0.16, 0.05, 0.05), step), (0.0, length + 0.025, 0.0))
    arm = tube(np.array([[0.0, length + 0.04, 0.0], [rng.normal(0.0, 0.1), length + 0.6, 0.0]]), 0.04, 2.0 * step)
    vertices, faces = union(*fingers, palm, arm)
    colours = np.tile(_machine_colour(rng), (len(vertices), 1))
    colours[vertices[:, 1] < length] = _machine_colour(rng)
    colours[vertices[:, 1] > length + 0.05] = _machine_colour(rng)
    return make_mesh(vertices, faces, colours=colours)


def make_pole(rng: np.random.Generator) -> Mesh:
    """A rod whose end touches what it carries."""
    radius = rng.uniform(0.006, 0.03)
    away = exp_so3(np.array([rng.normal(0.0, 0.3), 0.0, rng.normal(0.0, 0.3)])) @ np.array([0.0, 0.8, 0.0])
    vertices, faces = tube(np.stack([np.zeros(3), away]), radius, max(0.02, 1.5 * radius))
    colours = np.tile(_machine_colour(rng), (len(vertices), 1))
    if rng.random() < 0.3:
        colours[np.floor(vertices[:, 1] / rng.uniform(0.03, 0.1)).astype(np.int64) % 2 == 0] = _machine_colour(rng)
    return make_mesh(vertices, faces, colours=colours)


def _machine_colour(rng: np.random.Generator) -> np.ndarray:
    """Black, grey and white mostly; safety colours now and then."""
    if rng.random() < 0.75:
        return np.full(3, rng.choice([rng.uniform(0.03, 0.15), rng.uniform(0.3, 0.6), rng.uniform(0.75, 0.95)]))
    return random_colour(rng)
