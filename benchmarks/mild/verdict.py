"""Is a recording followed rightly? One word for all its frames, from what the loop said and the labels alone.

A pose is right where its ADD-S is below a tenth of the diameter. It is turned where it is right by ADD-S and not by
ADD, and the object has no symmetry that would allow it. It is false where it is not right, or where nothing is
labelled. Turned and false count where the loop says TRACKING: a pose that is doubted claims nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import transform

Float64 = NDArray[np.float64]

SURFACE_POINTS = 3000
"""Drawn from the surface by area, so that where a model has its vertices does not count."""
RIGHT_BELOW = 0.1
"""ADD-S over the diameter below which a pose is right."""
LEAST_RIGHT = 0.9
"""Of the judged frames of a recording."""
FEW_FRAMES = 5
"""Up to so many frames each has to be right."""
MOST_TURNED = 0.05
"""Of the judged frames."""
MOST_FALSE = 0.02
"""Of all frames."""


class Verdict(str, Enum):
    """On a recording."""

    RIGHT = "right"
    """Followed rightly to its end."""
    TURNED = "turned"
    """A turned pose is believed."""
    FALSE = "false"
    """A pose elsewhere is believed."""
    MISSED = "not found"
    """Nothing wrong is believed, and too few frames have a right pose."""
    REFUSED = "refused"
    """It ended with an error."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the loop said of a frame."""

    T_cam_obj: Float64 | None
    """The pose [m] ``(4, 4)``."""
    is_tracking: bool
    """Whether it is believed."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is known of a frame."""

    T_cam_obj: Float64 | None
    """The label [m] ``(4, 4)``; None where the object is not in the image."""
    is_judged: bool = True
    """Whether the label is good enough to judge by."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How many frames were what."""

    frames: int
    """All of them."""
    judged: int
    """Those with a good label."""
    posed: float
    """Of all frames, those with a pose."""
    right: float
    """Of the judged ones."""
    turned: float
    """Of the judged ones."""
    false: float
    """Of all frames."""

    @property
    def verdict(self) -> Verdict:
        """In a word; what is believed wrongly comes before what is missing."""
        if self.false > MOST_FALSE:
            return Verdict.FALSE
        if self.turned > MOST_TURNED:
            return Verdict.TURNED
        least = LEAST_RIGHT if self.frames > FEW_FRAMES else 1.0
        return Verdict.RIGHT if self.right >= least else Verdict.MISSED


class Judge:
    """Compares poses of one object with its labels.

    Args:
        mesh: Its surface [m], in the frame of the labels.
        diameter_m: Its largest extent.
        is_symmetric: Whether it may turn without looking different.
    """

    def __init__(self, mesh: Mesh, diameter_m: float, *, is_symmetric: bool) -> None:
        self._points = surface_points(mesh, SURFACE_POINTS)
        self._limit_m = RIGHT_BELOW * diameter_m
        self._is_symmetric = is_symmetric

    def errors_m(self, T_true: Float64, T_said: Float64) -> tuple[float, float]:
        """ADD-S and ADD [m]."""
        wanted, found = transform(T_true, self._points), transform(T_said, self._points)
        add_s = float(np.mean(cKDTree(found).query(wanted)[0]))
        return add_s, float(np.linalg.norm(found - wanted, axis=1).mean())

    def shares(self, truths: Mapping[int, Truth], said: Mapping[int, Said]) -> Shares:
        """Count the frames of a recording.

        Args:
            truths: All its frames.
            said: Frames that the loop has used.
        """
        posed = right = turned = false = 0
        for frame_id, truth in truths.items():
            answer = said.get(frame_id)
            if answer is None or answer.T_cam_obj is None:
                continue
            posed += 1
            if truth.T_cam_obj is None:
                false += answer.is_tracking
            elif truth.is_judged:
                add_s, add = self.errors_m(truth.T_cam_obj, answer.T_cam_obj)
                is_right = add_s < self._limit_m
                right += is_right
                turned += answer.is_tracking and is_right and not self._is_symmetric and add >= self._limit_m
                false += answer.is_tracking and not is_right
        judged = sum(truth.is_judged and truth.T_cam_obj is not None for truth in truths.values())
        return Shares(
            frames=len(truths),
            judged=judged,
            posed=round(posed / len(truths), 3),
            right=round(right / max(judged, 1), 3),
            turned=round(turned / max(judged, 1), 3),
            false=round(false / len(truths), 3),
        )


def surface_points(mesh: Mesh, count: int) -> Float64:
    """Points ``(count, 3)`` spread evenly over a surface, the same ones at every call."""
    rng = np.random.default_rng(0)
    a, b, c = (mesh.vertices[mesh.faces[:, corner]].astype(np.float64) for corner in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(areas), size=count, p=areas / areas.sum())
    u, v = rng.random((2, count, 1))
    outside = u + v > 1.0
    u, v = np.where(outside, 1.0 - u, u), np.where(outside, 1.0 - v, v)
    return np.asarray(a[face] + u * (b - a)[face] + v * (c - a)[face])
