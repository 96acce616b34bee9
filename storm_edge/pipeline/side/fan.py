"""The turns of an object that are worth asking about, of its near-symmetries and without its declared symmetries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import rotation_angle
from storm_edge.objects.near_symmetry import NearSymmetries
from storm_edge.pipeline.side.ambiguity import Ambiguity
from storm_edge.pipeline.side.config import SideConfig

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Fan:
    """N turns of the centred object."""

    motions: Float64
    """Motions of the centre frame, ``T_cam_centre @ motion`` is the turned pose ``(N, 4, 4)``."""
    axis: NDArray[np.int64]
    """Which axis each is about ``(N,)``."""
    angle_deg: Float64
    """By how much, within -180 to 180 [deg] ``(N,)``."""
    directions: Float64
    """The axes, in the centre frame ``(A, 3)``."""
    spacing_deg: float
    """Between two turns that are compared [deg]."""

    def ambiguity(self, is_tied: Bool) -> Ambiguity | None:
        """What cannot be told, about the axis with most of it, where the turns ``is_tied (N,)`` cannot."""
        if not is_tied.any():
            return None
        axis = int(np.bincount(self.axis[is_tied]).argmax())
        angles = np.sort(self.angle_deg[is_tied & (self.axis == axis)])
        half = 0.5 * self.spacing_deg
        # The pose itself cannot be told from itself.
        ranges = sorted((float(angle) - half, float(angle) + half) for angle in (*angles, 0.0))
        joined = [ranges[0]]
        for first, last in ranges[1:]:
            if first <= joined[-1][1] + 1.0:  # fixed: rounding
                joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
            else:
                joined.append((first, last))
        x, y, z = self.directions[axis].tolist()
        return Ambiguity(axis=(x, y, z), turns_deg=tuple(joined))


def fan_of(near: NearSymmetries, symmetries: Float64, config: SideConfig) -> Fan:
    """The turns that are worth asking about; none where the model has none.

    Args:
        near: The object's near-symmetries.
        symmetries: Motions that map it onto itself, identity first ``(S, 4, 4)``.
        config: Which turns are worth it.
    """
    count = near.silhouette.shape[1]
    angle_deg = np.arange(0, count, config.turn_step) * 360.0 / count
    angle_deg = np.where(angle_deg > 180.0, angle_deg - 360.0, angle_deg)
    motions, axes, angles = [], [], []
    for axis in range(len(near.directions)):
        kept = near.surface[axis, :: config.turn_step] >= config.kept_surface
        turns = near.motions(axis)[:: config.turn_step]
        for turn, angle in zip(turns[kept], angle_deg[kept], strict=True):
            left_deg = np.rad2deg(rotation_angle(symmetries[:, :3, :3], turn[:3, :3]).min())
            if abs(angle) >= config.least_turn_deg and left_deg >= config.same_turn_deg:
                motions.append(turn)
                axes.append(axis)
                angles.append(angle)
    return Fan(
        motions=np.array(motions, dtype=np.float64).reshape(-1, 4, 4),
        axis=np.array(axes, dtype=np.int64),
        angle_deg=np.array(angles, dtype=np.float64),
        directions=near.directions,
        spacing_deg=360.0 / count * config.turn_step,
    )
