"""Onboarding: a model file becomes an `ObjectBundle`.

Reading and repair are `mesh_io` and `surface`, the sparse views are `viewpoints`, the folder on disk is `bundle`;
here the object gets its centre, diameter, symmetries and the rotations that registration starts from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from storm_edge.choices import LengthUnit
from storm_edge.errors import InputError, MeshError, mismatch
from storm_edge.files import sha256
from storm_edge.geometry.mesh import Mesh, diameter, make_mesh
from storm_edge.geometry.se3 import invert, make_T, transform
from storm_edge.geometry.symmetry import ContinuousSymmetry, symmetry_transforms
from storm_edge.geometry.viewsphere import reduce_by_symmetry, rotation_grid
from storm_edge.objects.bundle import ModelSource, ObjectBundle
from storm_edge.objects.colour_values import colours_differ
from storm_edge.objects.mesh_io import METRES_PER_UNIT, Unit, load_mesh
from storm_edge.objects.near_symmetry import near_symmetries
from storm_edge.objects.retexture import reduce_surface
from storm_edge.objects.surface import Say, from_mesh, silent, to_mesh
from storm_edge.objects.upstream_file import load_upstream_model
from storm_edge.objects.viewpoints import build_viewpoints

Float64 = NDArray[np.float64]
Progress = Callable[[str, float], None]

MAX_FACES_LOD = 4_000
_SYMMETRY_TOLERANCE = 0.03
"""Share of the diameter by which a stated symmetry may move the surface (mean) before we doubt it."""


@dataclass(frozen=True, kw_only=True)
class Symmetries:
    """Motions of the model file's frame that map the object onto itself; none by default."""

    discrete: tuple[Float64, ...] = ()
    """Single motions ``(4, 4)`` [m]; the identity may be left out."""
    continuous: tuple[ContinuousSymmetry, ...] = ()
    """Axes of revolution [m]."""
    about_centre: bool = False
    """The motions are about the centre of the bounding box instead of the file's origin."""


NO_SYMMETRY = Symmetries()


def symmetry_about(text: str) -> Symmetries:
    """Parse ``AXIS`` (turned by any angle) or ``AXIS:COUNT`` (COUNT equal turns), such as ``z`` or ``x:2``.

    The axis runs through the centre of the bounding box.

    Raises:
        InputError: The text is neither.
    """
    name, colon, turns = text.partition(":")
    expected = "x, y or z, or with a number of equal turns such as z:2"
    if name not in ("x", "y", "z") or (colon and not (turns.isdecimal() and 2 <= int(turns) <= 360)):
        raise InputError(
            mismatch(f"symmetry '{text}'", "an unknown form", expected, "state the axis of the model file")
        )
    axis = tuple(float(name == other) for other in "xyz")
    revolution = ContinuousSymmetry(axis=(axis[0], axis[1], axis[2]))
    if not turns:
        return Symmetries(continuous=(revolution,), about_centre=True)
    motions = symmetry_transforms(continuous=[revolution], step_deg=360.0 / int(turns))
    return Symmetries(discrete=tuple(motions[1:]), about_centre=True)


def _no_progress(stage: str, fraction: float) -> None:
    """Report to nobody."""


def onboard(
    path: Path | str,
    unit: Unit,
    *,
    object_id: str | None = None,
    symmetries: Symmetries = NO_SYMMETRY,
    view_subdivisions: int = 3,
    as_upstream: bool = False,
    say: Say = silent,
    progress: Progress = _no_progress,
) -> ObjectBundle:
    """Make an `ObjectBundle` of a model file.

    Args:
        path: PLY, OBJ, GLB or STL file.
        unit: Unit of length in it.
        object_id: Name of the object; the file's name without suffix where none is given.
        symmetries: How the object may turn without looking different.
        view_subdivisions: Icosphere level of the sparse views: 3 gives 642 of them; less is quicker and coarser.
        as_upstream: Whether the model as upstream's programs have it is kept, too, for the schedule ``parity``.
        say: Receives one line per repair or doubt.
        progress: Receives the stage's name and its finished share in [0, 1].

    Raises:
        MeshError: The file holds no usable surface, or none that upstream could open.
        UnitError: Its size fits the other unit.
    """
    path = Path(path)
    progress("read", 0.0)
    model = load_mesh(path, unit, say=say)
    progress("read", 1.0)
    low, high = (corner.astype(np.float64) for corner in model.bounds())
    centre = 0.5 * (low + high)
    mesh = _moved(model, -centre)
    if not colours_differ(mesh):
        say(
            f"{path.name}: the model has no colours that differ, so finding it by the model alone (--init auto) is"
            " unreliable; give a mask (--init mask), or a model with its colours or texture"
        )
    if (high - low).min() <= 0.0:
        say(f"{path.name}: the model is flat; its pose is ambiguous seen from the edge")
    T_obj_centre = make_T(np.eye(3), centre)
    upstream = None
    if as_upstream:
        upstream = load_upstream_model(
            path,
            METRES_PER_UNIT[LengthUnit(unit)],
            T_obj_centre,
            discrete=symmetries.discrete,
            continuous=symmetries.continuous,
        )
    motions = _centred(symmetries, T_obj_centre)
    size = diameter(mesh.vertices)
    _doubt_symmetries(motions, mesh, size, what=path.name, say=say)
    progress("simplify", 0.0)
    mesh_lod = mesh if len(mesh.faces) <= MAX_FACES_LOD else to_mesh(reduce_surface(from_mesh(mesh), MAX_FACES_LOD))
    progress("simplify", 1.0)
    viewpoints = build_viewpoints(
        mesh,
        subdivisions=view_subdivisions,
        progress=lambda done, total: progress("viewpoints", done / total),
    )
    return ObjectBundle(
        object_id=path.stem if object_id is None else object_id,
        mesh=mesh,
        mesh_lod=mesh_lod,
        diameter_m=size,
        T_obj_centre=T_obj_centre,
        symmetries=motions,
        rotation_grid=reduce_by_symmetry(rotation_grid(), motions),
        viewpoints=viewpoints,
        stored_near_symmetries=near_symmetries(mesh_lod),
        upstream=upstream,
        source=ModelSource(name=path.name, sha256=sha256(path.read_bytes()), unit=LengthUnit(unit).value),
    )


def _moved(mesh: Mesh, shift: Float64) -> Mesh:
    """The mesh with every vertex moved by ``shift (3,)`` [m]."""
    return make_mesh(
        mesh.vertices + shift,
        mesh.faces,
        colours=mesh.colours,
        normals=mesh.normals,
        uv=mesh.uv,
        texture=mesh.texture,
    )


def _centred(symmetries: Symmetries, T_obj_centre: Float64) -> Float64:
    """All symmetry motions in the centre frame, identity first, ``(S, 4, 4)``."""
    motions = symmetry_transforms(symmetries.discrete, symmetries.continuous)
    if symmetries.about_centre:
        return motions
    return np.asarray(invert(T_obj_centre) @ motions @ T_obj_centre)


def _doubt_symmetries(motions: Float64, mesh: Mesh, diameter_m: float, *, what: str, say: Say) -> None:
    """Say so when a stated symmetry moves the surface: a wrong axis is an easy slip.

    Compares points spread over the surface with their moved selves; the spacing of the points is the noise of that.
    """
    if len(motions) == 1:
        return
    rng = np.random.default_rng(0)
    corner = mesh.vertices[mesh.faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    points = _points_on(corner, area, rng, 4000)
    tree = cKDTree(points)
    probe = _points_on(corner, area, rng, 500)
    spacing = np.mean(tree.query(probe)[0])
    worst = max(float(np.mean(tree.query(transform(T, probe))[0]) - spacing) for T in motions[1:])
    if worst > _SYMMETRY_TOLERANCE * diameter_m:
        share = 100.0 * worst / diameter_m
        say(f"{what}: a stated symmetry moves the surface by {share:.0f} % of its diameter; check the axis")


def _points_on(corner: Float64, area: Float64, rng: np.random.Generator, count: int) -> Float64:
    """Points ``(count, 3)`` spread evenly over triangles ``(F, 3, 3)``."""
    if not area.sum() > 0.0:
        raise MeshError(mismatch("model", "no surface area", "triangles with an area", "export the model again"))
    triangle = corner[rng.choice(len(corner), size=count, p=area / area.sum())]
    a, b = rng.random((2, count, 1))
    flip = (a + b) > 1.0
    a, b = np.where(flip, 1.0 - a, a), np.where(flip, 1.0 - b, b)
    return np.asarray(triangle[:, 0] + a * (triangle[:, 1] - triangle[:, 0]) + b * (triangle[:, 2] - triangle[:, 0]))
