"""Tuned numbers of pose refinement and of the judge that scores poses."""

from __future__ import annotations

from dataclasses import dataclass

from storm_edge.config import Config, tuned


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(Config):
    """How poses are judged."""

    size_px: int = tuned(64, unit="px", low=8, high=512)
    """Side of the rendered crops."""
    crop_ratio: float = tuned(1.2, unit="diameters", low=0.5, high=10.0)
    """Side of the crops at the object's distance."""
    depth_gate: float = tuned(0.06, unit="diameters", low=0.0, high=1.0)
    """Depth differences up to this count as the same surface."""
    min_depth_gate_m: float = tuned(0.008, unit="m", low=0.0, high=1.0)
    """But never less than this, a depth camera's own error."""
    colour_weight: float = tuned(0.15, unit="1", low=0.0, high=10.0)
    """Weight of the colour correlation beside the visible agreement."""
