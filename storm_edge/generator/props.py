"""What is never looked for: hands, grippers and poles, which hide objects, and furniture behind them."""

from __future__ import annotations

import numpy as np

from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import exp_so3
from storm_edge.synthetic.hands import make_hand
from storm_edge.synthetic.primitives import box, moved, rounded, tube, union
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


def make_furniture(rng: np.random.Generator) -> Mesh:
    """Boxes, legs and tubes of about a metre, as desks, machines and robots are made of; it stands on z = 0."""
    parts, colours = [], []
    shades = [_machine_colour(rng) for _ in range(3)]
    for _ in range(int(rng.integers(3, 12))):
        place = rng.uniform([-0.5, -0.25, 0.0], [0.5, 0.25, 0.9])
        kind = rng.random()
        if kind < 0.55:
            size = np.exp(rng.uniform(np.log(0.04), np.log(0.7), 3))
            part = moved(box(size, 0.3), place)
        elif kind < 0.85:
            end = place + rng.normal(0.0, 0.5, 3) * (rng.random(3) < 0.5)
            end[2] += 0.3
            part = tube(np.stack([place, end]), rng.uniform(0.01, 0.06), 0.08)
        else:
            part = moved(rounded(rng.uniform(0.08, 0.4, 3), 0.05, 2.0), place)
        parts.append(part)
        colour = shades[int(rng.integers(3))] if rng.random() < 0.8 else random_colour(rng)
        colours.append(np.tile(colour, (len(part[0]), 1)))
    vertices, faces = union(*parts)
    vertices = vertices * rng.uniform(0.4, 1.2)
    vertices = vertices - [0.0, 0.0, float(vertices[:, 2].min())]
    return make_mesh(vertices, faces, colours=np.concatenate(colours))
