"""Tuned numbers of the search of a whole image: what is registered, how poses are scored, and which is believed."""

from __future__ import annotations

from dataclasses import dataclass, field

from storm_edge.config import Config, tuned
from storm_edge.pipeline.refine.config import JudgeConfig
from storm_edge.pipeline.register.config import DEFAULT, FAST, RegisterConfig


@dataclass(frozen=True, kw_only=True)
class SearchBudget(Config):
    """How much is tried before a search gives up. `FULL` and `REACQUIRE` are the two that are used."""

    tiled: bool = tuned(unit="")
    """Whether the segmenter is given tiles of the image, too (`pipeline.segment.tiling`)."""
    max_candidates: int = tuned(unit="candidates", low=0, high=64)
    """Most candidates of the segmenter that are registered."""
    min_presence_probability: float = tuned(unit="1", low=0.0, high=1.0)
    """No candidate of the segmenter is registered where the network's probability of the object being there is below
    this."""
    max_depth_proposals: int = tuned(unit="candidates", low=0, high=64)
    """Most further candidates, whatever their colours (`pipeline.segment.depth_proposals`), where the best of those
    reached less than ``depth_proposals_below``."""
    max_refined: int = tuned(unit="detections", low=0, high=64)
    """How many detections are refined."""
    min_refine_probability: float = tuned(unit="1", low=0.0, high=1.0)
    """Presence probability below which a detection is not refined."""
    max_masks: int = tuned(unit="masks", low=0, high=3)
    """Masks from which a detection is refined."""
    retry_rejected: bool = tuned(unit="")
    """Whether regions that were rejected before are registered again (`pipeline.reacquire.rejected_regions`)."""
    accept_fast: bool = tuned(unit="")
    """Whether a detection with a presence probability of ``stop_above`` and a good alignment is final though it was
    registered fast."""
    refine_above_score: float = tuned(unit="1", low=0.0, high=1.0)
    """Score of a candidate from which its detection is refined, whatever the fast registration came to."""


FULL = SearchBudget(
    tiled=True,
    max_candidates=4,
    min_presence_probability=0.0,
    max_depth_proposals=8,
    max_refined=2,
    min_refine_probability=0.02,
    max_masks=3,
    retry_rejected=True,
    accept_fast=False,
    refine_above_score=0.25,
)
"""For an object that was never seen: nothing else waits for the answer."""
REACQUIRE = SearchBudget(
    tiled=False,
    max_candidates=2,
    min_presence_probability=0.25,
    max_depth_proposals=0,
    max_refined=1,
    min_refine_probability=0.25,
    max_masks=1,
    retry_rejected=False,
    accept_fast=True,
    refine_above_score=1.0,
)
"""For an object that was lost a moment ago: it may be hidden, and a long search of an image without it would still be
under way when it reappears."""


@dataclass(frozen=True, kw_only=True)
class PoseFeatureConfig(Config):
    """How the features of a pose are measured."""

    judge: JudgeConfig = field(default_factory=lambda: JudgeConfig(size_px=80, colour_weight=0.0))
    """How visibility, texture and occlusion are."""
    gain_floor: float = tuned(0.02, unit="1", low=0.0001, high=1.0)
    """Mean product of colours that is added when channel gains are estimated: a black channel says nothing of its
    gain."""


@dataclass(frozen=True, kw_only=True)
class PresenceConfig(Config):
    """The presence probability of a pose: logistic regression on its features, and what else counts.

    The weights were fitted to searches in synthetic images, right and wrong poses counted alike. Left out scene by
    scene they order 99.86 % of the pairs rightly; without the contour 98.7 %.
    """

    visible: float = tuned(1.69, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the agreeing share of what should be seen."""
    pattern: float = tuned(2.36, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the correlation of rendered and observed colours."""
    occluded: float = tuned(-2.68, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the share that something in front hides."""
    colour: float = tuned(0.19, unit="logit/bit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the density of the colours seen."""
    imbalance: float = tuned(-1.81, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the imbalance of channel gains."""
    residual: float = tuned(-2.66, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of what those gains leave."""
    contour: float = tuned(-3.82, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the contour term."""
    depth: float = tuned(-2.06, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the depth term."""
    constant: float = tuned(1.11, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Logit of a pose whose features are all 0."""
    network_weight: float = tuned(0.5, unit="1", low=0.0, high=10.0)
    """Weight of the segmenter network's presence probability beside the features, both as logits."""
    min_network_probability: float = tuned(0.05, unit="1", low=0.000001, high=0.5)
    """The network's presence probability is limited to this and one minus this."""
    learned_colour_weight: float = tuned(2.0, unit="1", low=0.0, high=100.0)
    """Weight of the mean log odds of colours that tracking learned, where it speaks against the object: a place whose
    colours are wholly foreign is out, whatever else fits."""
    max_log_odds: float = tuned(3.0, unit="logit", low=0.0, high=30.0)
    """The log odds of a single pixel count no more than this."""
    min_visible_share: float = tuned(0.15, unit="1", low=0.0, high=1.0)
    """Share of the model that must be seen; the probability is 0 where less is."""


@dataclass(frozen=True, kw_only=True)
class MaskTrimmingConfig(Config):
    """What is cut off a candidate's mask before its detection is refined."""

    margin_share: float = tuned(0.05, unit="1", low=0.0, high=1.0)
    """What is nearer to the model's outline than this share of the mask's box stays."""
    min_margin_px: int = tuned(2, unit="px", low=0, high=1000)
    """And what is nearer than this."""
    min_kept_share: float = tuned(0.3, unit="1", low=0.0, high=1.0)
    """A mask that would lose more than the rest stays as it is."""


@dataclass(frozen=True, kw_only=True)
class DetectConfig(Config):
    """The search of a whole image: which masks are registered, and which pose is believed."""

    fast: RegisterConfig = FAST
    """How candidates are registered at first."""
    refined: RegisterConfig = DEFAULT
    """How the best ones are registered then."""
    full: SearchBudget = FULL
    """Budget of a full search."""
    reacquire: SearchBudget = REACQUIRE
    """Budget of a search soon after a loss."""
    features: PoseFeatureConfig = field(default_factory=PoseFeatureConfig)
    """How a pose is measured."""
    presence: PresenceConfig = field(default_factory=PresenceConfig)
    """How probable that makes the object."""
    trimming: MaskTrimmingConfig = field(default_factory=MaskTrimmingConfig)
    """How masks are trimmed before refinement."""
    refine_margin: float = tuned(0.3, unit="1", low=0.0, high=1.0)
    """How far below the best presence probability a detection may be to be refined, too."""
    max_taken_share: float = tuned(0.5, unit="1", low=0.0, high=1.0)
    """A candidate of which more than this part lies where another instance of the model is, is that instance."""
    depth_proposals_below: float = tuned(0.55, unit="1", low=0.0, high=1.0)
    """Best presence probability from which no depth proposals are registered."""
    stop_above: float = tuned(0.85, unit="1", low=0.0, high=1.0)
    """Presence probability from which nothing else is tried: of 16 searches in clutter none was wrong above 0.5, and
    those that were right were mostly above 0.9. Of 80 above it after losses none was wrong."""
    min_probability: float = tuned(0.65, unit="1", low=0.0, high=1.0, record="search")
    """Presence probability from which a detection is the object."""
    min_probability_after_loss: float = tuned(0.75, unit="1", low=0.0, high=1.0, record="recovery")
    """The same for an object that was tracked and lost. It may be hidden, so that all that is seen is something else,
    and a wrong place that is believed costs more than another search."""
    max_alignment_residual_after_loss: float = tuned(0.75, unit="1", low=0.0, high=2.0, record="recovery")
    """And `CandidateFeatures.alignment_residual` up to which it is: grey on grey convinces by its colours, wherever
    it is. Right places had at most 0.7 in 100 recordings."""
    same_place_bonus: float = tuned(0.1, unit="1", low=0.0, high=1.0)
    """Added to the presence probability of a detection where the object was seen last, when they are ranked."""
    same_place_diameters: float = tuned(0.5, unit="diameters", low=0.0, high=100.0)
    """Distance from where the object was seen last up to which that is the same place."""
    good_alignment_residual: float = tuned(0.5, unit="1", low=0.0, high=2.0)
    """`CandidateFeatures.alignment_residual` below which no other mask is tried for a detection."""
    clear_gain: float = tuned(0.25, unit="1", low=0.0, high=1.0)
    """Difference of two presence probabilities at one place from which it decides between the poses; the alignment
    residual decides below."""
    same_pose_deg: float = tuned(8.0, unit="deg", low=0.0, high=180.0)
    """Poses are one where they differ by less than this angle and ..."""
    same_pose_diameters: float = tuned(0.03, unit="diameters", low=0.0, high=10.0)
    """... this distance."""
