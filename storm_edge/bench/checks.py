"""Whether what came out of a timed run is right: the times of a fast wrong run are not reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from storm_edge.bench.player import Phase, PlayedFrame
from storm_edge.choices import BenchMode
from storm_edge.errors import InputError, mismatch
from storm_edge.geometry.se3 import invert, transform
from storm_edge.live.track_report import TrackState
from storm_edge.objects.bundle import ObjectBundle

FOUND_AGAIN = "lost to found"
"""From the first frame without a pose to the first trusted one: what hides the object counts, too."""

_MIN_TRACKED_SHARE = 0.95
"""Share of frames in state TRACKING; with fewer the times are of another work."""
_MIN_CORRECT_SHARE = 0.9
"""Share of labelled frames whose pose must be right."""
_CORRECT_ADD_S_D = 0.1
"""A pose is right if its ADD-S is below this share of the diameter."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How the output was found to be right."""

    followed_share: float
    """Share of timed frames with a pose that is trusted."""
    right_share: float | None
    """Share of trusted, labelled frames whose ADD-S is below a tenth of the diameter; None without labels."""
    against: str
    """What that was judged by."""


def check_output(frames: Sequence[PlayedFrame], bundle: ObjectBundle, mode: BenchMode) -> Checked:
    """Whether the object was followed, and where it is known, whether to the right place.

    Args:
        frames: All timed frames.
        bundle: The object.
        mode: What was done; after a loss frames without a pose are as they should be.

    Raises:
        InputError: It was not.
    """
    tracked = [played for played in frames if played.track.state is TrackState.TRACKING]
    followed = len(tracked) / len(frames)
    remedy = "these times would mean nothing; check the object, the recording and the bundle"
    what = f"bench {mode.value}"
    if mode is not BenchMode.RECOVER and followed < _MIN_TRACKED_SHARE:
        got = f"the object followed in {followed:.0%} of {len(frames)} frames"
        raise InputError(mismatch(what, got, f"at least {_MIN_TRACKED_SHARE:.0%}", remedy))
    right = _correct_share(bundle, tracked)
    if right is not None and right < _MIN_CORRECT_SHARE:
        got = f"{right:.0%} of the poses within {_CORRECT_ADD_S_D:g} d of their labels"
        raise InputError(mismatch(what, got, f"at least {_MIN_CORRECT_SHARE:.0%}", remedy))
    against = "the loop's own state" if right is None else f"labels, ADD-S below {_CORRECT_ADD_S_D:g} d"
    return Checked(followed_share=followed, right_share=right, against=against)


def _correct_share(bundle: ObjectBundle, tracked: Sequence[PlayedFrame]) -> float | None:
    """Share of labelled frames whose ADD-S is below `_CORRECT_ADD_S_D` diameters; None without any."""
    points = transform(bundle.T_obj_centre, np.unique(bundle.mesh_lod.vertices.astype(np.float64), axis=0))
    tree = cKDTree(points)
    errors_m = []
    for played in tracked:
        T_found, T_label = played.track.T_cam_obj, played.recorded.T_cam_obj
        if T_found is not None and T_label is not None:
            errors_m.append(float(np.mean(tree.query(transform(invert(T_found) @ T_label, points))[0])))
    if not errors_m:
        return None
    return float(np.mean(np.array(errors_m) < _CORRECT_ADD_S_D * bundle.diameter_m))


class LossCounter:
    """Counts losses, and how long each of them lasts."""

    def __init__(self) -> None:
        self.loss_count = 0
        self._had_pose = False
        self._lost_s: float | None = None
        self._durations_ms: list[float] = []

    def add(self, played: PlayedFrame) -> None:
        """One more frame; those of the warm-up do not count."""
        if not played.is_timed:
            return
        has_pose = played.track.T_cam_obj is not None
        if not has_pose and self._lost_s is None and self._had_pose:
            self._lost_s = played.ended_s
            self.loss_count += 1
        elif played.track.state is TrackState.TRACKING and self._lost_s is not None:
            self._durations_ms.append(1e3 * (played.ended_s - self._lost_s))
            self._lost_s = None
        self._had_pose = self._had_pose or has_pose

    def report(self, phase: Phase) -> dict[str, int]:
        """Add the durations to the phase as `FOUND_AGAIN`; how often the object was lost and found again.

        Raises:
            InputError: Nothing was recovered from, so that there is nothing to time.
        """
        for ms in self._durations_ms:
            phase.add(FOUND_AGAIN, ms)
        if not self._durations_ms:
            frame_count = sum(phase.states.values())
            got = f"{self.loss_count} losses and none recovered from in {frame_count} frames"
            remedy = "give a recording in which the object is hidden for a while, or more --frames"
            raise InputError(
                mismatch(f"mode {BenchMode.RECOVER.value}", got, "at least one loss and recovery", remedy)
            )
        return {"losses": self.loss_count, "found again": len(self._durations_ms)}
