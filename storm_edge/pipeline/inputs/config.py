"""How the crops of the pose networks are made: crop window, depth filter, light, range of the coordinates.

`DEFAULT` is what the nano networks are trained with; `PARITY` repeats FoundationPose's rules to the half pixel, for
networks with its weights. A network must be given what it was trained with, so neither is to be tuned on its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from storm_edge.config import Config, tuned
from storm_edge.kernels.depth import UPSTREAM_FILTER, DepthFilter
from storm_edge.kernels.shading import Lighting

Network = Literal["refine", "score"]


@dataclass(frozen=True, kw_only=True)
class PairRule(Config):
    """What differs between the networks."""

    crop_ratio: float = tuned(unit="diameters", low=0.1, high=10.0)
    """Side of the crop window at the object's distance."""
    min_z_m: float = tuned(unit="m", low=0.0, high=10.0)
    """Points nearer than this are treated as no reading."""
    resampled: bool = tuned(False, unit="")
    """Whether observed points are made as upstream makes ScoreNet's, see `kernels.network_input`."""


@dataclass(frozen=True, kw_only=True)
class InputPreset(Config):
    """Rules of both crops of a pair."""

    refine: PairRule
    """Crops of RefineNet."""
    score: PairRule
    """Crops of ScoreNet."""
    upstream_windows: bool = tuned(unit="")
    """Window rule: upstream's, or one window for both crops (see `kernels.crop_window`)."""
    depth_filter: DepthFilter | None
    """Filter of the observed depth, None for none."""
    lighting: Lighting = field(default_factory=Lighting)
    """Light on the rendered model."""
    xyz_limit: float = tuned(2.0, unit="half diameters", low=0.1, high=100.0)
    """A coordinate of this magnitude or more becomes 0."""

    def rule(self, network: Network) -> PairRule:
        """The rule of one network."""
        return self.refine if network == "refine" else self.score


PARITY = InputPreset(
    refine=PairRule(crop_ratio=1.2, min_z_m=0.001),
    score=PairRule(crop_ratio=1.1, min_z_m=0.1),
    upstream_windows=True,
    depth_filter=UPSTREAM_FILTER,
)
"""FoundationPose's rules (reference-networks 5.4 to 5.7)."""

UPSTREAM_SCORE = PairRule(crop_ratio=1.1, min_z_m=0.1, resampled=True)
"""ScoreNet's crops with the points that upstream gives it, for the schedule ``parity``."""

DEFAULT = InputPreset(
    refine=PairRule(crop_ratio=1.2, min_z_m=0.001),
    score=PairRule(crop_ratio=1.2, min_z_m=0.001),
    upstream_windows=False,
    depth_filter=None,
)
"""Our rules, which the nano networks are trained with: raw depth, model and image in exactly the same window."""

PRESETS = {"default": DEFAULT, "parity": PARITY}
"""Presets by the name that a network bundle's manifest gives."""
