"""Tuned numbers of registration: where hypotheses start, and the schedule that moves, judges and drops them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from storm_edge.config import Config, tuned
from storm_edge.pipeline.refine.config import JudgeConfig


@dataclass(frozen=True, kw_only=True)
class RegistrationStage(Config):
    """Move all hypotheses, then keep the best."""

    network: int = tuned(0, unit="iterations", low=0, high=100)
    """RefineNet iterations."""
    geometry: int = tuned(0, unit="iterations", low=0, high=1000)
    """Gauss-Newton iterations that follow."""
    keep: int | None = tuned(None, unit="hypotheses", low=1, high=100_000)
    """Hypotheses that go on, by the judge's score; none keeps all and does not judge."""


@dataclass(frozen=True, kw_only=True)
class PlacementConfig(Config):
    """Where hypotheses start. All were set by hand."""

    size_px: int = tuned(32, unit="px", low=4, high=512)
    """Side of the rendered views of the rotations."""
    every_px: int = tuned(2, unit="px", low=1, high=64)
    """Of a view's rows and columns one in so many is kept, to tell which part is in the image."""
    chunk: int = tuned(64, unit="views", low=1, high=10_000)
    """Views rendered at a time."""
    distance_diameters: float = tuned(4.0, unit="diameters", low=1.0, high=100.0)
    """Distance from which the views are rendered."""
    view_diameters: float = tuned(1.2, unit="diameters", low=1.0, high=10.0)
    """Side of a view at that distance."""
    edge_px: int = tuned(2, unit="px", low=1, high=100)
    """A mask that comes this near to the image's edge is taken as cut off."""
    rounds: int = tuned(8, unit="iterations", low=0, high=100)
    """Iterations that seek the middle of what is in the image; each halves the error or better."""


@dataclass(frozen=True, kw_only=True)
class RegisterConfig(Config):
    """The schedule of a registration. Its presets are `DEFAULT`, `FAST`, `REFINE_FIRST` and `UPSTREAM`."""

    stages: tuple[RegistrationStage, ...] = field(
        default_factory=lambda: (
            RegistrationStage(keep=128),
            RegistrationStage(geometry=4, keep=48),
            RegistrationStage(geometry=6, keep=12),
            RegistrationStage(geometry=8, keep=6),
            RegistrationStage(geometry=6),
        )
    )
    """What happens to the hypotheses, in order."""
    chunk: int = tuned(42, unit="hypotheses", low=1, high=10_000)
    """Hypotheses per chunk."""
    last_batch: int = tuned(16, unit="hypotheses", low=1, high=10_000)
    """Hypotheses rendered at a time in the last ranking."""
    placement: PlacementConfig = field(default_factory=PlacementConfig)
    """Where hypotheses start."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    """How hypotheses are judged between stages."""
    last_judge: JudgeConfig = field(default_factory=lambda: JudgeConfig(size_px=96))
    """How the last ones are judged, on the whole mesh."""
    judge_weight: float = tuned(1.0, unit="1", low=0.0, high=100.0)
    """Weight of the judge's score in the last ranking."""
    network_weight: float = tuned(0.0, unit="1", low=0.0, high=100.0)
    """Weight of ScoreNet's probability in the last ranking; 0 leaves ScoreNet out."""
    min_depth_px: int = tuned(4, unit="px", low=1, high=100_000)
    """With fewer mask pixels that have depth an object cannot be placed (upstream's, reference-networks 5.7)."""
    max_size_factor: float = tuned(30.0, unit="1", low=1.0, high=1000.0)
    """A model that is so many times larger or smaller than what the mask shows is in another unit. A visible part is
    at most the diameter, plus stray depth, and rarely less than a tenth of it."""
    stray_depth_percent: float = tuned(10.0, unit="%", low=0.0, high=49.0)
    """Share of a mask's points at either end that is left out, as stray depth, when its size is measured."""

    @classmethod
    def presets(cls) -> Mapping[str, Config]:
        """Schedules by name."""
        return {"default": DEFAULT, "fast": FAST, "refine-first": REFINE_FIRST, "upstream": UPSTREAM}


DEFAULT = RegisterConfig()
"""Geometry moves the hypotheses, the judge ranks them. On 40 held-out objects the nano RefineNet in front of it found
as many (ADD-S 40, ADD 39 of 40) and took 1.7 times as long."""
REFINE_FIRST = RegisterConfig(
    stages=(
        RegistrationStage(keep=128),
        RegistrationStage(network=1, geometry=3, keep=48),
        RegistrationStage(geometry=6, keep=12),
        RegistrationStage(geometry=8, keep=6),
        RegistrationStage(geometry=6),
    ),
    network_weight=0.1,
)
"""One RefineNet iteration for what the first judging leaves, and ScoreNet in the last ranking: for stronger
networks."""
FAST = RegisterConfig(
    stages=(
        RegistrationStage(keep=64),
        RegistrationStage(geometry=3, keep=16),
        RegistrationStage(geometry=6, keep=4),
        RegistrationStage(geometry=6),
    ),
    network_weight=0.0,
)
"""A registration that is just good enough to tell right from wrong."""
UPSTREAM = RegisterConfig(stages=(RegistrationStage(network=5),), judge_weight=0.0, network_weight=1.0)
"""FoundationPose's own schedule: five iterations for all hypotheses, then ScoreNet alone decides."""
