"""What the state machine of the loop hears (events) and asks for (actions); `machine` says what they mean together.

Scores are 0 (disagrees) to 1. Frames are image numbers, and an answer carries the frame it is about, since it may
arrive late. Attempts are numbered; an answer names the attempt whose action it answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ScoreSource(str, Enum):
    """Who judges poses."""

    GEOMETRY = "geometry"
    """Depth, silhouette and contour against the rendered model, on every tracked frame."""
    NETWORK = "network"
    """The tracking verifier against its memory of crops, every few frames; from a lane some frames late."""


@dataclass(frozen=True, kw_only=True)
class FrameArrived:
    """Time passed; perhaps a frame arrived. Send it before anything that is said about the frame."""

    frame: int
    """The newest frame."""
    time_s: float
    """Its time, or later [s]."""


@dataclass(frozen=True, kw_only=True)
class PoseScored:
    """A voter judged the tracked pose in a frame, which may be an old one."""

    frame: int
    """The frame it looked at."""
    source: ScoreSource
    """Who."""
    score: float
    """How well the pose agrees, 0 to 1; 0 when the tracker had none."""
    is_non_finite: bool = False
    """Whether a network gave no number there, and the score is without it: the frame is doubted whatever it is."""

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
    """Registration, or looking around the last pose, came to a pose."""

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
    """The found pose was tracked on to a newer frame and judged there."""

    attempt: int
    """The attempt it answers."""
    frame: int
    """The frame it got to."""
    score: float
    """The geometric judgement there, 0 to 1."""
    network_score: float | None = None
    """The verifier network's, if it has a memory to compare with."""
    is_non_finite: bool = False
    """Whether a network gave no number there, and the score is without it: the frame is doubted whatever it is."""

    def __post_init__(self) -> None:
        _check_score(self.score)
        if self.network_score is not None:
            _check_score(self.network_score)


@dataclass(frozen=True, kw_only=True)
class NothingFound:
    """The action under way found nothing."""

    attempt: int
    """The attempt it answers."""


@dataclass(frozen=True, kw_only=True)
class PoseGiven:
    """Somebody outside knows the pose: a label, a person, another sensor. Ends whatever is under way."""

    frame: int
    """The frame of the pose."""
    score: float
    """The geometric judgement of it, 0 to 1."""
    is_non_finite: bool = False
    """Whether a network gave no number there, and the score is without it: the frame is doubted whatever it is."""

    def __post_init__(self) -> None:
        _check_score(self.score)


Event = FrameArrived | PoseScored | MaskFound | PoseFound | PosePropagated | NothingFound | PoseGiven


@dataclass(frozen=True, kw_only=True)
class SearchLocally:
    """Look for the object around its last trusted pose. Answers: `PoseFound`, `NothingFound`."""

    attempt: int
    """Number to answer with."""
    frame: int
    """Where to look."""
    trusted_frame: int
    """Whose pose to start from."""


@dataclass(frozen=True, kw_only=True)
class SearchImage:
    """Look for the object's mask in the whole image. Answers: `MaskFound`, `NothingFound`."""

    attempt: int
    """Number to answer with."""
    frame: int
    """Where to look."""


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
    """Stop what is under way for an attempt; its answer is not wanted any more."""

    attempt: int
    """The attempt."""


@dataclass(frozen=True, kw_only=True)
class StartTrack:
    """The forwarded or given pose is the track from now on."""

    frame: int
    """The frame of the pose."""


@dataclass(frozen=True)
class DropTrack:
    """The track is lost: stop following, report no pose."""


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
    | DropTrack
    | RememberCrop
    | ForgetCrops
)


def _check_score(score: float) -> None:
    if not 0.0 <= score <= 1.0:  # NaN too
        raise ValueError(f"score {score} must be a number from 0 to 1")
