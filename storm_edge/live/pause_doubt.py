"""Doubt in a pose that is from before a pause of the camera: what moved meanwhile may look right for a frame or two.

A mug that was elsewhere after a pause had its track told as TRACKING, a fifth of its diameter away: the average of
scores from before hid what the new picture said, and a pose that is half right, or right but for its turn, scores 0.5
to 0.75. So what counts is how the pose scores against how the object usually scored before, in frames after the pause
alone. That holds for a pose, too, that a search found in a frame before the pause: both sources trusted one that was
a quarter of the diameter away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from storm_edge.live.config import PauseConfig


@dataclass(frozen=True, kw_only=True)
class PauseDoubt:
    """What speaks for the pose so far."""

    frame: int
    """The first frame after the pause; only what was seen from there on counts."""
    score_before: float | None = None
    """What the geometric scores usually were before it; None where nothing was tracked yet."""
    good_count: int = 0
    """Frames in a row that all sources trust, with a geometric score about as high as before the pause."""
    trusted_count: int = 0
    """Frames in a row that all sources trust."""


def doubt_again(doubt: PauseDoubt | None, frame: int, score_before: float | None) -> PauseDoubt:
    """The doubt of a pause before a frame; what was known before an earlier pause stays the measure."""
    if doubt is not None:
        score_before = doubt.score_before
    return PauseDoubt(frame=frame, score_before=score_before)


def after_score(doubt: PauseDoubt, score: float, *, is_trusted: bool, config: PauseConfig) -> PauseDoubt | None:
    """What a geometric score leaves of a doubt; None where the pose is confirmed.

    Args:
        doubt: Before the score.
        score: Of the newest frame.
        is_trusted: Whether it is high enough for a track, all other sources agree, and nothing else is odd.
        config: What confirms a pose.
    """
    is_good = doubt.score_before is not None and score >= config.kept_share * doubt.score_before
    doubt = replace(
        doubt,
        trusted_count=doubt.trusted_count + 1 if is_trusted else 0,
        good_count=doubt.good_count + 1 if is_trusted and is_good else 0,
    )
    is_confirmed = doubt.good_count >= config.good_frames or doubt.trusted_count >= config.trusted_frames
    return None if is_confirmed else doubt
