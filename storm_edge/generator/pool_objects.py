"""Objects for the pool: those of `synthetic.objects`, and what real scenes have and painted families rarely do.

The odd ones are the same shape families, stretched, flattened, left plain or marked in one place: white plastic,
glazed and lacquered things, needles and plates, solids of revolution, and regular solids whose side only a mark
tells.
They come from the object seeds of a split as all others, so that training and evaluation share none.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.generator.resting import support_points
from storm_edge.generator.symmetry_search import Symmetries, find_symmetries
from storm_edge.geometry.mesh import Mesh, make_mesh, vertex_normals
from storm_edge.synthetic.objects import DIAMETER_M, make_object
from storm_edge.synthetic.shapes import FAMILIES, REVOLVED, make_shape
from storm_edge.synthetic.splits import EVALUATION_FROM
from storm_edge.synthetic.textures import paint, random_colour

Float64 = NDArray[np.float64]
_Z = np.array([0.0, 0.0, 1.0])

ODD_KINDS = ("white", "glossy", "thin", "flat", "round", "marked")
"""Kinds of objects beside the usual ones."""
_FAMILIES = {
    "thin": ("tool", "ladle", "hook", "ring", "box", "bracket"),
    "flat": ("box", "rounded_box", "bowl", "can", "bracket"),
    "round": ("can", "bowl", "cup"),
    "marked": ("can", "cup", "bowl", "box", "rounded_box"),
}


@dataclass(frozen=True, kw_only=True)
class PoolObject:
    """One object before it goes to the device."""

    mesh: Mesh
    """Surface with vertex colours [m], its AABB centre in the origin."""
    diameter_m: float
    """Largest distance between two vertices [m]."""
    symmetries: Symmetries
    """What leaves it as it is."""
    gloss: tuple[float, float]
    """Strength and exponent of its highlights."""
    kind: str
    """``usual``, one of `ODD_KINDS`, or ``read`` from a file."""


def draw_object(rng: np.random.Generator, seeds: range, face_count: tuple[int, int], odd_share: float) -> PoolObject:
    """An object of some seed of ``seeds``."""
    seed = int(rng.integers(seeds.start, seeds.stop))
    wanted = int(rng.integers(*face_count))
    if rng.random() < odd_share:
        return odd_object(seed, ODD_KINDS[int(rng.integers(len(ODD_KINDS)))], wanted)
    truth = make_object(seed, evaluation=seed >= EVALUATION_FROM, face_count=wanted)
    return PoolObject(
        mesh=truth.mesh,
        diameter_m=truth.diameter_m,
        symmetries=find_symmetries(truth.mesh, truth.diameter_m, known_axis=_Z if truth.axes else None),
        gloss=_gloss(rng, 0.4),
        kind="usual",
    )


def odd_object(seed: int, kind: str, face_count: int) -> PoolObject:
    """The object of a seed and a kind of `ODD_KINDS`, always the same one."""
    rng = np.random.default_rng([seed, 11])
    families = _FAMILIES.get(kind, tuple(FAMILIES))
    family = families[int(rng.integers(len(families)))]
    regular = kind in ("round", "marked")
    vertices, faces, deformed = _shape(rng, family, face_count, regular=regular)
    if kind in ("thin", "flat"):
        vertices = vertices * _stretch(rng, kind, family)
    diameter_m = float(np.exp(rng.uniform(*np.log(DIAMETER_M))))
    vertices = vertices * (diameter_m / _extent(vertices))
    normals = vertex_normals(vertices.astype(np.float32), faces.astype(np.int32))
    colours, turns_freely = _colours(rng, kind, vertices, normals)
    mesh = make_mesh(vertices, faces, colours=colours, normals=normals)
    free = family in REVOLVED and turns_freely and not deformed and kind != "thin"
    return PoolObject(
        mesh=mesh,
        diameter_m=diameter_m,
        symmetries=find_symmetries(mesh, diameter_m, known_axis=_Z if free else None),
        gloss=_gloss(rng, 1.0 if kind == "glossy" else 0.4, strong=kind == "glossy"),
        kind=kind,
    )


def _shape(
    rng: np.random.Generator, family: str, face_count: int, *, regular: bool
) -> tuple[Float64, NDArray[np.int64], bool]:
    """A surface of about unit size; ``regular`` ones are not deformed."""
    seed = int(rng.integers(2**62))
    attempt = 0
    # `make_shape` decides on a deformation first of all, so that it costs nothing to look for a seed without one.
    while regular and np.random.default_rng([seed, attempt]).random() < 0.4:
        attempt += 1
    own = np.random.default_rng([seed, attempt])
    (vertices, faces), _, deformed = make_shape(own, face_count=face_count, diameter_m=1.0, family=family)
    return vertices, faces, deformed


def _stretch(rng: np.random.Generator, kind: str, family: str) -> Float64:
    """Factors along the axes; what is revolved stays so when it is flattened."""
    if kind == "flat":
        return np.array([1.0, 1.0 if family in REVOLVED else rng.uniform(0.6, 1.0), rng.uniform(0.08, 0.3)])
    return np.array([*rng.uniform(0.12, 0.5, 2), 1.0])[rng.permutation(3)]


def _extent(vertices: Float64) -> float:
    """Largest distance between two vertices, missing at most 0.25 %."""
    extreme = support_points(vertices)
    return float(np.sqrt(np.max(np.sum((extreme[:, None] - extreme[None]) ** 2, axis=-1))))


def _colours(
    rng: np.random.Generator, kind: str, vertices: Float64, normals: NDArray[np.float32]
) -> tuple[Float64, bool]:
    """Vertex colours ``(V, 3)``, and whether a turn about z leaves them as they are."""
    if kind == "white":
        return np.tile(_near_white(rng), (len(vertices), 1)), True
    if kind == "round":
        return _rings(rng, vertices), True
    if kind == "marked":
        return _marked(rng, vertices, normals), False
    if rng.random() < 0.5:
        return np.tile(random_colour(rng), (len(vertices), 1)), True
    return paint(rng, vertices, normals)[0], False


def _near_white(rng: np.random.Generator) -> Float64:
    return np.asarray(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.08), rng.uniform(0.75, 0.98)))


def _rings(rng: np.random.Generator, vertices: Float64) -> Float64:
    """Plain, or with a few rings around z."""
    low, high = vertices[:, 2].min(), vertices[:, 2].max()
    borders = np.sort(rng.uniform(low, high, int(rng.integers(0, 4))))
    colours = np.stack([random_colour(rng) for _ in range(len(borders) + 1)])
    return np.asarray(colours[np.searchsorted(borders, vertices[:, 2])])


def _marked(rng: np.random.Generator, vertices: Float64, normals: NDArray[np.float32]) -> Float64:
    """Plain but for one label, sticker or logo, seen from one side."""
    base = _near_white(rng) if rng.random() < 0.4 else random_colour(rng)
    ink = random_colour(rng)
    while np.abs(ink - base).max() < 0.3:
        ink = random_colour(rng)
    p = vertices / _extent(vertices)
    centre = int(rng.integers(len(p)))
    apart = np.abs(p - p[centre])
    half = rng.uniform(0.06, 0.25, 3)
    inside = (apart < half).all(axis=1) & (normals @ normals[centre] > 0.2)
    inside[centre] = True
    return np.where(inside[:, None], ink, base)


def _gloss(rng: np.random.Generator, share: float, *, strong: bool = False) -> tuple[float, float]:
    if rng.random() >= share:
        return 0.0, 10.0
    low, high = (0.5, 1.5) if strong else (0.1, 0.7)
    return float(rng.uniform(low, high)), float(np.exp(rng.uniform(np.log(5.0), np.log(150.0 if strong else 60.0))))
