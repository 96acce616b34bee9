"""What is to be rendered: meshes and where they are in every frame, the room, the light and two cameras.

The world is z-up. `scene_renderer` makes frames of a `SceneScript`; `scenes`, `occlusions` and `demo` write them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.symmetry import ContinuousSymmetry
from storm_edge.kernels.shading import Lighting
from storm_edge.synthetic.appearance import Appearance
from storm_edge.synthetic.rooms import Plane
from storm_edge.synthetic.sensor import DepthSensor

Float64 = NDArray[np.float64]
BoolImage = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class MovingMesh:
    """A mesh and where it is in every frame."""

    mesh: Mesh
    """The thing [m]."""
    T_world_obj: Float64
    """Its poses [m], ``(F, 4, 4)``; ``(1, 4, 4)`` when it stands still."""

    def at(self, index: int) -> Float64:
        """Pose in frame ``index``, ``(4, 4)``."""
        return np.asarray(self.T_world_obj[min(index, len(self.T_world_obj) - 1)])

    @property
    def moves(self) -> bool:
        """Whether it is anywhere else in another frame."""
        return len(self.T_world_obj) > 1


@dataclass(frozen=True, kw_only=True)
class SceneScript:
    """All that is in front of the camera, and the camera."""

    target: MovingMesh
    """The object whose pose is the truth."""
    axes: tuple[ContinuousSymmetry, ...] = ()
    """Axes about which the target looks the same."""
    others: tuple[MovingMesh, ...]
    """Clutter, hands, whatever passes in front."""
    planes: tuple[Plane, ...]
    """Table, floor and walls."""
    T_cam_world: Float64
    """World to camera [m] ``(F, 4, 4)``, ``(1, 4, 4)`` for a camera on a tripod."""
    K: Float64
    """Intrinsics [px]."""
    light: Lighting
    """The light, camera frame."""
    appearance: Appearance
    """The colour camera."""
    sensor: DepthSensor
    """The depth camera."""
    frame_count: int
    """Length of the recording."""
    exposure_share: float = 0.3
    """Part of the frame time that the shutter is open; what makes motion blur."""
    seed: int = 0
    """Seed of the pixel noise."""

    def T_cam_obj(self, index: int) -> Float64:
        """True pose of the target in a frame [m] ``(4, 4)``."""
        return np.asarray(self.camera_pose(index) @ self.target.at(index))

    def camera_pose(self, index: int) -> Float64:
        """World to camera in a frame [m] ``(4, 4)``."""
        return np.asarray(self.T_cam_world[min(index, len(self.T_cam_world) - 1)])
