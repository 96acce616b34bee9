"""A model as upstream's programs have it: every triangle of the file, their normals, and their count of symmetries.

FoundationPose renders the file's own triangles, shaded by normals that its mesh library computes; our `Mesh` is
repaired, reduced and split at creases. Its symmetries are fewer, too. Onboarding keeps this beside the object's own
mesh where it is asked to (``--parity``); networks are shown it under the schedule ``parity`` (docs/parity.md). It is
read by `upstream_file`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import exp_so3
from storm_edge.geometry.symmetry import ContinuousSymmetry

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_STEP_DEG = 5.0  # fixed: upstream's sampling of an axis
_APART_DEG = 30.0  # fixed: upstream's clustering


@dataclass(frozen=True, kw_only=True)
class UpstreamModel:
    """The model as FoundationPose loads it, in the centre frame."""

    mesh: Mesh
    """All triangles, with the normals that are rendered: means of the faces around, weighted by their angles."""
    file_normals: Float32
    """Normals as the file states them, where it does; STORM's reference views are lit by these, ``(V, 3)``."""
    rotation_grid: Float64
    """First guesses ``R_cam_obj``, in upstream's order, reduced by upstream's symmetries, ``(G, 3, 3)``."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it by name, as `from_arrays` takes it."""
        mesh = {name: value for name, value in vars(self.mesh).items() if value is not None}
        return {**mesh, "file_normals": self.file_normals, "rotation_grid": self.rotation_grid}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> UpstreamModel:
        """What `arrays` gave.

        Raises:
            KeyError: An array is missing.
        """
        rest = dict(arrays)
        file_normals, rotation_grid = rest.pop("file_normals"), rest.pop("rotation_grid")
        return UpstreamModel(mesh=Mesh(**rest), file_normals=file_normals, rotation_grid=rotation_grid)


def upstream_symmetries(discrete: Sequence[Float64] = (), continuous: Sequence[ContinuousSymmetry] = ()) -> Float64:
    """Rotations that FoundationPose counts as symmetries, identity first, ``(S, 3, 3)``.

    Its `symmetry_tfs_from_info` lists the single motions and then the turns about one axis, without their products.
    Of several axes it takes the first; and of that the first of x, y and z along which it points forwards, so that an
    axis that points backwards has no turns. Only rotations matter: all its hypotheses share one place.

    Args:
        discrete: Single motions ``(4, 4)``.
        continuous: Axes of revolution.
    """
    found = [np.eye(3), *(np.asarray(T, dtype=np.float64)[:3, :3] for T in discrete)]
    if continuous:
        forwards = [i for i, part in enumerate(continuous[0].axis) if part > 0.0]
        count = round(360.0 / _STEP_DEG) if forwards else 1
        angles = np.deg2rad(np.arange(count) * _STEP_DEG)
        axis = np.eye(3)[forwards[0]] if forwards else np.zeros(3)
        found.extend(exp_so3(angles[:, None] * axis))
    return np.stack(found)


def cluster_rotations(rotations: Float64, symmetries: Float64) -> Float64:
    """The rotations that FoundationPose's `cluster_poses` keeps, in their order, ``(G, 3, 3)``.

    The first is kept; each next one unless a symmetry takes it to less than 30 degrees from one already kept. In
    single precision, as there, since some differ by just that angle.

    Args:
        rotations: ``R_cam_obj (N, 3, 3)``.
        symmetries: Rotations of the object onto itself ``(S, 3, 3)``.
    """
    R, S = rotations.astype(np.float32), symmetries.astype(np.float32)
    kept = [0]
    for index in range(1, len(R)):
        turned = R[index] @ S
        trace = np.einsum("sij,kij->sk", turned, R[kept])
        angles = np.arccos(np.clip((trace - np.float32(1.0)) / np.float32(2.0), -1.0, 1.0))
        if not (angles < np.float32(np.deg2rad(_APART_DEG))).any():
            kept.append(index)
    return rotations[kept]
