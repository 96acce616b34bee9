"""Which turns leave a painted mesh as it is, found by trying: half and quarter turns, and turns by any angle.

Tried about the axes of the object's frame and about those of its inertia, all through the centre of its area. A turn
counts when the turned surface lies on the surface and looks the same there, to within what a camera could tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import exp_so3

Float64 = NDArray[np.float64]

MAX_TURNS = 24
"""Most discrete turns: those of a cube."""
_FEW, _MANY = 48, 1500  # points of the first, quick look and of the second
_OFF = 0.008  # mean distance from the surface allowed [diameters]; tessellation alone reaches half of it
_FAR_OFF = 0.025  # 95th percentile of it
_OTHER_COLOUR = 0.15  # difference in a channel that can be told
_OTHER_SHARE = 0.006  # share of points that may look different: less than the smallest mark has
_SAME_AXIS = 0.995  # cosine above which two axes are one
_ODD_ANGLES = (0.82, 2.3)  # no symmetry of a polygon of few sides has them [rad]


@dataclass(frozen=True, kw_only=True)
class Symmetries:
    """What leaves an object as it is."""

    turns: Float64
    """Rotations about `centre_m`, identity first, ``(S, 3, 3)``."""
    axis: Float64
    """Unit axis that it may be turned about by any angle ``(3,)``, 0 for none."""
    centre_m: Float64
    """``(3,)`` [m]."""


def find_symmetries(mesh: Mesh, diameter_m: float, *, known_axis: Float64 | None = None) -> Symmetries:
    """The turns of one object.

    Args:
        mesh: Its surface [m].
        diameter_m: Its diameter [m].
        known_axis: An axis that it is known to be free about, for paint whose borders the search would stumble over.
    """
    trial = _Trial(mesh, diameter_m)
    axes = trial.axes()
    free = known_axis
    if free is None:
        round_about = [a for a in axes if all(trial.holds(exp_so3(a * angle)) for angle in _ODD_ANGLES)]
        free = round_about[0] if round_about else None
    if free is not None:
        helper = np.eye(3)[int(np.argmin(np.abs(free)))]
        across = np.cross(free, helper)
        flip = exp_so3(across / np.linalg.norm(across) * np.pi)
        turns = np.stack([np.eye(3), flip] if trial.holds(flip) else [np.eye(3)])
        return Symmetries(turns=turns, axis=np.asarray(free), centre_m=trial.centre_m)
    found = []
    for a in axes:
        if trial.holds(exp_so3(a * np.pi)):
            quarter = exp_so3(a * np.pi / 2.0)
            found.append(quarter if trial.holds(quarter) else exp_so3(a * np.pi))
    return Symmetries(turns=_group(found), axis=np.zeros(3), centre_m=trial.centre_m)


class _Trial:
    """One surface, ready to be compared with itself turned."""

    def __init__(self, mesh: Mesh, diameter_m: float) -> None:
        corners = mesh.vertices[mesh.faces].astype(np.float64)
        area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        middles = corners.mean(axis=1)
        weight = area / max(float(area.sum()), 1e-30)
        self.centre_m = weight @ middles
        self._spread = (middles - self.centre_m).T @ ((middles - self.centre_m) * weight[:, None])
        self._points = (mesh.vertices - self.centre_m) / diameter_m
        self._normals, self._colours = mesh.normals.astype(np.float64), mesh.colours
        self._tree = cKDTree(self._points)

    def axes(self) -> list[Float64]:
        """Unit axes worth trying."""
        out = list(np.eye(3))
        _, vectors = np.linalg.eigh(self._spread)
        out += [v for v in vectors.T if all(abs(float(v @ a)) < _SAME_AXIS for a in out)]
        return out

    def holds(self, turn: Float64) -> bool:
        """Whether the surface turned by ``turn (3, 3)`` is the surface."""
        return self._agrees(turn, _FEW, paint=False) and self._agrees(turn, _MANY, paint=True)

    def _agrees(self, turn: Float64, count: int, *, paint: bool) -> bool:
        index = np.linspace(0, len(self._points) - 1, min(count, len(self._points))).astype(np.int64)
        turned = self._points[index] @ turn.T
        _, nearest = self._tree.query(turned)
        off = np.abs(np.sum((turned - self._points[nearest]) * self._normals[nearest], axis=1))
        # A vertex in the plane of another but beside the surface is seen by its distance in all.
        apart = np.linalg.norm(turned - self._points[nearest], axis=1)
        if off.mean() > _OFF or np.quantile(off, 0.95) > _FAR_OFF or np.quantile(apart, 0.95) > 4.0 * _FAR_OFF:
            return False
        if not paint:
            return True
        other = np.abs(self._colours[index] - self._colours[nearest]).max(axis=1) > _OTHER_COLOUR
        return bool(other.mean() < _OTHER_SHARE)


def _group(generators: list[Float64]) -> Float64:
    """All products of rotations, identity first, ``(S, 3, 3)`` with S at most `MAX_TURNS`."""
    found = [np.eye(3)]
    for turn in found:  # grows while it is walked through
        for generator in generators:
            product = generator @ turn
            if len(found) < MAX_TURNS and all(np.abs(product - known).max() > 1e-3 for known in found):
                found.append(product)
    return np.stack(found)
