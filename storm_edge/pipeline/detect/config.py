"""Tuned numbers of the search of a whole image: what is registered, how poses are scored, and which is believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from storm_edge.config import Config, tuned
from storm_edge.pipeline.refine.config import JudgeConfig
from storm_edge.pipeline.register.config import DEFAULT, FAST, RegisterConfig
from storm_edge.pipeline.templates.config import ShapeSearchConfig


@dataclass(frozen=True, kw_only=True)
class SearchBudget(Config):
    """How much is tried before a search gives up. `FULL` and `REACQUIRE` are the two that are used."""

    tiled: bool = tuned(unit="")
    """Whether the segmenter is given tiles of the image, too (`pipeline.segment.tiling`), where the best of all else
    reached less than ``tiled_below``."""
    max_candidates: int = tuned(unit="candidates", low=0, high=64)
    """Most candidates of the segmenter that are registered."""
    min_presence_probability: float = tuned(unit="1", low=0.0, high=1.0)
    """No candidate of the segmenter is registered where the network's probability of the object being there is below
    this."""
    max_shape_proposals: int = tuned(unit="candidates", low=0, high=64)
    """Most candidates by shape that are registered, one of three whatever its colours (`pipeline.templates`)."""
    max_plain_shape_proposals: int = tuned(unit="candidates", low=0, high=64)
    """The same for a model without colours, of which the segmenter knows little."""
    max_surfaces: int = tuned(unit="candidates", low=0, high=64)
    """Most surfaces in the object's colours that are registered, whatever the segmenter and the shape say
    (`pipeline.segment.surfaces`)."""
    max_refined: int = tuned(unit="detections", low=0, high=64)
    """How many detections are refined."""
    min_refine_probability: float = tuned(unit="1", low=0.0, high=1.0)
    """Presence probability below which a detection is not refined."""
    min_retry_probability: float = tuned(unit="1", low=0.0, high=1.0)
    """Presence probability after the first mask below which no other mask is tried."""
    max_masks: int = tuned(unit="masks", low=0, high=3)
    """Masks from which a detection is refined."""
    both_masks: bool = tuned(unit="")
    """Whether candidates are registered fast from all that stands out there, too (``grown_above_score``)."""
    around_rounds: int = tuned(unit="rounds", low=0, high=100)
    """How often at most a doubtful pose is refined from itself and its neighbours, while it gets better."""
    retry_rejected: bool = tuned(unit="")
    """Whether regions that were rejected before are registered again (`pipeline.reacquire.rejected_regions`)."""
    accept_fast: bool = tuned(unit="")
    """Whether a detection with a presence probability of ``stop_above`` and a good alignment is final though it was
    registered fast, and ends the search if it is that of the segmenter's first candidate."""
    refine_above_score: float = tuned(unit="1", low=0.0, high=1.0)
    """Score of a candidate of the segmenter from which it is refined from one mask, whatever its fast registration
    came to, and whatever ScoreNet says of that pose."""
    closer_look: bool = tuned(unit="")
    """Whether doubtful places of an object that was never tracked are looked at closely (`detect.closer_look`)."""


FULL = SearchBudget(
    tiled=True,
    max_candidates=4,
    min_presence_probability=0.0,
    max_shape_proposals=6,
    max_plain_shape_proposals=16,
    max_surfaces=2,
    max_refined=2,
    min_refine_probability=0.05,
    min_retry_probability=0.15,
    max_masks=3,
    both_masks=True,
    around_rounds=3,
    retry_rejected=True,
    accept_fast=True,
    refine_above_score=0.33,
    closer_look=True,
)
"""For an object that was never seen: nothing else waits for the answer. In 26 of 39 development searches for objects
that were there a fast registration was certain (``accept_fast``): none was wrong or turned. Of 85 objects in dev
pictures 3 were found by refinement alone: two had 0.36 and 0.39 before it, one a candidate of 0.89. Refining all that
had 0.02 found no other, and took half the time of a search for what is not there. Of 257 objects in other dev
pictures 6 had 0.05 to 0.15 before it, most of them turned the wrong way; so had one in nine that were not there. Of
34 objects that were missed in 240 dev pictures 4 are found since a candidate of the segmenter that promises an
overlap of 0.33 is refined, whatever it came to, where it was 0.5; 10 % of the searches for what is not there refine
one more for that (no record kept)."""
REACQUIRE = SearchBudget(
    tiled=False,
    max_candidates=2,
    min_presence_probability=0.25,
    max_shape_proposals=0,
    max_plain_shape_proposals=2,
    max_surfaces=0,
    max_refined=1,
    min_refine_probability=0.25,
    min_retry_probability=0.25,
    max_masks=1,
    both_masks=False,
    around_rounds=0,
    retry_rejected=False,
    accept_fast=True,
    refine_above_score=1.0,
    closer_look=False,
)
"""For an object that was lost a moment ago: it may be hidden, and a long search of an image without it would still be
under way when it reappears."""


@dataclass(frozen=True, kw_only=True)
class CoarseColourConfig(Config):
    """How colours are compared by cells of a model's box."""

    cells: int = tuned(8, unit="cells", low=1, high=100)
    """Along either side of the box."""
    min_fill: float = tuned(0.15, unit="1", low=0.0, high=1.0)
    """Part of a cell that must be seen."""
    full_contrast: float = tuned(0.2, unit="1", low=0.001, high=1.0)
    """Deviation of the model's cells, of colours in [0, 1], from which it has a pattern."""
    contrast_floor: float = tuned(0.001, unit="1", low=0.0, high=1.0)
    """Added to the contrast that a correlation is made of: of none there is no correlation."""
    brightness_floor: float = tuned(0.05, unit="1", low=0.0, high=1.0)
    """Added to the brightness that a residual is compared with: of black everything is a part."""
    max_residual: float = tuned(0.8, unit="1", low=0.0, high=10.0)
    """More residual counts no more."""


@dataclass(frozen=True, kw_only=True)
class StandingConfig(Config):
    """When an object counts as standing on a large plane. All were set by hand."""

    gap_diameters: float = tuned(0.015, unit="diameters", low=0.0, high=1.0)
    """Deviation of the lowest point of right poses from the plane, ..."""
    noise_m: float = tuned(0.002, unit="m", low=0.0, high=0.1)
    """... and of the plane, of a camera's noise at the lens ..."""
    noise_per_m: float = tuned(0.002, unit="1/m", low=0.0, high=0.1)
    """... and by the square of the distance."""
    reach_diameters: float = tuned(1.0, unit="diameters", low=0.1, high=10.0)
    """Within this distance of the object's middle the plane must be measured, ..."""
    min_plane_px: int = tuned(8, unit="px", low=1, high=100_000)
    """... at so many places of the working size."""


@dataclass(frozen=True, kw_only=True)
class PoseFeatureConfig(Config):
    """How the features of a pose are measured."""

    judge: JudgeConfig = field(default_factory=lambda: JudgeConfig(size_px=80, colour_weight=0.0))
    """How visibility, texture and occlusion are."""
    coarse: CoarseColourConfig = field(default_factory=CoarseColourConfig)
    """How colours are compared by cells."""
    standing: StandingConfig = field(default_factory=StandingConfig)
    """When the object stands on something."""
    gain_floor: float = tuned(0.02, unit="1", low=0.0001, high=1.0)
    """Mean product of colours that is added when channel gains are estimated: a black channel says nothing of its
    gain."""


@dataclass(frozen=True, kw_only=True)
class ShapeWeights(Config):
    """Weights of `shape_evidence.ShapeEvidence`: by themselves what a track of an object without colours is worth.

    Fitted to poses that searches tried in development recordings and images, right and wrong ones counted alike. Then
    the constant was lowered by 2.5. A search has other weights, see `DetectConfig.presence_without_colours`.
    """

    outline: float = tuned(3.51, unit="logit", low=-100.0, high=100.0, record="shape_calibration")
    """Weight of the outline at which the surface ends."""
    sectors: float = tuned(3.45, unit="logit", low=-100.0, high=100.0, record="shape_calibration")
    """Weight of the directions in which it does."""
    goes_on: float = tuned(-3.69, unit="logit", low=-100.0, high=100.0, record="shape_calibration")
    """Weight of the outline beyond which the surface goes on."""
    beyond: float = tuned(-0.92, unit="logit", low=-100.0, high=100.0, record="shape_calibration")
    """Weight of the area of the surface beyond the outline."""
    hidden: float = tuned(-0.97, unit="logit", low=-100.0, high=100.0, record="shape_calibration")
    """Weight of the share that something in front hides."""
    through: float = tuned(-5.85, unit="logit", low=-100.0, high=100.0, record="shape_calibration")
    """Weight of what the camera sees through the model."""
    over_plane: float = tuned(4.67, unit="logit", low=-100.0, high=100.0, record="shape_calibration")
    """Weight of how much better than a plane the model explains the depth."""
    over_quadric: float = tuned(1.98, unit="logit", low=-100.0, high=100.0, record="shape_calibration")
    """Weight of how much better than a smooth curved surface."""
    relief: float = tuned(1.94, unit="logit", low=-100.0, high=100.0, record="shape_calibration")
    """Weight of the model's own relief."""
    open_outline: float = tuned(0.0, unit="logit", low=-100.0, high=100.0)
    """Weight of the ends of what nothing blocks of the outline. The record of models without colours lacks it and the
    next three."""
    open_sectors: float = tuned(0.0, unit="logit", low=-100.0, high=100.0)
    """Weight of the directions of that in which the surface ends."""
    open_goes_on: float = tuned(0.0, unit="logit", low=-100.0, high=100.0)
    """Weight of that beyond which the surface goes on."""
    blocked: float = tuned(0.0, unit="logit", low=-100.0, high=100.0)
    """Weight of the share of the outline that is blocked."""
    constant: float = tuned(-4.85, unit="logit", low=-100.0, high=100.0, record="shape_calibration")
    """Logit where all is 0."""


@dataclass(frozen=True, kw_only=True)
class PresenceConfig(Config):
    """The presence probability of a pose: logistic regression on its features, and what else counts.

    The weights were fitted to 977 searches of 98 development images and of the development recordings, many of them
    for objects that are not there. Of each search the best right and the best wrong poses count, as they do when it
    decides. By weights that had not seen a search's image or recording, 91 % of the objects in images, turned and
    unplaced ones among them, and 94 % in recordings have `DetectConfig.min_probability`; of absent ones 1.3 % and one
    of 214. That one is a mug taken for a mug of another kind; the next best has less than a tenth of its odds. The
    constant is 0.5 below that of the fit: left out, as many are found as with half of that, and fewer absent ones.
    """

    visible: float = tuned(2.37, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the agreeing share of what should be seen."""
    pattern: float = tuned(2.0, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the correlation of rendered and observed colours."""
    occluded: float = tuned(-1.25, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the share that something in front hides."""
    colour: float = tuned(0.16, unit="logit/bit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the density of the colours seen."""
    imbalance: float = tuned(-1.07, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the imbalance of channel gains."""
    residual: float = tuned(-4.94, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of what those gains leave."""
    contour: float = tuned(-3.83, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the contour term."""
    depth: float = tuned(-0.91, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the depth term."""
    coarse_pattern: float = tuned(0.98, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of the pattern by large cells."""
    coarse_residual: float = tuned(-4.54, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Weight of what gains leave of those cells."""
    usual_colour_shift: float = tuned(0.22, unit="1", low=0.0, high=1.0)
    """`CandidateFeatures.colour_shift` up to which light and camera may be the reason: of 623 right poses in dev
    pictures none has more than 0.16, of 35 images of recordings none more than 0.22 (no record kept)."""
    colour_shift: float = tuned(-30.0, unit="logit", low=-1000.0, high=100.0)
    """Weight of what is beyond that, set by hand: no fit asks for it, for in its pictures hardly two objects differ
    by nothing but their colour."""
    usual_darkness: float = tuned(0.7, unit="1", low=-10.0, high=10.0)
    """`CandidateFeatures.darkness` up to which shade may be the reason. Of 165 looks at right places in dev pictures
    none has more than 0.66, of 19 images of recordings none more than 0.24; of 393 looks at wrong places 31 have more
    (no record kept)."""
    darkness: float = tuned(-8.0, unit="logit", low=-1000.0, high=100.0)
    """Weight of what is beyond that, set by hand: a dark violet box was taken for a bright pink one."""
    stands: float = tuned(1.0, unit="logit", low=-100.0, high=100.0)
    """Weight of standing on a large plane, set by hand. Three quarters of 342 right poses in dev pictures stand, and
    3 % of 74 wrong ones of 0.05 or more. With 1, and by the same poses, 363 instead of 361 of 394 objects are found,
    and 9 instead of 8 of 460 absent ones are believed; with 2 it is 367, and 13 (no record kept). What is held in a
    hand has no part in it, so it takes nothing."""
    constant: float = tuned(-0.55, unit="logit", low=-100.0, high=100.0, record="search_calibration")
    """Logit of a pose whose features are all 0."""
    evidence: ShapeWeights = field(
        default_factory=lambda: ShapeWeights(
            outline=0.0,
            sectors=0.0,
            goes_on=0.0,
            beyond=-0.75,
            hidden=-1.39,
            through=-2.59,
            over_plane=2.56,
            over_quadric=2.07,
            relief=3.71,
            open_outline=0.86,
            open_sectors=0.77,
            open_goes_on=-3.37,
            blocked=-1.97,
            constant=0.0,
        )
    )
    """What the shape says beside the colours."""
    all_blocked: float = tuned(0.9, unit="1", low=0.0, high=1.0)
    """`ShapeEvidence.blocked` from which no contour is judged, and ..."""
    usual_contour: float = tuned(0.4, unit="1", low=0.0, high=1.0)
    """... the contour term is that of most objects at most: something in front, or the image's end, hides it all."""
    network_weight: float = tuned(0.41, unit="1", low=0.0, high=10.0, record="search_calibration")
    """Weight of the segmenter network's presence probability beside the features, both as logits."""
    min_network_probability: float = tuned(0.05, unit="1", low=0.000001, high=0.5)
    """The network's presence probability is limited to this and one minus this."""
    learned_colour_weight: float = tuned(4.0, unit="1", low=0.0, high=100.0)
    """Weight of the mean log odds of colours that tracking learned, where it speaks against the object: a place whose
    colours are wholly foreign is out, whatever else fits. All else comes to a logit of 11 at most."""
    max_log_odds: float = tuned(3.0, unit="logit", low=0.0, high=30.0)
    """The log odds of a single pixel count no more than this."""
    min_visible_share: float = tuned(0.15, unit="1", low=0.0, high=1.0)
    """Share of the model that must be seen; the probability is 0 where less is."""


def _without_colours() -> PresenceConfig:
    """Weights for models without colours (`benchmarks run fit_colourless`)."""
    return PresenceConfig(
        visible=3.32,
        pattern=0.0,
        occluded=-0.68,
        colour=0.0,
        imbalance=0.0,
        residual=0.0,
        contour=-3.88,
        depth=-4.45,
        coarse_pattern=0.0,
        coarse_residual=0.0,
        colour_shift=0.0,
        darkness=0.0,
        stands=0.0,
        constant=-2.14,
        evidence=ShapeWeights(
            outline=0.0,
            sectors=0.0,
            goes_on=0.0,
            beyond=-2.41,
            hidden=-0.31,
            through=-1.48,
            over_plane=3.68,
            over_quadric=2.75,
            relief=1.97,
            open_outline=-0.06,
            open_sectors=0.99,
            open_goes_on=-4.95,
            blocked=-1.54,
            constant=0.0,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class UsualOutline(Config):
    """What the outline of an object that is there is like, for one that is mostly blocked. Medians of right poses."""

    share: float = tuned(0.15, unit="1", low=0.0, high=1.0)
    """What is usual counts as much as so much of the outline."""
    outline: float = tuned(0.45, unit="1", low=0.0, high=1.0)
    """`ShapeEvidence.open_outline`."""
    sectors: float = tuned(0.6, unit="1", low=0.0, high=1.0)
    """`ShapeEvidence.open_sectors`."""
    goes_on: float = tuned(0.03, unit="1", low=0.0, high=1.0)
    """`ShapeEvidence.open_goes_on`."""


@dataclass(frozen=True, kw_only=True)
class ShapeConfig(Config):
    """How the evidence of shape is measured, and what it is worth to a track where a model has no colours."""

    weights: ShapeWeights = field(default_factory=ShapeWeights)
    """What each kind of evidence is worth."""
    track_logit: float = tuned(2.5, unit="logit", low=-30.0, high=30.0, record="shape_calibration")
    """What speaks at least for a pose that is tracked, before its shape is looked at: by how much the constant of
    `ShapeWeights` was lowered. A hand hides and continues an object that it holds."""
    max_crop_px: int = tuned(128, unit="px", low=16, high=1024)
    """Largest side of the window that is looked at; nearer objects are seen with fewer pixels than the image has."""
    margin_px: float = tuned(9.0, unit="px", low=1.0, high=100.0)
    """Image around the object in the window: the outline is looked at up to 6 px outwards."""
    min_seen_px: int = tuned(20, unit="px", low=1, high=100_000)
    """Pixels of the model that must be seen: three numbers of a plane are fitted to them, and six of a quadric."""
    noise_m: float = tuned(0.003, unit="m", low=0.0, high=0.1)
    """Error of a depth camera at the lens: the smoothed recordings of development are 1.4 to 3.9 mm off."""
    noise_per_m: float = tuned(0.004, unit="1", low=0.0, high=0.1)
    """And how it grows with distance."""
    gate_diameters: float = tuned(0.06, unit="diameters", low=0.0, high=1.0)
    """Readings that differ from the model by more are another surface, as in `JudgeConfig.depth_gate` ..."""
    min_gate_m: float = tuned(0.008, unit="m", low=0.0, high=1.0)
    """... but never by less than this."""
    edge_diameters: float = tuned(0.04, unit="diameters", low=0.0, high=1.0)
    """Step in depth that is an edge: smaller than any part that makes an object's shape ..."""
    edge_noises: float = tuned(2.5, unit="1", low=0.0, high=100.0)
    """... and at least so many times the camera's error: of one in a hundred readings it is more."""
    residual_diameters: float = tuned(0.01, unit="diameters", low=0.0, high=1.0)
    """Residual of depth that counts as wholly wrong ..."""
    residual_noises: float = tuned(2.0, unit="1", low=0.0, high=100.0)
    """... and at least so many times the camera's error."""
    plane_diameters: float = tuned(0.03, unit="diameters", low=0.0, high=1.0)
    """Readings as near to a large plane lie on it ..."""
    min_plane_m: float = tuned(0.008, unit="m", low=0.0, high=1.0)
    """... and those nearer than this."""
    outline_px: float = tuned(1.5, unit="px", low=0.5, high=10.0)
    """Width of the outline within the silhouette."""
    outline_blur_px: float = tuned(1.5, unit="px", low=0.1, high=20.0)
    """Smoothing of the outline's direction."""
    outside_px: tuple[int, int] = tuned((3, 6), unit="px", low=1, high=50)
    """First and last pixel beside the outline whose depth is looked at: at the edge itself cameras mix two depths."""
    inside_px: tuple[int, int] = tuned((2, 4), unit="px", low=1, high=50)
    """The same inside."""
    no_reading_weight: float = tuned(0.5, unit="1", low=0.0, high=1.0)
    """What an outline counts beside which there is no reading: a stereo camera's shadow, or something too far, or a
    hole."""
    sector_count: int = tuned(16, unit="directions", low=4, high=360)
    """Directions from the middle."""
    usual: UsualOutline = field(default_factory=UsualOutline)
    """What an outline is like of which nothing is seen."""
    fit_px: int = tuned(750, unit="px", low=50, high=100_000)
    """About so many pixels decide whether a simpler surface explains the depth."""
    fit_iterations: int = tuned(6, unit="iterations", low=1, high=100)
    """Reweightings of such a fit."""
    max_misfit: float = tuned(0.6, unit="1", low=0.0, high=1.0)
    """A simple surface that fits worse is no worse: several surfaces lie there."""
    max_relief: float = tuned(0.4, unit="1", low=0.0, high=1.0)
    """More relief counts no more."""
    max_beyond: float = tuned(1.5, unit="1", low=0.0, high=100.0)
    """Larger surfaces count no more."""
    min_core_share: float = tuned(0.1, unit="1", low=0.0, high=1.0)
    """Share of the agreeing pixels from which a surface is one of the object's."""


@dataclass(frozen=True, kw_only=True)
class CloserLookWeights(Config):
    """What a closer look is worth: weights of a logistic regression."""

    first: float = tuned(unit="1", low=0.0, high=100.0)
    """Weight of the logit of the better pose's probability before it, ..."""
    detail: float = tuned(unit="logit", low=-100.0, high=100.0)
    """... of what small print says against it (`detection.Look.detail`) ..."""
    depth: float = tuned(unit="logit", low=-100.0, high=100.0)
    """... and its depth, ..."""
    elsewhere: float = tuned(unit="1", low=-100.0, high=100.0)
    """... of the logit of the best other place's probability, ..."""
    palette: float = tuned(unit="logit", low=-100.0, high=100.0)
    """... of the colours that both have, ..."""
    contour: float = tuned(unit="logit", low=-100.0, high=100.0)
    """... of its contour term, beside what `PresenceConfig.contour` says, ..."""
    network: float = tuned(0.0, unit="1", low=-100.0, high=100.0)
    """... of ScoreNet's logit, ..."""
    constant: float = tuned(unit="logit", low=-100.0, high=100.0)
    """... and the logit where all are 0. It has no margin but that of `DetectConfig.min_probability`."""


@dataclass(frozen=True, kw_only=True)
class CloserLookConfig(Config):
    """When a doubtful place is looked at more closely, and what that is worth.

    The weights were fitted to 626 looks, 47 of them in recordings, at places of 0.02 to 0.98 (`fit_closer_look`). By
    weights that had not seen their image 98.6 % of looks at right places and 96.7 % at wrong ones are told with
    ScoreNet, 98.1 and 95.9 % without it, 94.8 and 97.0 % by the first probability alone. In recordings 18 of 20 and
    25 of 27, with ScoreNet and without it; 20 and 25 by the first probability alone.
    """

    least: float = tuned(0.05, unit="1", low=0.0, high=1.0)
    """Presence probability from which a place is looked at, ..."""
    below: float = tuned(0.85, unit="1", low=0.0, high=1.0)
    """... and from which it is not, as ``stop_above``, ..."""
    least_palette: float = tuned(0.4, unit="1", low=0.0, high=1.0, record="fit_closer_look")
    """... but where model and image have less than this of their colours in common. Of 210 looks at right places 2
    have, none of them in a recording, and of 357 at wrong ones a third."""
    least_network: float = tuned(0.5, unit="logit", low=-100.0, high=100.0)
    """... or where ScoreNet's logit is less than this. Of 808 poses of that probability at right places in dev
    pictures 4 % have less, and of seven at wrong ones six (no record kept)."""
    count: int = tuned(2, unit="detections", low=1, high=64)
    """So many of the best detections are."""
    min_probability: float = tuned(0.55, unit="1", low=0.0, high=1.0)
    """Presence probability after a closer look from which a detection is the object, in place of
    `DetectConfig.min_probability`. Of 1028 objects in dev pictures five more are found than with 0.65, and of 440
    absent ones one more is believed; no weight was fitted to them (no record kept)."""
    least_elsewhere: float = tuned(0.01, unit="1", low=0.000001, high=0.5)
    """The best other place's probability is limited to this and one minus this."""
    most_logit: float = tuned(4.0, unit="logit", low=0.0, high=100.0)
    """ScoreNet's logit is limited to this and its negative: one network alone is not to decide."""
    weights: CloserLookWeights = field(
        default_factory=lambda: CloserLookWeights(
            first=0.62,
            detail=-1.67,
            depth=-3.55,
            elsewhere=-0.1,
            palette=2.88,
            contour=-2.71,
            network=0.49,
            constant=-0.3,
        )
    )
    """With a ScoreNet that knows single poses (`engines.scorers`), ..."""
    weights_without_network: CloserLookWeights = field(
        default_factory=lambda: CloserLookWeights(
            first=0.69, detail=-1.98, depth=-3.58, elsewhere=-0.1, palette=3.12, contour=-2.71, constant=-0.17
        )
    )
    """... and without one."""


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
    chosen_by: Literal["alignment", "ranking"] = tuned("alignment", unit="")
    """What decides between the poses of a refined registration, and between that and the fast one: the presence
    probability, and in a close call how well they are aligned with the image; or the registration's own last ranking.
    Then the candidate's mask is the only one that is refined from, and no detection is final that was only registered
    fast."""
    full: SearchBudget = FULL
    """Budget of a full search."""
    reacquire: SearchBudget = REACQUIRE
    """Budget of a search soon after a loss."""
    features: PoseFeatureConfig = field(default_factory=PoseFeatureConfig)
    """How a pose is measured."""
    templates: ShapeSearchConfig = field(default_factory=ShapeSearchConfig)
    """How places are found by shape."""
    presence: PresenceConfig = field(default_factory=PresenceConfig)
    """How probable that makes the object."""
    presence_without_colours: PresenceConfig = field(default_factory=_without_colours)
    """The same where the model has no colours, by terms that need none. The weights were fitted to searches of 360
    dev images and 12 development recordings (record `colourless_calibration`). By weights that had not seen an image,
    83 % of the objects in images have ``min_probability`` at a right pose, and 0.6 % of absent ones at any; in
    recordings 12 of 26, and none of 52. The constant is 1.0 below that of the fit. The search before, by shape alone,
    found 154 of the first 240 of these objects (64 %), and 9 of 480 absent ones (1.9 %; no record kept)."""
    shape: ShapeConfig = field(default_factory=ShapeConfig)
    """How its shape is measured, and how probable that makes the track of an object without colours."""
    closer: CloserLookConfig = field(default_factory=CloserLookConfig)
    """How doubtful places are looked at more closely."""
    trimming: MaskTrimmingConfig = field(default_factory=MaskTrimmingConfig)
    """How masks are trimmed before refinement."""
    refine_margin: float = tuned(0.3, unit="1", low=0.0, high=1.0)
    """How far below the best presence probability a detection may be to be refined, too."""
    min_refine_logit: float = tuned(-1.0, unit="logit", low=-100.0, high=100.0)
    """A detection is not refined where ScoreNet says less of it, if there is one that knows single poses, and the
    segmenter does not speak for its place (``refine_above_score``). Before that exception: of 55 dev searches in
    which the best fast detection was right and doubtful one has less, and that object was not found by refinement; of
    28 in which it was wrong a quarter has (no record kept)."""
    max_taken_share: float = tuned(0.5, unit="1", low=0.0, high=1.0)
    """A candidate of which more than this part lies where another instance of the model is, is that instance."""
    tiled_below: float = tuned(0.55, unit="1", low=0.0, high=1.0)
    """Best presence probability from which the segmenter is given no tiles."""
    max_iou: float = tuned(0.7, unit="1", low=0.0, high=1.0)
    """Intersection over union from which a candidate repeats another."""
    min_visible: float = tuned(0.25, unit="1", low=0.0, high=1.0)
    """Where less of what should be seen agrees with a candidate's pose, its place is given up. Of 728 right poses at
    the segmenter's marks in dev pictures 1.4 % have less, of 192 by shape none; of 934 where the object is absent a
    third (no record kept)."""
    hidden_logit: float = tuned(0.3, unit="logit", low=-100.0, high=100.0)
    """No place is given up for that where a ScoreNet that knows single poses says more of the pose: what agrees is
    counted by the mask, and a mask beside the object leads to it now and then. Of 34 objects that were missed in 240
    dev pictures 3 are found so; of 204 candidates with so little where the object is absent 2 % are spared (no record
    kept)."""
    max_sides: int = tuned(3, unit="poses", low=1, high=64)
    """Of the sides that a registration leaves, so many are scored: those that ScoreNet prefers, where it knows single
    poses. It takes a tenth of the time."""
    tried_at_least: int = tuned(2, unit="candidates", low=1, high=64)
    """So many candidates are registered before one ends the search: the best of either kind."""
    grown_above_score: float = tuned(0.25, unit="1", low=0.0, high=1.0)
    """Score of a candidate of the segmenter from which it is registered fast from all that stands out there as well,
    where its mask came to less than ``stop_above``, and from what its shape suggests there: of 100 objects in dev
    pictures 97 have one, of 100 that are not there 28."""
    grown_below_iou: float = tuned(0.9, unit="1", low=0.0, high=1.0)
    """Intersection over union of the two masks from which they are one."""
    stop_above: float = tuned(0.85, unit="1", low=0.0, high=1.0)
    """Presence probability from which nothing else is tried: of 16 searches in clutter none was wrong above 0.5, and
    those that were right were mostly above 0.9. Of 80 above it after losses none was wrong."""
    min_probability: float = tuned(0.65, unit="1", low=0.0, high=1.0, record="search")
    """Presence probability from which a detection is the object, if it was not looked at closely."""
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
    one_place_diameters: float = tuned(0.25, unit="diameters", low=0.0, high=100.0)
    """Distance of two detections up to which they are one: a turn about the middle moves it by less, and two objects
    of one shape are mostly farther apart."""
    good_alignment_residual: float = tuned(0.5, unit="1", low=0.0, high=2.0)
    """`CandidateFeatures.alignment_residual` below which no other mask is tried for a detection."""
    clear_gain: float = tuned(0.1, unit="logit", low=0.0, high=30.0)
    """Difference of two presence probabilities at one place, as logits, from which it decides between the poses; the
    alignment residual decides below. Of 30 pairs of a right and a turned pose in development recordings the
    probability prefers 27 right ones, the residual 13."""
    around_deg: float = tuned(15.0, unit="deg", low=0.0, high=180.0)
    """A pose of less than ``stop_above`` is refined from itself and from those turned by so much about each axis."""
    same_pose_deg: float = tuned(8.0, unit="deg", low=0.0, high=180.0)
    """Poses are one where they differ by less than this angle and ..."""
    same_pose_diameters: float = tuned(0.03, unit="diameters", low=0.0, high=10.0)
    """... this distance."""
