"""Tuned numbers of verifying a tracked pose."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from storm_edge.config import Config, tuned
from storm_edge.pipeline.refine.config import JudgeConfig


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(Config):
    """How a pose is scored by geometry and by appearance, and how the two scores are fused.

    Both become logits, positive where they speak for the object; their sum is the logit of the fused score.
    """

    decided_by: Literal["both", "network"] = tuned("both", unit="")
    """Whose word the score is: both scores', fused; or the appearance score's alone, as in STORM, where the geometric
    one speaks only if there is no crop to compare."""
    memory_count: int = tuned(16, unit="crops", low=1, high=1000)
    """Crops that are remembered; the oldest goes first."""
    closest: int = tuned(3, unit="crops", low=1, high=1000, record="verify")
    """Remembered crops, the most similar ones, whose mean is the appearance score."""
    near_deg: float = tuned(45.0, unit="deg", low=0.0, high=180.0, record="network_tasks-test")
    """Only crops whose pose was turned no more than this from the one in question count, by the object's symmetries.
    A crop does not show how its pose is turned: a turned pose can only be told by crops of the side that it claims to
    show. At 180 all count."""
    geometry_scale: float = tuned(8.0, unit="logits", low=0.0, high=1000.0, record="verify")
    """Logits per unit of the geometric score."""
    geometry_zero: float = tuned(0.45, unit="1", low=0.0, high=1.0, record="verify")
    """Geometric score that speaks neither for nor against the object."""
    appearance_weight: float = tuned(0.5, unit="1", low=0.0, high=100.0, record="verify")
    """Weight of the appearance score's logit beside the geometric one."""
    appearance_limit: float = tuned(4.0, unit="logits", low=0.0, high=1000.0, record="verify")
    """The appearance score counts no more than this in either direction."""
    full_pair_zero: float = tuned(math.log(9.0), unit="logits", low=-100.0, high=100.0)
    """Logit of the full tier's pair network that speaks neither way: upstream's threshold, a probability of 0.9."""
    similarity_zero: float = tuned(0.2, unit="1", low=-1.0, high=1.0)
    """Cosine of two embeddings of the full tier that speaks neither way: upstream's threshold."""
    similarity_scale: float = tuned(10.0, unit="logits", low=0.0, high=1000.0)
    """Logits per unit of that cosine."""
    full_near_m: float = tuned(0.01, unit="m", low=0.0, high=10.0)
    """The full tier cuts no crop where the object's box reaches nearer to the camera than this."""
    judge: JudgeConfig = field(default_factory=lambda: JudgeConfig(colour_weight=0.0))
    """How the geometric score is made of a pose that no tracker judged: without colour, which the network sees, and
    which a plain object has not."""
