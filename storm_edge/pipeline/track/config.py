"""Tuned numbers of tracking: what each tracker does per frame, and how a pose becomes a confidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from storm_edge.config import Config, tuned
from storm_edge.pipeline.refine.config import GeometricConfig, JudgeConfig

TRACK_JUDGE = JudgeConfig(size_px=48)
"""Preset: smaller crops than registration's, since a track judges every frame."""


@dataclass(frozen=True, kw_only=True)
class ConfidenceConfig(Config):
    """How agreement becomes confidence."""

    full_visible_share: float = tuned(0.25, unit="1", low=0.001, high=1.0)
    """Share of the model that must not be hidden before confidence is no longer reduced."""
    colour_angles: tuple[float, float] = tuned((0.45, 0.6), unit="1", low=0.0, high=1.0, record="far")
    """`judge.PoseScores.colour_angle` up to which colours are the object's, and from which they are another's. Of 14
    things at 3 m right poses had 0.15 to 0.47 and others of the same size 0.36 to 0.70; right ones in real recordings
    had up to 0.43. It counts as far as noise hides the shape: not within 1.2 m."""


@dataclass(frozen=True, kw_only=True)
class StepwiseTrackConfig(Config):
    """When the network runs, and how poses are judged."""

    moved_by: Literal["geometry", "network"] = tuned("geometry", unit="")
    """What moves a pose to the next frame: geometry, which RefineNet may help, or RefineNet alone from the last pose,
    as FoundationPose does. Then ``ask_network`` is not read."""
    ask_network: Literal["in doubt", "always", "never"] = tuned("in doubt", unit="")
    """When RefineNet is asked about a frame: where geometry's result is not trusted, or always, or never."""
    network_iterations: int = tuned(2, unit="iterations", low=0, high=20)
    """RefineNet iterations when it is asked."""
    geometry: GeometricConfig = field(default_factory=GeometricConfig)
    """The geometric refinement; as the batched tracker's fallback it uses that tracker's own."""
    judge: JudgeConfig = TRACK_JUDGE
    """How the reported pose is judged for its confidence."""
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
    """How its agreement becomes the confidence."""

    @property
    def asks_network(self) -> bool:
        """Whether RefineNet may be asked."""
        return self.moved_by == "network" or self.ask_network != "never"


@dataclass(frozen=True, kw_only=True)
class BatchedTrackConfig(Config):
    """The schedule of a step of all objects."""

    network_iterations: int = tuned(1, unit="iterations", low=0, high=20)
    """RefineNet iterations per frame; 0 leaves the network out."""
    geometry_starts: int = tuned(2, unit="poses", low=0, high=2)
    """Hypotheses beside the network's: 1 is the last pose, 2 the last motion continued as well. 0 is for a network
    that is always right."""
    polish: bool = tuned(True, unit="")
    """Whether geometry polishes the hypotheses; without, they stay where RefineNet or the motion puts them."""
    geometry: GeometricConfig = field(default_factory=GeometricConfig)
    """Its ``narrow`` steps are the polish; limits, learning rates and margins are read too, and the fallback for a
    frame in doubt uses all of it."""
    judge: JudgeConfig = TRACK_JUDGE
    """How poses are judged for their confidence."""
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
    """How their agreement becomes the confidence."""
    graph: bool = tuned(True, unit="")
    """Whether a step becomes a CUDA graph where device and engine allow it; see `BatchedReport` for what became."""
    zero_copy: bool = tuned(False, unit="")
    """Whether a GPU reads frames from the host's memory: for GPUs that share it, see `kernels.staging`."""
    idle_distance_diameters: float = tuned(4.0, unit="diameters", low=0.5, high=100.0)
    """Where an object that was never seen is thought to be, before the camera: it must be drawn somewhere."""

    def hypothesis_count(self, *, with_network: bool) -> int:
        """Poses per object that are polished and judged in a step."""
        return (1 if with_network and self.network_iterations > 0 else 0) + self.geometry_starts
