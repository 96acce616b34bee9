"""Hand-like occluders: palm, fingers and forearm of capsules, in many skin tones and sleeves."""

from __future__ import annotations

import colorsys

import numpy as np

from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.synthetic.primitives import moved, rounded, tube, union
from storm_edge.synthetic.textures import random_colour

_STEP_M = 0.012  # about 1500 triangles
_WRIST_M = 0.1


def make_hand(rng: np.random.Generator) -> Mesh:
    """A hand whose grasp point is the origin; the forearm leaves along +y, the palm faces -z.

    Args:
        rng: Source of randomness for bend, spread, size, skin and sleeve.
    """
    palm = moved(rounded((0.085, 0.09, 0.035), _STEP_M, 3.0), (0.0, 0.06, 0.02))
    curl, spread = rng.uniform(0.2, 1.2), rng.uniform(0.6, 1.4)
    fingers = []
    for x in (-0.033, -0.011, 0.011, 0.033):
        bend = curl + rng.normal(0.0, 0.15)
        root = np.array([x, 0.02, 0.02])
        middle = root + 0.045 * np.array([0.2 * spread * np.sign(x), -np.cos(0.4 * bend), -np.sin(0.4 * bend)])
        tip = middle + 0.04 * np.array([0.0, -np.cos(bend), -np.sin(bend)])
        fingers.append(tube(np.stack([root, middle, tip]), np.array([0.011, 0.0095, 0.008]), _STEP_M))
    side = rng.choice([-1.0, 1.0])
    thumb_tip = np.array([side * rng.uniform(0.02, 0.07), rng.uniform(-0.02, 0.02), rng.uniform(-0.07, -0.02)])
    thumb = tube(
        np.stack([[side * 0.04, 0.07, 0.01], [side * 0.06, 0.035, -0.02], thumb_tip]),
        np.array([0.014, 0.012, 0.01]),
        _STEP_M,
    )
    elbow = np.array([rng.normal(0.0, 0.06), 0.42, rng.normal(0.0, 0.06)])
    forearm = tube(np.stack([[0.0, 0.08, 0.02], elbow]), np.array([0.027, 0.042]), 2.0 * _STEP_M)
    vertices, faces = union(palm, *fingers, thumb, forearm)

    # Human skin lies in a narrow band of hue and a wide one of lightness.
    skin = np.array(colorsys.hsv_to_rgb(rng.uniform(0.02, 0.09), rng.uniform(0.25, 0.6), rng.uniform(0.3, 0.95)))
    colours = np.tile(skin, (len(vertices), 1)) * (1.0 + 0.04 * rng.standard_normal((len(vertices), 1)))
    if rng.random() < 0.7:
        colours[vertices[:, 1] > rng.uniform(_WRIST_M, 0.25)] = random_colour(rng)
    return make_mesh(vertices * rng.uniform(0.85, 1.1), faces, colours=np.clip(colours, 0.0, 1.0))
