"""Tuned numbers of registration: where hypotheses start, and the schedule that moves, judges and drops them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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
    keep_of_starts: int | None = tuned(None, unit="hypotheses", low=1, high=100_000)
    """The same where a registration began from given poses; none takes ``keep``, if that is fewer than there are."""
    stop_below: float = tuned(0.0, unit="1", low=0.0, high=3.0)
    """Where the best of them scores less, nothing right is near: only that one is ranked, without later stages."""


_FAST_STAGES = (
    RegistrationStage(keep=64),
    RegistrationStage(geometry=3, keep=16),
    RegistrationStage(geometry=6, keep=4),
    RegistrationStage(geometry=6),
)


@dataclass(frozen=True, kw_only=True)
class PlacementConfig(Config):
    """Where hypotheses start. All were set by hand."""

    rule: Literal["surface", "box"] = tuned("surface", unit="")
    """What puts them there: each rotation's own visible side, which must meet the measured surface; or the middle of
    the mask's box at its median depth, one place for all rotations, as FoundationPose has it."""
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
class ScaleConfig(Config):
    """When a mask from outside and a model contradict each other in size. All were set by hand."""

    directions: int = tuned(12, unit="1", low=2, high=360)
    """Directions in the image along which widths are measured."""
    stray_percent: float = tuned(1.0, unit="%", low=0.0, high=49.0)
    """Share of a mask's pixels at either end that is left out of a width."""
    max_excess: float = tuned(1.5, unit="diameters", low=1.0, high=100.0)
    """A mask that is wider is of something larger than the model."""
    usual_width: float = tuned(0.9, unit="diameters", low=0.1, high=1.0)
    """Width that most views of an object have; what a mask is measured by before there is a pose."""
    least_share: float = tuned(0.2, unit="diameters", low=0.0, high=1.0)
    """A mask that is narrower, and neither cut off nor hidden, is of something smaller than the model."""
    max_posed_excess: float = tuned(1.4, unit="1", low=1.0, high=100.0)
    """At its pose the model is too small where the mask is so many times as wide, and ..."""
    max_posed_area: float = tuned(2.5, unit="1", low=1.0, high=1000.0)
    """... has so many times the area."""
    min_posed_width: float = tuned(1.5, unit="1", low=1.0, high=100.0)
    """It may be too large where it is so many times as wide as the mask, ..."""
    min_posed_area: float = tuned(2.0, unit="1", low=1.0, high=1000.0)
    """... both together have so many times the mask's area, and ..."""
    max_contradicted: float = tuned(0.65, unit="1", low=0.0, high=1.0)
    """... the scene contradicts this share of it. A mask of a small part may end in a wrong pose that is contradicted
    as well, and is no wrong scale."""
    gate: float = tuned(0.06, unit="widths", low=0.0, high=1.0)
    """Depth differences up to this, of diameter or mask the smaller, are no contradiction; but ..."""
    min_gate_m: float = tuned(0.008, unit="m", low=0.0, high=1.0)
    """... never less than a depth camera's own error."""
    border_px: int = tuned(3, unit="px", low=1, high=50)
    """Beside a mask, so many pixels are its border."""
    hiding_gap: float = tuned(0.1, unit="widths", low=0.0, high=1.0)
    """What is nearer than the mask beside it by this hides the object there."""
    hidden_border: float = tuned(0.1, unit="1", low=0.0, high=1.0)
    """From this share of the border on the object is hidden in part, and may be larger than its mask."""
    edge_px: int = tuned(2, unit="px", low=1, high=100)
    """A mask that comes this near to the image's edge is taken as cut off."""
    sure_overlap: float = tuned(0.85, unit="1", low=0.0, high=1.0)
    """Where mask and model at its pose have less of their common area in common, other scales are tried, too: right
    poses under whole masks had 0.91 or more."""
    min_gain: float = tuned(0.25, unit="1", low=0.0, high=3.0)
    """A model of another scale is the better one where its `scale_probe.Explained` has a total so much higher. In 120
    masks of 18 recordings, whole, hidden by up to 55 % or half of them missing, no wrong scale gained more than 0.09
    over the right one, and half the mask of a box gave it 0.15. Of models twice or half as large as their objects 5
    of 188 gained less, all of them hidden."""
    quick_stages: tuple[RegistrationStage, ...] = _FAST_STAGES
    """How another scale is registered at first, in half of the time."""
    min_quick_gain: float = tuned(0.05, unit="1", low=-3.0, high=3.0)
    """Where that gains more, the whole schedule is asked and ``min_gain`` decides. In 246 masks of 13 dev pictures,
    at half, right and twice the scale, 145 scales gain more than ``min_gain`` by the whole schedule; all of them but
    one, which is no right scale either, gain more than this by the quick one. Of right models it asks for the whole
    schedule in 8 masks of 82, of each of which a half was missing."""
    rescalings: tuple[float, ...] = tuned((2.0, 0.5), unit="1", low=0.001, high=1000.0)
    """The factors that are tried; the one that is better again and again, while it explains more."""
    max_rescalings: int = tuned(3, unit="1", low=1, high=10)
    """How often at most."""
    same_scale: float = tuned(1.7, unit="1", low=1.0, high=10.0)
    """A cause is named where its factor is right but for this one."""
    hint_probability: float = tuned(0.75, unit="1", low=0.0, high=1.0)
    """Where nothing was found, presence probability of a search at another scale from which that scale is named."""
    plausible_diameter_m: tuple[float, float] = tuned((0.03, 1.5), unit="m", low=0.0, high=100.0)
    """Diameters that objects mostly have."""
    plausible_distance_m: tuple[float, float] = tuned((0.15, 6.0), unit="m", low=0.0, high=1000.0)
    """Distances at which depth cameras mostly see them."""


@dataclass(frozen=True, kw_only=True)
class RegisterConfig(Config):
    """The schedule of a registration. Its presets are `DEFAULT`, `FAST`, `REFINE_FIRST`, `UPSTREAM` and
    `UPSTREAM_PRUNED`."""

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
    long_stages: tuple[RegistrationStage, ...] = field(
        default_factory=lambda: (
            RegistrationStage(geometry=4, keep=96),
            RegistrationStage(geometry=6, keep=48),
            RegistrationStage(geometry=8, keep=24),
            RegistrationStage(geometry=6),
        )
    )
    """The same where the best of them fits badly: fewer hypotheses are dropped early."""
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
    """Weight of ScoreNet's word in the last ranking: 1 for its best hypothesis, less for those below it, by their
    logits; 0 leaves ScoreNet out."""
    min_depth_px: int = tuned(4, unit="px", low=1, high=100_000)
    """With fewer mask pixels that have depth an object cannot be placed (upstream's, reference-networks 5.7)."""
    max_size_factor: float = tuned(30.0, unit="1", low=1.0, high=1000.0)
    """A model that is so many times larger or smaller than what the mask shows is in another unit. A visible part is
    at most the diameter, plus stray depth, and rarely less than a tenth of it."""
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    """When a mask from outside contradicts the model's size."""
    stray_depth_percent: float = tuned(10.0, unit="%", low=0.0, high=49.0)
    """Share of a mask's points at either end that is left out, as stray depth, when its size is measured."""

    @property
    def asks_networks(self) -> bool:
        """Whether RefineNet or ScoreNet has a say."""
        return any(stage.network for stage in self.stages) or self.network_weight > 0.0

    @classmethod
    def presets(cls) -> Mapping[str, Config]:
        """Schedules by name."""
        return {
            "default": DEFAULT,
            "fast": FAST,
            "refine-first": REFINE_FIRST,
            "upstream": UPSTREAM,
            "upstream-pruned": UPSTREAM_PRUNED,
        }


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
        RegistrationStage(keep=48),
        RegistrationStage(geometry=3, keep=16, keep_of_starts=6, stop_below=0.25),
        RegistrationStage(geometry=6, keep=4, stop_below=0.25),
        RegistrationStage(geometry=6),
    ),
    network_weight=0.0,
)
"""A registration that is just good enough to tell right from wrong. With 48 instead of 64 hypotheses after the first
judging as many of 106 masks of dev pictures end within 0.1 diameters, 83; with 32 it is 77. A best score below the
bounds have 1 % of right poses and 17 to 24 % of those at places without the object (no record kept)."""
UPSTREAM = RegisterConfig(stages=(RegistrationStage(network=5),), judge_weight=0.0, network_weight=1.0)
"""FoundationPose's own schedule: five iterations for all hypotheses, then ScoreNet alone decides."""
UPSTREAM_PRUNED = RegisterConfig(
    stages=(RegistrationStage(network=1, keep=32), RegistrationStage(network=4)),
    judge_weight=0.0,
    network_weight=1.0,
)
"""The same with the judge between the first iteration and the others: of 252 hypotheses it keeps 32, which is little
more than a quarter of the work (reference-networks, 5.9)."""
