"""The pipeline's part of the configuration tree: one part per stage, each from the stage's own module.

Keys are ``stage.part.name``, as in ``track.stepwise.network_iterations``; see `storm_edge.config`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from storm_edge.config import Config, tuned
from storm_edge.pipeline.depth_offset.config import DepthOffsetConfig
from storm_edge.pipeline.detect.config import DetectConfig
from storm_edge.pipeline.reacquire.config import ReacquireConfig
from storm_edge.pipeline.refine.config import GeometricConfig
from storm_edge.pipeline.register.config import RegisterConfig
from storm_edge.pipeline.segment.config import SegmentConfig
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.track.config import BatchedTrackConfig, StepwiseTrackConfig
from storm_edge.pipeline.verify.config import VerifyConfig


@dataclass(frozen=True, kw_only=True)
class TrackConfig(Config):
    """Tracking from frame to frame, by either tracker."""

    stepwise: StepwiseTrackConfig = field(default_factory=StepwiseTrackConfig)
    """Each object by itself; also the fallback of the batched tracker, for frames that it does not trust."""
    batched: BatchedTrackConfig = field(default_factory=BatchedTrackConfig)
    """All objects in one step. RefineNet is part of it unless ``stepwise.ask_network`` is ``never``."""


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(Config):
    """Every tuned number of the pipeline."""

    as_upstream: bool = tuned(False, unit="")
    """Whether RefineNet and ScoreNet are shown the model, its rotations and its points as upstream does. Objects must
    have been onboarded for it; part of the schedule ``parity``."""
    search_threads: int = tuned(2, unit="threads", low=1, high=64, record="search")
    """Threads that a search or a registration uses at most, on a CPU: no more than ``--threads``, nor than there are
    cores, and one beside the frames of something that is tracked. Poses are the same with any number."""
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    """Masks of the object in an image."""
    detect: DetectConfig = field(default_factory=DetectConfig)
    """The search of a whole image: which masks are registered, and which pose is believed."""
    register: RegisterConfig = field(default_factory=RegisterConfig)
    """From a mask that is given, or found around the last pose, to a pose."""
    refine: GeometricConfig = field(default_factory=GeometricConfig)
    """The geometric refinement in registrations and searches; each tracker has its own."""
    track: TrackConfig = field(default_factory=TrackConfig)
    """From the last frame's pose to this one's."""
    side: SideConfig = field(default_factory=SideConfig)
    """Which of several poses of nearly the same outline and depth is right."""
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    """Whether what is tracked is the object."""
    reacquire: ReacquireConfig = field(default_factory=ReacquireConfig)
    """Finding an object again that was lost."""
    depth_offset: DepthOffsetConfig = field(default_factory=DepthOffsetConfig)
    """Whether depth lies on colour."""
