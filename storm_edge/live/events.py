"""What the state machine is told (events) and asks for (actions); `state_machine` says what they mean together.

Scores are 0 (disagrees) to 1. Frames are image numbers. An answer carries the frame it is about, since it may arrive
late, and the number of the attempt whose action it answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ScoreSource(str, Enum):
    """What scores poses."""

    GEOMETRY = "geometry"
    """Depth, silhouette and contour against the rendered model, on every tracked frame."""
    NETWORK = "network"
    """The verifier network against its memory of crops, every few frames; from a lane some frames late."""


@dataclass(frozen=True, kw_only=True)
class FrameArrived:
    """A frame arrived, or time passed without one. Send it before any other event about the frame."""

    frame: int
    """The newest frame."""
    time_s: float
    """Its time, or later [s]."""
    is_after_pause: bool = False
    """Whether the camera was silent before it for so long that anything may have moved meanwhile."""


@dataclass(frozen=True, kw_only=True)
class PoseScored:
    """The tracked pose was scored in a frame, which may be an old one."""

    frame: int
    """The frame of the scored pose."""
    source: ScoreSource
    """What scored it."""
    score: float
    """How well the pose agrees, 0 to 1; 0 when the tracker had none."""
    is_non_finite: bool = False
    """Whether a network gave no finite number there: the score is without it, and the frame is suspect anyway."""
    is_side_doubted: bool = False
    """Whether another side of the object fits better: the frame is suspect whatever the score."""

    def __post_init__(self) -> None:
        _check_score(self.score)


@dataclass(frozen=True, kw_only=True)
class MaskFound:
    """The search found the object's mask."""

    attempt: int
    """The attempt it answers."""
    frame: int
    """The frame of the mask."""


@dataclass(frozen=True, kw_only=True)
class PoseFound:
    """Registration, or the local search, found a pose."""

    attempt: int
    """The attempt it answers."""
    frame: int
    """The frame of the pose."""
    score: float
    """How well the pose agrees there, 0 to 1."""

    def __post_init__(self) -> None:
        _check_score(self.score)


@dataclass(frozen=True, kw_only=True)
class PosePropagated:
    """The found pose was tracked to a newer frame and scored there."""

    attempt: int
    """The attempt it answers."""
    frame: int
    """The frame it was tracked to."""
    score: float
    """The geometric score there, 0 to 1."""
    network_score: float | None = None
    """The score of the verifier network there; None if it has no crops to compare with."""
    kept_share: float | None = None
    """The geometric score there over that where a search of the image found the pose; None where none did."""
    is_non_finite: bool = False
    """Whether a network gave no finite number there: the score is without it, and the frame is suspect anyway."""
    is_side_doubted: bool = False
    """Whether another side of the object fits better where it was found: the frame is suspect."""
    is_unverified: bool = False
    """Whether it was the verifier network that gave none; it may have crops to compare with."""

    def __post_init__(self) -> None:
        _check_score(self.score)
        if self.network_score is not None:
            _check_score(self.network_score)


@dataclass(frozen=True, kw_only=True)
class NothingFound:
    """The action in progress found nothing."""

    attempt: int
    """The attempt it answers."""


@dataclass(frozen=True, kw_only=True)
class PoseGiven:
    """The pose was given from outside: a label, a person, another sensor. Ends the attempt in progress."""

    frame: int
    """The frame of the pose."""
    score: float
    """The geometric score of it, 0 to 1."""
    is_non_finite: bool = False
    """Whether a network gave no finite number there: the score is without it, and the frame is suspect anyway."""
    is_side_doubted: bool = False
    """Whether another side of the object fits better there: the frame is suspect."""

    def __post_init__(self) -> None:
        _check_score(self.score)


Answer = MaskFound | PoseFound | PosePropagated | NothingFound
"""Events that answer an action of an attempt."""

Event = FrameArrived | PoseScored | MaskFound | PoseFound | PosePropagated | NothingFound | PoseGiven


@dataclass(frozen=True, kw_only=True)
class SearchLocally:
    """Search for the object around its last trusted pose. Answers: `PoseFound`, `NothingFound`."""

    attempt: int
    """Number to answer with."""
    frame: int
    """The frame to search."""
    trusted_frame: int
    """The frame of that pose."""


@dataclass(frozen=True, kw_only=True)
class SearchImage:
    """Search for the object's mask in the whole image. Answers: `MaskFound`, `NothingFound`."""

    attempt: int
    """Number to answer with."""
    frame: int
    """The frame to search."""


@dataclass(frozen=True, kw_only=True)
class RegisterMask:
    """Find the pose from the mask. Answers: `PoseFound`, `NothingFound`."""

    attempt: int
    """Number to answer with."""
    frame: int
    """The frame of the mask."""


@dataclass(frozen=True, kw_only=True)
class Propagate:
    """Track the found pose over the buffered frames to the newest. Answers: `PosePropagated`, `NothingFound`."""

    attempt: int
    """Number to answer with."""
    frame: int
    """The frame that the pose is of."""


@dataclass(frozen=True, kw_only=True)
class CancelAttempt:
    """Stop the action in progress of an attempt; its answer is not wanted any more."""

    attempt: int
    """The attempt."""


@dataclass(frozen=True, kw_only=True)
class StartTrack:
    """The propagated or given pose is the track from now on."""

    frame: int
    """The frame of the pose."""


@dataclass(frozen=True)
class DoubtTrack:
    """Frames are missing before this one: the track goes on from an old pose, and its checks are due anew."""


@dataclass(frozen=True)
class DropTrack:
    """The track is lost: stop tracking, report no pose."""


@dataclass(frozen=True, kw_only=True)
class RememberCrop:
    """Add the crop of a frame to the verifier's memory (first in, first out)."""

    frame: int
    """The frame of the trusted pose."""


@dataclass(frozen=True)
class ForgetCrops:
    """Clear the verifier's memory."""


Action = (
    SearchLocally
    | SearchImage
    | RegisterMask
    | Propagate
    | CancelAttempt
    | StartTrack
    | DoubtTrack
    | DropTrack
    | RememberCrop
    | ForgetCrops
)


def _check_score(score: float) -> None:
    if not 0.0 <= score <= 1.0:  # NaN too
        raise ValueError(f"score {score} must be a number from 0 to 1")
