"""Where the instances of one model are, so that none of them takes the place of another.

Each instance says its pose in every frame; searches of the others, which may look at an older frame, ask for what
was said of the frame nearest to theirs. Used on the frame loop and on the background lane.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.mesh import Mesh
from storm_edge.pipeline.detect.taken_places import is_same_place, least_extent_m

Float64 = NDArray[np.float64]


class InstancePlaces:
    """The newest poses of all instances of one model.

    Args:
        kept_frames: So many frames are remembered.
        mesh: The model; its smallest extent says how near two of them can come.
    """

    def __init__(self, kept_frames: int, mesh: Mesh) -> None:
        self._kept_frames, self._least_extent_m = kept_frames, least_extent_m(mesh)
        self._poses: dict[str, dict[int, Float64]] = {}

    def put(self, name: str, frame: int, T_cam_centre: Float64 | None) -> None:
        """An instance's pose ``(4, 4)`` in a frame; None where it has none, which forgets the older ones."""
        if T_cam_centre is None:
            self._poses.pop(name, None)
            return
        poses = {**self._poses.get(name, {}), frame: T_cam_centre}  # another thread may be reading the old one
        while len(poses) > self._kept_frames:
            del poses[min(poses)]
        self._poses[name] = poses

    def others(self, name: str, frame: int) -> Sequence[Float64]:
        """Poses of the other instances, of each that in the frame nearest to this one."""
        return [
            poses[min(poses, key=lambda known: abs(known - frame))]
            for other, poses in tuple(self._poses.items())
            if other != name
        ]

    def is_taken(self, name: str, frame: int, T_cam_centre: Float64) -> bool:
        """Whether another instance is at a pose ``(4, 4)``."""
        return any(is_same_place(T_cam_centre, T, self._least_extent_m) for T in self.others(name, frame))
