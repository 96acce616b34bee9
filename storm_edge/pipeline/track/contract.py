"""What every tracker does for one object: begin at a pose, follow it from frame to frame, keep its appearance.

`StepwiseTracker` and `BatchedMember` keep this contract; one conformance test runs against both. They differ in the
frames they take (uploaded already, or still on the host) and in who else is followed by the same launches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.side.ambiguity import Ambiguity

Float64 = NDArray[np.float64]
FrameT = TypeVar("FrameT", contravariant=True)


@dataclass(frozen=True, kw_only=True)
class TrackStep:
    """The pose in one frame."""

    T_cam_centre: Float64
    """Pose of the centred mesh, ``(4, 4)``."""
    confidence: float
    """How far the pose is to be believed, 0..1, see `pipeline.track.confidence`."""
    residual: float
    """Geometric residual, 0 (agrees) to 1, see `pipeline.refine.alignment`."""
    network_used: bool
    """Whether RefineNet ran on this frame."""
    visible: float | None = None
    """Agreeing share of what should be seen at the pose, `judge.PoseScores`; None where nobody judged it."""
    is_non_finite: bool = False
    """Whether something gave no number where it should have: the pose is then without its help."""
    is_side_asked: bool = False
    """Whether its side was asked about in this frame, which may take longer than all else."""
    is_side_doubted: bool = False
    """Whether another side of the object fits better, see `pipeline.side`."""
    ambiguous: Ambiguity | None = None
    """What the image cannot tell of the turn; None where nothing is, or nobody asked."""


@dataclass(frozen=True, kw_only=True)
class FoundPose:
    """A pose that was found in an image, and what was found beside it."""

    T_cam_centre: Float64
    """Pose of the centred mesh, ``(4, 4)``."""
    others: Float64 | None = None
    """Others that the same mask led to, ``(N, 4, 4)``."""
    mask: NDArray[np.bool_] | None = None
    """The object's pixels ``(H, W)``; None where they are not known by something beside the pose."""
    more: Callable[[], Float64] | None = None
    """Finds still others ``(N, 4, 4)``, which takes long: asked where all so far fit badly, and none where time
    presses."""


@dataclass(frozen=True, kw_only=True)
class SettledPose:
    """A pose that was found, on the side that its image is for."""

    T_cam_centre: Float64
    """Pose of the centred mesh, ``(4, 4)``."""
    is_side_doubted: bool = False
    """Whether another side still fits better there, but not by enough to turn to it."""
    ambiguous: Ambiguity | None = None
    """What the image cannot tell of the turn; None where nothing is, or nobody asked."""


class Tracker(Protocol[FrameT]):
    """Follows one object."""

    def start(self, frame: FrameT, T_cam_centre: Float64) -> TrackStep:
        """Begin at a pose ``(4, 4)`` that is known for this frame: learn the appearance there, forget all motion."""

    def update(self, frame: FrameT) -> TrackStep:
        """The pose in the next frame. An object that is not there any more gets a low confidence; an answer that is
        no number leaves the last pose.

        Raises:
            InputError: Nobody called `start`.
        """

    @property
    def appearance(self) -> AppearanceModel:
        """What is known of the object's colours and of the exposure; others may copy it."""
