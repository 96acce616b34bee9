"""What the schedule ``parity`` sets beside the numbers of ``foundationpose``: upstream's inputs, STORM's decisions.

docs/parity.md says what each key repeats, and what stays different. Called by `live.schedules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storm_edge.choices import Framing
from storm_edge.config.values import with_values
from storm_edge.live.config import StormConfig

_BUDGET: Mapping[str, Any] = {  # fixed: STORM's, which searches once
    "tiled": False,
    "max_candidates": 1,
    "min_presence_probability": 0.0,
    "max_shape_proposals": 0,
    "max_plain_shape_proposals": 0,
    "max_refined": 1,
    "min_refine_probability": 0.0,
    "max_masks": 1,
    "retry_rejected": True,
    "accept_fast": False,
    "refine_above_score": 0.0,
    "closer_look": False,
}
"""STORM registers what SOM marks, and takes the object for there."""
_KEYS: Mapping[str, Any] = {  # fixed: STORM's
    "as_upstream": True,
    "register.placement.rule": "box",
    "detect.refined.placement.rule": "box",
    **{f"detect.{budget}.{key}": value for budget in ("full", "reacquire") for key, value in _BUDGET.items()},
    "detect.min_probability": 0.0,
    "detect.min_probability_after_loss": 0.0,
    "detect.max_alignment_residual_after_loss": 2.0,
    # TOM alone decides, in every frame, by one crop: that of the registration. One low score ends the track, and the
    # next frame is registered anew, whatever anyone thinks of the pose (reference-networks, 3.5).
    "verify.decided_by": "network",
    "verify.memory_count": 1,
    "verify.closest": 1,
    "verify.near_deg": 180.0,
    "session.verify_every": 1,
    "session.chunks_per_frame": 10_000,
    "state_machine.network.suspect_below": 0.5,
    "state_machine.network.trust_above": 0.5,
    "state_machine.network.newest_weight": 1.0,
    "state_machine.geometry.suspect_below": 0.0,
    "state_machine.geometry.trust_above": 0.0,
    "state_machine.lost_after": 1,
    "state_machine.accepts": "all",
    "state_machine.local_search_attempts": 0,
    "state_machine.remember_every": 1_000_000_000,
    "side.enabled": False,
    "segment.full_som.framing": Framing.UPSTREAM,
    "segment.full_som.views": "upstream",
}


def with_parity(config: StormConfig, is_parity: bool) -> StormConfig:
    """The same configuration with upstream's inputs and decisions; or without, where it had them."""
    if not is_parity and not config.as_upstream:
        return config
    default = StormConfig()
    values = _KEYS if is_parity else {key: _value(default, key) for key in _KEYS}
    return with_values(config, values, source="schedule")


def _value(config: StormConfig, key: str) -> Any:
    """The value of a key of the tree."""
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value
