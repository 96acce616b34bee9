"""Families of shapes: the geometry of household things, brackets and tools, without colour.

Shapes are composed of `primitives` in about unit size; `make_shape` picks a family, a number of triangles and a
diameter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import exp_so3, random_rotation
from storm_edge.geometry.viewsphere import icosphere
from storm_edge.synthetic.fields import space_field
from storm_edge.synthetic.primitives import Surface, box, moved, revolve, rounded, spline, tube, union

Float64 = NDArray[np.float64]

_TRIAL_STEP = 0.06  # unit-size trial surface, only to learn how many triangles it takes
_DIRECTIONS = icosphere(3)


# Families. Each draws its proportions from rng first and meshes second, so that one seed gives one shape at any step.


def _box(rng: np.random.Generator, step: float) -> Surface:
    return box(rng.uniform(0.25, 1.0, 3), step)


def _rounded_box(rng: np.random.Generator, step: float) -> Surface:
    return rounded(rng.uniform(0.3, 1.0, 3), step, exponent=float(rng.choice([2.0, 3.0, 5.0, 10.0])))


def _can(rng: np.random.Generator, step: float) -> Surface:
    r, top = rng.uniform(0.2, 0.5), rng.uniform(0.6, 1.0)
    return revolve(np.array([[r, 0.0], [r * top, 1.0]]) * [1.0, rng.uniform(0.4, 1.2)], step)


def _bottle(rng: np.random.Generator, step: float) -> Surface:
    body, neck = rng.uniform(0.16, 0.3), rng.uniform(0.05, 0.1)
    shoulder = rng.uniform(0.5, 0.75)
    waist = body * rng.uniform(0.75, 1.0)
    control = [[body * 0.9, 0.0], [body, 0.04], [waist, shoulder * 0.5], [body, shoulder], [neck, shoulder + 0.2]]
    profile = np.concatenate([spline(np.array(control), 24), [[neck, 0.95], [neck * 1.3, 0.95], [neck * 1.3, 1.0]]])
    flatten = rng.uniform(0.55, 1.0)
    vertices, faces = revolve(profile, step)
    return vertices * [1.0, flatten, 1.0], faces


def _bowl(rng: np.random.Generator, step: float) -> Surface:
    depth, foot, wall = rng.uniform(0.1, 0.45), rng.uniform(0.15, 0.3), rng.uniform(0.02, 0.05)
    bend = rng.uniform(0.3, 0.8)
    t = np.linspace(0.0, 1.0, 12)
    outside = np.stack([foot + (0.5 - foot) * t**bend, depth * t**1.6], axis=1)
    inside = np.maximum(outside[::-1] - [wall, 0.0], [0.0, wall])
    return revolve(np.concatenate([outside, inside]), step)


def _cup_body(rng: np.random.Generator, step: float) -> tuple[Surface, float, float]:
    base, rim, wall = rng.uniform(0.25, 0.42), rng.uniform(0.3, 0.45), rng.uniform(0.025, 0.05)
    height = rng.uniform(0.6, 1.0)
    outside = spline(
        np.array([[base, 0.0], [(base + rim) / 2 * rng.uniform(0.9, 1.1), height / 2], [rim, height]]), 9
    )
    inside = np.maximum(outside[::-1] - [wall, 0.0], [0.0, wall])
    return revolve(np.concatenate([outside, inside]), step), (base + rim) / 2.0, height


def _cup(rng: np.random.Generator, step: float) -> Surface:
    return _cup_body(rng, step)[0]


def _mug(rng: np.random.Generator, step: float) -> Surface:
    body, radius, height = _cup_body(rng, step)
    reach, thick = rng.uniform(0.18, 0.35), rng.uniform(0.03, 0.06)
    low, high = rng.uniform(0.15, 0.3) * height, rng.uniform(0.7, 0.88) * height
    bulge = rng.uniform(0.8, 1.1)
    inner, outer = radius - 0.02, radius + reach
    control = np.array(
        [[inner, 0, low], [radius + reach * bulge, 0, low + 0.05], [outer, 0, high - 0.05], [inner, 0, high]]
    )
    return union(body, tube(spline(control, 24), thick, step))


def _bracket(rng: np.random.Generator, step: float) -> Surface:
    width, thick = rng.uniform(0.2, 0.6), rng.uniform(0.06, 0.25)
    long, high = 1.0, rng.uniform(0.3, 0.9)
    place = rng.choice([-0.5, 0.0, 0.5]) * (long - thick)
    parts = [box((long, width, thick), step), moved(box((thick, width, high), step), (place, 0.0, high / 2))]
    if rng.random() < 0.4:
        parts.append(moved(box((thick, width, high * rng.uniform(0.4, 1.0)), step), (-place or 0.3, 0.0, high / 2)))
    return union(*parts)


def _tool(rng: np.random.Generator, step: float) -> Surface:
    length, thick = 1.0, rng.uniform(0.04, 0.09)
    grip = tube(np.array([[0, 0, 0], [0, 0, length * 0.5]]), np.array([thick, thick * rng.uniform(0.7, 1.0)]), step)
    shaft = tube(np.array([[0, 0, length * 0.4], [0, 0, length]]), thick * rng.uniform(0.4, 0.8), step)
    kind = rng.integers(3)
    if kind == 0:  # hammer
        head = moved(rounded((rng.uniform(0.3, 0.5), 0.14, 0.14), step, 6.0), (0.0, 0.0, length))
    elif kind == 1:  # spanner: two jaws
        spread = rng.uniform(0.08, 0.14)
        jaws = []
        for side in (-spread, spread):
            jaw = np.array([[0, 0, length], [side, 0, length + 0.1], [side * 0.6, 0, length + 0.22]])
            jaws.append(tube(jaw, 0.035, step))
        head = union(*jaws)
    else:  # spatula
        head = moved(box((rng.uniform(0.15, 0.35), 0.03, 0.35), step), (0.0, 0.0, length + 0.1))
    return union(grip, shaft, head)


def _ladle(rng: np.random.Generator, step: float) -> Surface:
    vertices, faces = _bowl(rng, step)
    size = rng.uniform(0.5, 0.9)
    handle = tube(
        spline(
            np.array([[0.45 * size, 0, 0.1], [0.7, 0, rng.uniform(0.1, 0.4)], [1.2, 0, rng.uniform(0.1, 0.7)]]), 12
        ),
        rng.uniform(0.03, 0.05),
        step,
    )
    return union((vertices * size, faces), handle)


def _hook(rng: np.random.Generator, step: float) -> Surface:
    control = np.cumsum(rng.normal(0.0, 0.3, (int(rng.integers(3, 6)), 3)) + [0.0, 0.0, 0.2], axis=0)
    line = spline(control, 30)
    return tube(line, np.linspace(rng.uniform(0.06, 0.14), rng.uniform(0.06, 0.14), len(line)), step)


def _ring(rng: np.random.Generator, step: float) -> Surface:
    # A nearly full turn: the two hemispherical ends meet and close it.
    angle = np.linspace(0.0, rng.uniform(1.0, 1.95) * np.pi, 40)
    line = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1) * 0.4
    return tube(line, rng.uniform(0.05, 0.14), step)


def _lumpy(rng: np.random.Generator, step: float) -> Surface:
    vertices, faces = rounded(rng.uniform(0.5, 1.0, 3), step, 2.0)
    bumps = space_field(rng, vertices, rng.uniform(0.15, 0.4)) - 0.5
    return vertices * (1.0 + rng.uniform(0.2, 0.7) * bumps[:, None]), faces


def _spray(rng: np.random.Generator, step: float) -> Surface:
    body = _bottle(rng, step)
    head = moved(rounded((rng.uniform(0.25, 0.4), 0.12, 0.12), step, 6.0), (0.08, 0.0, 1.02))
    trigger = tube(np.array([[0.1, 0, 1.0], [0.16, 0, 0.88], [0.14, 0, 0.8]]), 0.025, step)
    return union(body, head, trigger)


def _assembly(rng: np.random.Generator, step: float) -> Surface:
    simple = (_box, _rounded_box, _can, _bracket, _ring)
    parts = []
    for _ in range(int(rng.integers(2, 5))):
        vertices, faces = simple[int(rng.integers(len(simple)))](rng, step / 0.6)
        part = (vertices * rng.uniform(0.3, 0.8), faces)
        R = random_rotation(rng) if rng.random() < 0.5 else exp_so3([0.0, 0.0, rng.integers(4) * np.pi / 2])
        parts.append(moved(part, rng.uniform(-0.25, 0.25, 3), R))
    return union(*parts)


FAMILIES: dict[str, Callable[[np.random.Generator, float], Surface]] = {
    "assembly": _assembly,
    "bottle": _bottle,
    "bowl": _bowl,
    "box": _box,
    "bracket": _bracket,
    "can": _can,
    "cup": _cup,
    "hook": _hook,
    "ladle": _ladle,
    "lumpy": _lumpy,
    "mug": _mug,
    "ring": _ring,
    "rounded_box": _rounded_box,
    "spray": _spray,
    "tool": _tool,
}
"""Shape families by name."""

_WEIGHTS = {"mug": 2.0, "assembly": 2.0, "box": 1.5, "bottle": 1.5, "ring": 0.5, "hook": 0.5}
REVOLVED = frozenset({"bowl", "can", "cup"})
"""Families that look the same after any turn about z, unless colour or a deformation tells."""


def _deformed(rng: np.random.Generator, vertices: Float64) -> Float64:
    """Taper, twist and bend about z, and soft dents: things are rarely exact primitives."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    t = (vertices[:, 2] - low[2]) / max(float(high[2] - low[2]), 1e-9) - 0.5
    taper, twist, bend, dent = rng.normal(0.0, [0.15, 0.4, 0.1, 0.04])
    x, y = vertices[:, 0] * (1.0 + taper * t), vertices[:, 1] * (1.0 + taper * t)
    c, s = np.cos(twist * t), np.sin(twist * t)
    out = np.stack([c * x - s * y + bend * t**2, s * x + c * y, vertices[:, 2]], axis=1)
    centre = (low + high) / 2.0
    swell = 1.0 + dent * 2.0 * (space_field(rng, vertices, 0.35) - 0.5)
    return np.asarray(centre + (out - centre) * swell[:, None])


def _diameter(vertices: Float64) -> float:
    """Largest vertex distance, from the vertices that are extreme in some direction.

    Neighbouring directions are 8 degrees apart, so at most 0.25 % is missed, and far less on anything that is not a
    ball; `geometry.mesh.diameter` is exact and too slow to call for every object of a training run.
    """
    extreme = vertices[np.unique(np.argmax(_DIRECTIONS @ vertices.T, axis=1))]
    squared = np.sum(extreme**2, axis=1)
    return float(np.sqrt(np.max(squared[:, None] + squared - 2.0 * extreme @ extreme.T)))


def make_shape(
    rng: np.random.Generator, *, face_count: int, diameter_m: float, family: str | None = None
) -> tuple[Surface, str, bool]:
    """One random closed surface, its AABB centre in the origin.

    Args:
        rng: Source of randomness.
        face_count: Wanted number of triangles, met within about a third (rings of a pointed shape take more).
        diameter_m: Largest distance between two vertices [m].
        family: A name in `FAMILIES`; drawn when None.

    Returns:
        The surface [m], the name of its family, and whether a deformation changed it.
    """
    if family is None:
        names = sorted(FAMILIES)
        weights = np.array([_WEIGHTS.get(name, 1.0) for name in names])
        family = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    deformed = bool(rng.random() < 0.4)
    seed = int(rng.integers(2**63))
    trial = FAMILIES[family](np.random.default_rng(seed), _TRIAL_STEP)
    step = _TRIAL_STEP * float(np.sqrt(len(trial[1]) / face_count))
    own = np.random.default_rng(seed)
    vertices, faces = FAMILIES[family](own, step)
    if deformed:
        vertices = _deformed(own, vertices)
    vertices = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2.0
    return (vertices * (diameter_m / _diameter(vertices)), faces), family, deformed
