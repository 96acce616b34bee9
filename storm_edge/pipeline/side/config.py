"""Tuned numbers of knowing the side: what the evidence is made of, and when it decides."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from storm_edge.config import Config, tuned
from storm_edge.pipeline.refine.config import DEPTH_NOISE_PER_M, GeometricConfig


@dataclass(frozen=True, kw_only=True)
class SideEvidenceConfig(Config):
    """How the window around a pose is measured."""

    size_px: int = tuned(48, unit="px", low=16, high=256)
    """Side of the window. A handle of a tenth of the diameter is then four pixels wide."""
    window_diameters: float = tuned(1.25, unit="diameters", low=0.5, high=4.0)
    """Its side at the object's distance; turned about its own axis an object stays within its bounding sphere."""
    depth_gate: float = tuned(0.05, unit="diameters", low=0.0, high=1.0)
    """Depth differences up to this are the same surface, ..."""
    min_depth_gate_m: float = tuned(0.008, unit="m", low=0.0, high=1.0)
    """... but never less than a depth camera's own error, ..."""
    depth_noise_per_m: float = tuned(DEPTH_NOISE_PER_M, unit="1/m", low=0.0, high=0.1, record="far")
    """... which is this times the square of the depth where that is more."""
    colour_deviation: float = tuned(0.3, unit="1", low=0.01, high=1.0)
    """Difference of colours, RGB counted from 0 to 1, after gain and shading, that is wholly wrong. With half of it a
    thin handle, whose colours are seldom met to the pixel, costs a right pose more than leaving it out."""
    gains: tuple[float, float] = tuned((0.1, 6.0), unit="1", low=0.01, high=100.0)
    """Least and largest gain per channel by which light and camera may change the model's colours."""
    gain_ridge: float = tuned(0.000001, unit="1", low=0.0, high=1.0)
    """Mean square of a channel's colours below which they say nothing of the gain, which is then 1."""
    shadings: tuple[float, float] = tuned((0.3, 3.0), unit="1", low=0.01, high=100.0)
    """Least and largest brightness that a light from a side makes of an average one."""
    shading_ridge: float = tuned(0.01, unit="1", low=0.0, high=10.0)
    """Variance of the surface's direction below which nothing is told of such a light."""


@dataclass(frozen=True, kw_only=True)
class SideWeights(Config):
    """What the terms cost a pose, in the logit of another one being right. Near the weights of a logistic regression
    on 583 pairs of a right and a turned pose of eight real recordings and ten synthetic ones (val), both refined and
    each judged by the colours that it teaches, each recording by the others; less for what hides, since a hand says
    nothing of the side. The weight of the texture was raised when shading was taken out of it: of 2916 pairs of dev,
    val and real recordings the turned pose then costs less by 0.3 in 10, before in 24."""

    through: float = tuned(4.5, unit="logit", low=0.0)
    """Of `SideTerms.through`."""
    veiled: float = tuned(1.5, unit="logit", low=0.0)
    """Of `SideTerms.veiled`."""
    outside: float = tuned(8.0, unit="logit", low=0.0)
    """Of `SideTerms.outside`."""
    texture: float = tuned(20.0, unit="logit", low=0.0)
    """Of `SideTerms.texture`."""
    hidden: float = tuned(5.0, unit="logit", low=0.0)
    """Of `SideTerms.hidden`."""
    contour: float = tuned(4.0, unit="logit", low=0.0)
    """Of the contour term of `pipeline.refine.alignment`, with the colours that tracking learned."""
    residual: float = tuned(4.0, unit="logit", low=0.0)
    """Of its residual, which knows small print that the window does not resolve."""
    network: float = tuned(0.0, unit="logit", low=0.0)
    """Of what a network says against a pose, where one is asked."""


@dataclass(frozen=True, kw_only=True)
class FoundEvidenceConfig(Config):
    """How the window around poses that were found is measured."""

    window: SideEvidenceConfig = field(default_factory=lambda: SideEvidenceConfig(size_px=96))
    """The window, its limits, gain and shading."""
    slow_share: float = tuned(0.042, unit="windows", low=0.001, high=1.0)
    """Standard deviation of the blur that tells what varies slowly."""
    veil: float = tuned(0.67, unit="1", low=0.0, high=1.0)
    """By how much less a part of the model counts that is measured farther, but has the object's colours: as in a
    track's looks, where `SideWeights.veiled` is a third of `SideWeights.through`."""
    contrast_floor: float = tuned(0.03, unit="1", low=0.001, high=1.0)
    """Difference of colours, RGB counted from 0 to 1, that is no detail."""
    mark_contrast: float = tuned(0.15, unit="1", low=0.001, high=1.0)
    """Where two poses are compared with each other alone: difference of colours, RGB counted from 0 to 1, that is
    wholly another colour, ..."""
    mark_blur_px: float = tuned(1.0, unit="px", low=0.1, high=10.0)
    """... standard deviation of what is averaged before, in pixels of the window, ..."""
    least_mark_px: float = tuned(80.0, unit="px", low=0.0)
    """... and how many pixels that are wholly another colour are hardly a mark."""
    palette_bins: int = tuned(10, unit="bins", low=2, high=64)
    """Of the histogram of colours, along each channel. Set by hand, of 6 to 20 that tell looks of searches at right
    places from those at wrong ones nearly alike: mean log losses of 0.094 to 0.085 (no record kept)."""


@dataclass(frozen=True, kw_only=True)
class SettleWeights(Config):
    """What the terms cost a pose that was found, in the logit of another one being right."""

    texture: float = tuned(40.0, unit="logit", low=0.0, record="fit_settling")
    """Of `FoundTerms.texture`."""
    detail: float = tuned(13.0, unit="logit", low=0.0, record="fit_settling")
    """Of `FoundTerms.detail`."""
    depth: float = tuned(6.5, unit="logit", low=0.0, record="fit_settling")
    """Of `FoundTerms.depth`."""
    hidden: float = tuned(12.5, unit="logit", low=0.0, record="fit_settling")
    """Of `FoundTerms.hidden`."""
    spill: float = tuned(8.0, unit="logit", low=0.0, record="fit_settling")
    """Of `FoundTerms.spill`."""
    uncovered: float = tuned(34.0, unit="logit", low=0.0, record="fit_settling")
    """Of `FoundTerms.uncovered`."""
    outside: float = tuned(0.0, unit="logit", low=0.0, record="fit_settling")
    """Of `FoundTerms.outside`."""
    residual: float = tuned(12.5, unit="logit", low=0.0, record="fit_settling")
    """Of the geometric residual, see `pipeline.refine.alignment`."""
    look: float = tuned(0.0, unit="1", low=0.0, record="fit_settling")
    """Of what a track's looks hold against it (`SideWeights`), where there is no mask: they know colours beyond the
    outline."""

    def array(self) -> NDArray[np.float64]:
        """In the order of `FoundTerms`, then residual and look ``(T,)``."""
        return np.array([getattr(self, field.name) for field in fields(self)])


@dataclass(frozen=True, kw_only=True)
class SettleConfig(Config):
    """When a pose that was found is turned in its own image."""

    enabled: bool = tuned(True, unit="")
    """Whether it is compared with others."""
    evidence: FoundEvidenceConfig = field(default_factory=FoundEvidenceConfig)
    """How they are compared."""
    weights: SettleWeights = field(default_factory=SettleWeights)
    """What the evidence costs where the object's mask is known, ..."""
    weights_without_mask: SettleWeights = field(
        default_factory=lambda: SettleWeights(
            texture=12.0,
            detail=10.0,
            depth=0.0,
            hidden=0.0,
            spill=0.0,
            uncovered=0.0,
            outside=20.0,
            residual=13.0,
            look=2.0,
        )
    )
    """... and where it is not. Chosen near a fit in which every real picture counted ten times: by what is fitted to
    made-up and real pictures alike as many made-up ones are right, but fewer real ones. ``outside`` came later: with
    20 beside the others the mean log loss falls from 0.132 to 0.127 in 479 made-up pictures of dev and from 0.135 to
    0.088 in 47 frames of recordings, and as many are right (no record kept)."""
    fan_slack: float = tuned(4.0, unit="logit", low=0.0)
    """A turn that is not refined may cost so much more than the best, by the weights of a track's looks, and still be
    refined."""
    same_deg: float = tuned(4.0, unit="deg", low=0.0, high=90.0)
    """Poses that are turned against each other by less, ..."""
    same_shift: float = tuned(0.02, unit="diameters", low=0.0, high=1.0)
    """... and nearer to each other than this, are one."""
    least_gain: float = tuned(0.3, unit="logit", low=0.0)
    """A pose that costs less than the one that was found by no more than this does not take its place: so much is
    chance. Of 479 pictures of dev 465 to 467 are right with 0 to 0.6."""
    close: float = tuned(3.0, unit="logit", low=0.0)
    """What costs no more than this beside the best is compared with it where the two differ in their colours, ..."""
    lead: float = tuned(3.0, unit="logit", low=0.0)
    """... and costs so much less where the image has its colours, so much more where it has those of the best."""
    tie: float = tuned(0.2, unit="logit", low=0.0)
    """Turns that cost no more than this beside the best cannot be told from it."""
    doubt: float = tuned(0.4, unit="logit", low=0.0)
    """A pose on another side that costs no more than this beside the best leaves a doubt."""
    poor_cost: float = tuned(14.0, unit="logit", low=0.0)
    """Where the best costs more, more is searched for."""
    small_turn_deg: float = tuned(5.0, unit="deg", low=1.0, high=90.0)
    """Between two of the small turns that are tried then."""
    small_turns: int = tuned(3, unit="poses", low=1, high=360)
    """Of those about each axis so many are refined, ..."""
    ways_up: int = tuned(2, unit="poses", low=1, high=16)
    """... from each of so many poses that no turn about the axis makes the same: a can either way up."""


@dataclass(frozen=True, kw_only=True)
class SideConfig(Config):
    """When the side is asked for, and when the answer counts."""

    enabled: bool = tuned(True, unit="")
    """Whether tracks are asked for their side."""
    evidence: SideEvidenceConfig = field(default_factory=SideEvidenceConfig)
    """How the window around a pose is measured."""
    weights: SideWeights = field(default_factory=SideWeights)
    """What its terms cost."""
    settle: SettleConfig = field(default_factory=SettleConfig)
    """How a pose that was found is compared with others in its own image."""
    geometry: GeometricConfig = field(default_factory=GeometricConfig)
    """Its ``narrow`` steps refine a rival before it is compared."""
    kept_surface: float = tuned(0.45, unit="1", low=0.0, high=1.0)
    """Turns after which less of the surface than this stays where it was are not asked about: the residual sees
    them."""
    turn_step: int = tuned(2, unit="turns", low=1, high=12)
    """Every so manieth turn of the near-symmetry is asked about, 30 degrees apart: the refinement reaches half of
    that."""
    least_turn_deg: float = tuned(25.0, unit="deg", low=1.0, high=180.0)
    """Smaller turns are the tracker's own matter."""
    same_turn_deg: float = tuned(15.0, unit="deg", low=1.0, high=90.0)
    """Poses that are turned against each other by less than this are one; so is a turn that a declared symmetry
    undoes."""
    fan: int = tuned(12, unit="poses", low=1, high=64)
    """Most turns that one look compares: 2 to 3 ms."""
    every: int = tuned(30, unit="frames", low=1, high=10_000)
    """Frames between two looks at the whole fan of a track that is calm."""
    hasty_every: int = tuned(3, unit="frames", low=1, high=1000)
    """The same after a start, and after a fast step, ..."""
    hasty_frames: int = tuned(9, unit="frames", low=0, high=1000)
    """... for so many frames: an image in the middle of a fast motion is blurred and says little. With 3 a mug in a
    darker picture was followed for 9 frames after a slip of 39 degrees, with 6 as well; with 9 for one."""
    fast_deg: float = tuned(15.0, unit="deg", low=0.1, high=180.0)
    """A step that turns the object by more is fast; a slip about the own axis looks like one."""
    turned_deg: float = tuned(45.0, unit="deg", low=0.1, high=180.0)
    """A track that turned by more since the last look is not calm: a slip may come in small steps."""
    near_every: int = tuned(3, unit="frames", low=1, high=10_000)
    """Frames between two looks at the nearest turns alone, 1 ms, at a lively track: one that stays behind an object
    that turns fast is behind by a small turn."""
    near_deg: float = tuned(60.0, unit="deg", low=0.0, high=180.0)
    """Larger turns are not near."""
    lively_deg: float = tuned(8.0, unit="deg", low=0.0, high=180.0)
    """A track is lively that turned by more than this in a step, ..."""
    lively_share: float = tuned(0.02, unit="1", low=0.0, high=1.0)
    """... or went by more than this share of its distance: what is behind in its turn may follow in its place, ..."""
    fallen_share: float = tuned(0.94, unit="1", low=0.0, high=1.0)
    """... or whose confidence fell below this share of what it usually is: a mug that slipped about its own axis, by
    16 degrees in four slow steps, had 0.90 of it. In 23,000 frames of that mug 1.7 % had less."""
    far_fallen_share: float = tuned(0.8, unit="1", low=0.0, high=1.0)
    """Below this share of it the nearest turns are asked about in every image: a blurred step may lose 25 degrees."""
    usual_weight: float = tuned(0.1, unit="1", low=0.001, high=1.0)
    """Weight of the newest confidence in what it usually is."""
    least_confidence: float = tuned(0.25, unit="1", low=0.0, high=1.0)
    """Of a step with less nothing is asked: it is not the side that is in doubt."""
    fan_slack: float = tuned(0.5, unit="logit", low=0.0)
    """A turn that is not refined may cost so much more than the pose, which is, and still be heard."""
    queue: int = tuned(4, unit="poses", low=1, high=64)
    """Most turns that wait to be heard, beside the nearest."""
    rivals: int = tuned(2, unit="poses", low=1, high=8)
    """Turns that are heard in one look, 1.5 ms each, ..."""
    doubted_rivals: int = tuned(3, unit="poses", low=1, high=8)
    """... and where one of them gains more than model errors make."""
    rivals_apart_deg: float = tuned(45.0, unit="deg", low=0.0, high=180.0)
    """They are turned against each other by more than this: from neighbours the refinement comes to one pose."""
    other_view_deg: float = tuned(30.0, unit="deg", low=0.0, high=180.0)
    """A turn that lost is heard again when the pose turned by more than this, ..."""
    remembered_looks: int = tuned(6, unit="looks", low=1, high=1000)
    """... and after so many looks at the fan."""
    behind_deg: float = tuned(5.0, unit="deg", low=0.0, high=180.0)
    """A track that a look finds turned by more than this from where the refinement of its pose ended, or of a rival
    that came to the same pose, is behind, ..."""
    behind_gain: float = tuned(0.6, unit="logit", low=0.0)
    """... where that pose costs so much less, and goes on from there. A tracker may be held behind in its turn by a
    place from which only a wider search comes back. Of 14 such ends on real recordings, played in four orders and
    from small turns, all six that gained as much were nearer to the truth; three of the eight others were farther."""
    bias: float = tuned(0.1, unit="logit", low=0.0)
    """Mean gain of a rival that model errors alone may make: in 583 pairs of a right and a turned pose the turned one
    never gained, it lost by 0.18 at least."""
    noise: float = tuned(0.3, unit="logit", low=0.0)
    """A single look at a rival a quarter turn away may be wrong by this beside, at a farther one by more in
    proportion; the mean of n looks by an nth of it."""
    least_looks: int = tuned(2, unit="looks", low=1, high=100)
    """Fewer looks do not turn a track, ..."""
    lead: float = tuned(1.0, unit="logit", low=0.0)
    """... nor before every rival that gains less by no more than this had as many: the first refinement may end short
    of the place. Where the best itself gains less than this, all turns are heard first: seen from a wrong pose the
    right one may look worse than others."""
    most_looks: int = tuned(8, unit="looks", low=1, high=100)
    """After so many the rival is let go undecided."""
    residual_slack: float = tuned(0.05, unit="1", low=0.0, high=1.0)
    """By how much more the geometric residual of a rival may be: its own noise. Beyond, it is doubted, not turned,
    ..."""
    clear_gain: float = tuned(2.0, unit="logit", low=0.0)
    """... unless it gains more than this: the residual knows nothing of what a pose leaves uncovered."""
    tie: float = tuned(0.2, unit="logit", low=0.0)
    """Turns that cost no more than this beside the pose cannot be told from it."""
    doubted_confidence: float = tuned(0.45, unit="1", low=0.0, high=1.0)
    """Most confidence of a track whose side is doubted: below the border of 0.5, above that of a loss."""
