"""When a pose may become the track: the rules for first poses, and for poses that are found again after a loss.

A pose passes two gates. Registration, or the local search, must score it high enough to be worth propagating to the
newest frame (`is_worth_propagating`). There it is scored again, by geometry and by the verifier network if it has
crops to compare with, and is accepted or not (`accepts_propagated_pose`). The thresholds are in
`live.config.StateMachineConfig`.
"""

from __future__ import annotations

from storm_edge.live.config import StateMachineConfig
from storm_edge.live.events import PoseFound, PosePropagated
from storm_edge.live.object_state import ObjectState


def is_worth_propagating(pose: PoseFound, config: StateMachineConfig) -> bool:
    """Whether a found pose is propagated to the newest frame."""
    return config.accepts == "all" or pose.score >= config.found_above


def accepts_propagated_pose(state: ObjectState, pose: PosePropagated, config: StateMachineConfig) -> bool:
    """Whether a pose that was propagated to the newest frames becomes the track."""
    if config.accepts == "all":
        return True
    if pose.network_score is None:
        # After a loss geometry alone takes wrong places for the object; a network that gives no number is waited for.
        is_silenced = pose.is_unverified and state.trusted_frame is not None
        return not is_silenced and accepts_by_geometry(state, pose, config)
    if pose.network_score < config.network.trust_above:
        return False
    if state.trusted_frame is None:
        return accepts_by_geometry(state, pose, config)
    return pose.score >= config.geometry.trust_above and accepts_after_loss(pose.score, pose.network_score, config)


def accepts_by_geometry(state: ObjectState, pose: PosePropagated, config: StateMachineConfig) -> bool:
    """The rule for the first pose of an object, and for any pose where no network scores it.

    What a camera sees of an object bounds its score: a mug that shines, a model of a basket woven elsewhere. A search
    that found it has weighed more than outline and depth; its pose need only be as good as it was there, and as a
    track that is not suspect.
    """
    if pose.score >= config.propagated_above:
        return True
    is_kept = pose.kept_share is not None and pose.kept_share >= config.kept_above
    return state.trusted_frame is None and is_kept and pose.score >= config.geometry.suspect_below


def accepts_after_loss(geometry_score: float, network_score: float, config: StateMachineConfig) -> bool:
    """The rule for an object that was tracked before and lost: both sources together must be sure.

    Either source alone takes wrong places for the object, see `StateMachineConfig.propagated_mean_above`.
    """
    return (geometry_score + network_score) / 2 >= config.propagated_mean_above


def is_current(state: ObjectState, pose: PosePropagated, config: StateMachineConfig) -> bool:
    """Whether a propagated pose has caught up with the newest frame."""
    return state.frame - pose.frame <= config.propagation_slack
