"""Find: candidates of the segmenter, verified by registering them.

A mask can look right and be wrong; a pose at which the rendered model agrees with depth, outline and colour seldom
is. So every candidate is registered with a short schedule and judged; the best ones once more with care; and the
object counts as found only where the verdict is good. The best verdict wins, and a candidate at the object's last
place wins a close call, so that of two equal objects the same one is found every time.

The work comes in chunks, as in `pipeline.register.registrar`, for loops that must not wait.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import MaskError, UnitError
from storm_edge.frame import Frame
from storm_edge.kernels.region import log_odds_of
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect.pose_features import CandidateFeatures, PoseFeatureExtractor, presence_probability
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.reacquire.rejected_regions import RejectedRegions
from storm_edge.pipeline.register.config import DEFAULT, RegisterConfig, RegistrationStage
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.segment.depth_proposals import depth_proposals
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.segmentation import Candidate, Segmentation, segmentation_from_mask
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding

Float64 = NDArray[np.float64]

QUICK = RegisterConfig(
    stages=(
        RegistrationStage(keep=64),
        RegistrationStage(geometry=3, keep=16),
        RegistrationStage(geometry=6, keep=4),
        RegistrationStage(geometry=6),
    ),
    network_weight=0.0,
)
"""A registration that is just good enough to tell right from wrong."""


_CLEARLY = 0.25  # verdicts further apart than this decide by themselves
_ALIKE_RAD, _ALIKE_SHARE = np.deg2rad(8.0), 0.03  # poses nearer to each other than this are one
_MOST_ODDS = 3.0  # a single pixel's log odds count no more than this
_FOREIGN_WEIGHT = 2.0  # of mean log odds below 0: places that are wholly foreign are out, whatever else fits
_TRIM_REACH = 0.05  # what is nearer to the model's outline than this share of the box stays in the mask


@dataclass(frozen=True, kw_only=True)
class SearchBudget:
    """How much is tried before a search gives up."""

    tiled: bool
    """Whether the segmenter looks at parts of the image, too (`pipeline.segment.tiling`)."""
    max_candidates: int
    """Most candidates of the segmenter that are registered."""
    min_presence_probability: float
    """Nothing is registered where the network's opinion of the object being there is below this."""
    max_depth_proposals: int
    """Most further candidates, whatever their colours (`pipeline.segment.depth_proposals`), if none of those is
    likely."""
    max_refined: int
    """How many places are registered with care."""
    min_refine_probability: float
    """Verdict below which a place is not."""
    max_masks: int
    """Masks tried with care at a place."""
    retry_rejected: bool
    """Whether what was turned down before is looked at again (`pipeline.reacquire.rejected_regions`)."""
    accept_fast: bool
    """Whether a sure verdict on a pose that fits well is final though the schedule was short."""
    refine_above_score: float
    """Score of a candidate from which its place is registered with care, whatever the short schedule came to."""


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
"""For an object that was lost a moment ago: it may be hidden, and a long search of a picture without it would still
be under way when it reappears."""


@dataclass(frozen=True, kw_only=True)
class TrackPrior:
    """What is known of an object that was seen before."""

    T_cam_centre: Float64
    """Where it was seen last: pose of the centred mesh [m] ``(4, 4)``."""
    colour_log_odds: NDArray[np.float32] | None = None
    """What tracking learned of its colours in this light, see `local_search.nearby_mask`; None if it was not
    tracked but found in another image."""
    rejected_regions: RejectedRegions | None = None
    """What was turned down since it was lost, and is added to by brief searches; None remembers nothing."""


@dataclass(frozen=True, kw_only=True)
class DetectConfig:
    """When an object counts as found."""

    fast: RegisterConfig = QUICK
    """How candidates are registered at first."""
    refined: RegisterConfig = DEFAULT
    """How the best ones are registered then."""
    refine_margin: float = 0.3
    """How far behind the best verdict a candidate may be to be registered with care, too."""
    propose_below: float = 0.55
    """Verdict from which no further candidates are tried."""
    stop_above: float = 0.85
    """Verdict from which nothing else is tried: of 16 searches in clutter none was wrong above 0.5, and those that
    were right were mostly above 0.9."""
    presence_weight: float = 0.5
    """Weight of the network's opinion that the object is there at all beside the evidence, both as logits."""
    min_probability: float = 0.65
    """Verdict from which a candidate is the object."""
    min_probability_after_loss: float = 0.75
    """The same for an object that was tracked and lost. It may be hidden, so that all that is seen is something else,
    and a wrong place that is believed costs more than another search."""
    max_alignment_residual_after_loss: float = 0.75
    """And `CandidateFeatures.misfit` up to which it is: grey on grey convinces by its colours, wherever it is. Right
    places had at most 0.7 in 100 recordings."""
    same_place_bonus: float = 0.1
    """Added to the verdict of a candidate that lies where the object was seen last, when they are ranked."""
    good_alignment_residual: float = 0.5
    """`CandidateFeatures.misfit` below which no other mask is tried for a place."""
    min_visible_share: float = 0.15
    """Share of the model that must be seen; a verdict on less is worth nothing."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A place where the object may be, and how sure that is."""

    mask: NDArray[np.bool_]
    """What of the model at its pose is seen, ``(H, W)``."""
    candidate: Candidate
    """The segmenter's mask that led there."""
    T_cam_centre: Float64
    """Pose of the centred mesh [m] ``(4, 4)``."""
    presence_probability: float
    """Chance that the object is there, 0..1."""
    features: CandidateFeatures
    """What the verdict was made of."""


@dataclass(frozen=True, kw_only=True)
class DetectionResult:
    """What a search came to."""

    found: Detection | None
    """The object, or None: it is not there, or not to be seen well enough."""
    detections: tuple[Detection, ...]
    """All candidates that could be registered, best first."""
    segmentation: Segmentation
    """What the segmenter said, after its closest image."""

    @property
    def presence_probability(self) -> float:
        """The best presence probability, 0 without candidates."""
        return self.detections[0].presence_probability if self.detections else 0.0


class Detector:
    """Finds one object; buffers are made here.

    Args:
        item: The object; its device is used.
        segmenter: Shared by all objects.
        networks: For registration, if its schedules ask networks.
        config: When an object counts as found.
        device: Warp device name.
        embedding: The segmenter's embedding of the object if it was stored; it is made anew otherwise.
        options: Where and how the engines run.

    Raises:
        ObjectBundleError: ``embedding`` is of another object or by another network.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        segmenter: Segmenter,
        *,
        networks: NetworkBundle | None = None,
        config: DetectConfig | None = None,
        embedding: TemplateEmbedding | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        self._bundle = item.bundle
        self._segmenter = segmenter
        self._config = config or DetectConfig()
        if embedding is not None:
            segmenter.check(embedding, item.bundle)
        self.embedding = embedding or segmenter.encode_object(item)
        self._fast, self._refined = (
            Registrar(item, networks, config=schedule, options=options)
            for schedule in (self._config.fast, self._config.refined)
        )
        # Of the search under way: what the network's opinion adds to its verdicts [logits], and learned colours.
        self._prior = 0.0
        self._odds: NDArray[np.float32] | None = None
        self._feature_extractor = PoseFeatureExtractor(item, self.embedding)

    @property
    def non_finite_count(self) -> dict[str, int]:
        """Answers so far that were no numbers, by network; see `Registrar.non_finite_count`."""
        fast, refined = self._fast.non_finite_count, self._refined.non_finite_count
        return {network: fast[network] + refined[network] for network in fast}

    def detect(
        self,
        frame: Frame,
        buffers: FrameBuffers,
        *,
        track_prior: TrackPrior | None = None,
        budget: SearchBudget = FULL,
    ) -> DetectionResult:
        """Exhaust `chunks`."""
        return run_to_completion(self.chunks(frame, buffers, track_prior=track_prior, budget=budget))

    def chunks(
        self,
        frame: Frame,
        buffers: FrameBuffers,
        *,
        track_prior: TrackPrior | None = None,
        budget: SearchBudget = FULL,
    ) -> Generator[str, None, DetectionResult]:
        """Work in bounded chunks; yields the kind of work a chunk did, returns what the search came to.

        Args:
            frame: The image.
            buffers: The same, uploaded; must stay as it is until the generator ends.
            track_prior: What is known of it if it was seen before.
            budget: How much is tried.
        """
        image, segmentation = yield from self.segment(frame, track_prior)
        yield "segment"
        result: DetectionResult = yield from self.register_candidates(
            image, segmentation, buffers, track_prior=track_prior, budget=budget
        )
        return result

    def segment(
        self, frame: Frame, track_prior: TrackPrior | None = None
    ) -> Generator[str, None, tuple[ImageFeatures, Segmentation]]:
        """The first half of `chunks`: look for masks; returns what `register_candidates` takes."""
        image = self._segmenter.encode_image(frame)
        yield "look"
        return image, self._segmenter.segment(
            image, self.embedding, None if track_prior is None else track_prior.colour_log_odds
        )

    def register_candidates(
        self,
        image: ImageFeatures,
        segmentation: Segmentation,
        buffers: FrameBuffers,
        *,
        track_prior: TrackPrior | None = None,
        budget: SearchBudget = FULL,
    ) -> Generator[str, None, DetectionResult]:
        """The second half of `chunks`: register the candidates and say which one is the object, if any."""
        config, frame = self._config, image.frame
        self._prior = self._config.presence_weight * _logit(segmentation.presence_probability)
        self._odds = None if track_prior is None else track_prior.colour_log_odds
        last = None if track_prior is None else track_prior.T_cam_centre
        tried: list[Detection] = []
        if budget.tiled:
            segmentation = yield from self._segmenter.segment_tiled(image, self.embedding, segmentation, self._odds)
        rejected_regions = None if track_prior is None or budget.retry_rejected else track_prior.rejected_regions
        doubted = (
            segmentation.presence_probability is not None
            and segmentation.presence_probability < budget.min_presence_probability
        )
        asked: list[Candidate] = []
        if not doubted:
            fresh = _open(segmentation.candidates, frame, rejected_regions)[: budget.max_candidates]
            asked += yield from self._try(fresh, tried, image, buffers, last)
        if (
            budget.max_depth_proposals
            and max((detection.presence_probability for detection in tried), default=0.0) < config.propose_below
        ):
            further = depth_proposals(
                image, segmentation, self._bundle.diameter_m, self._segmenter.config, budget.max_depth_proposals
            )
            yield "segment"
            asked += yield from self._try(_open(further, frame, rejected_regions), tried, image, buffers, last)
        tried.sort(key=lambda detection: -self._rank(detection, last))
        for index in select_for_refinement(tried, budget, config.refine_margin):
            if budget.accept_fast and self._sure_already(tried[index]):
                break
            tried[index] = yield from self._with_care(frame, image, buffers, tried[index], budget)
            if self._sure(tried[index], last):
                break
        tried.sort(key=lambda detection: -self._rank(detection, last))
        found = tried[0] if tried and self._is_it(tried[0]) else None
        if found is None and rejected_regions is not None:
            for candidate in asked:
                rejected_regions.add(frame, candidate.mask)
        return DetectionResult(found=found, detections=tuple(tried), segmentation=segmentation)

    def register_mask(
        self,
        frame: Frame,
        buffers: FrameBuffers,
        mask: NDArray[np.bool_],
        *,
        track_prior: TrackPrior,
        budget: SearchBudget = REACQUIRE,
    ) -> Generator[str, None, DetectionResult]:
        """As `register_candidates`, for a mask ``(H, W)`` that somebody else made."""
        image = self._segmenter.encode_image(frame)
        yield "look"
        segmentation = segmentation_from_mask(image, mask)
        return (
            yield from self.register_candidates(image, segmentation, buffers, track_prior=track_prior, budget=budget)
        )

    def _try(
        self,
        candidates: Sequence[Candidate],
        tried: list[Detection],
        image: ImageFeatures,
        buffers: FrameBuffers,
        last: Float64 | None,
    ) -> Generator[str, None, Sequence[Candidate]]:
        """Register candidates with the short schedule, add them to ``tried``, and return them, until one is sure."""
        for count, candidate in enumerate(candidates, 1):
            detection = yield from self._examine(self._fast, image.frame, image, buffers, candidate)
            if detection is not None:
                tried.append(detection)
                if self._sure(detection, last):
                    return candidates[:count]
        return candidates

    def _with_care(
        self, frame: Frame, image: ImageFeatures, buffers: FrameBuffers, detection: Detection, budget: SearchBudget
    ) -> Generator[str, None, Detection]:
        """The same place again with the long schedule: which side the object shows is decided here.

        No mask is always the right one: what speaks for the object may lack its handle or take in a hand, and both
        turn the pose. So two are tried, and a third, the model's own at the best pose so far, if none fits well.
        """
        best = detection
        for mask in (trim_mask(detection), detection.candidate.grown, None)[: budget.max_masks]:
            if mask is None and best.features.alignment_residual < self._config.good_alignment_residual:
                break
            wanted = best.mask if mask is None else mask
            again = yield from self._examine(self._refined, frame, image, buffers, detection.candidate, wanted)
            if again is not None and _better(again, best):
                best = again
        return best

    def _examine(
        self,
        registrar: Registrar,
        frame: Frame,
        image: ImageFeatures,
        buffers: FrameBuffers,
        candidate: Candidate,
        mask: NDArray[np.bool_] | None = None,
    ) -> Generator[str, None, Detection | None]:
        """Register a candidate, or another mask for it, and gather the evidence; None if that is impossible."""
        try:
            registration = yield from registrar.chunks(buffers, candidate.mask if mask is None else mask)
        except (MaskError, UnitError):
            return None  # four pixels, or a speck: not worth a message, there may be others
        T = registration.T_cam_centre
        if registrar is self._refined:
            T = yield from self._best_side(buffers, registration.ranked)
        seen = self._feature_extractor.seen(frame, T)
        features = self._feature_extractor.extract(image, buffers, T, seen)
        yield "judge"
        prior = self._prior + self._foreign(frame, seen.mask)
        sure = (
            presence_probability(features, prior)
            if features.occluded <= 1.0 - self._config.min_visible_share
            else 0.0
        )
        return Detection(
            mask=seen.mask, candidate=candidate, T_cam_centre=T, presence_probability=sure, features=features
        )

    def _foreign(self, frame: Frame, seen: NDArray[np.bool_]) -> float:
        """What colours say against a place that are not those that tracking learned [logits, 0 or less].

        They say nothing for it: what stands beside the object may have its colours.
        """
        if self._odds is None or not seen.any():
            return 0.0
        odds = log_odds_of(frame.rgb[seen], self._odds)
        return min(_FOREIGN_WEIGHT * float(np.clip(odds, -_MOST_ODDS, _MOST_ODDS).mean()), 0.0)

    def _best_side(self, buffers: FrameBuffers, ranked: Float64) -> Generator[str, None, Float64]:
        """The pose of a last ranking that outline and depth hold least against."""
        best: Float64 = ranked[0]
        least = np.inf
        apart: list[Float64] = []
        for T in ranked:
            if any(_alike(T, other, self._bundle.diameter_m) for other in apart):
                continue
            apart.append(T)
            alignment_residual = self._feature_extractor.alignment_residual(buffers, T)
            yield "judge"
            if alignment_residual < least:
                best, least = T, alignment_residual
        return best

    def _is_it(self, detection: Detection) -> bool:
        """Whether the object counts as found there."""
        config = self._config
        if self._odds is None:
            return detection.presence_probability >= config.min_probability
        return (
            detection.presence_probability >= config.min_probability_after_loss
            and detection.features.alignment_residual <= config.max_alignment_residual_after_loss
        )

    def _sure(self, detection: Detection, last: Float64 | None) -> bool:
        """Whether nothing else can win: of two equal objects the one that was followed must."""
        return detection.presence_probability >= self._config.stop_above and (
            last is None or self._near(detection, last)
        )

    def _sure_already(self, detection: Detection) -> bool:
        """Whether care would change nothing: of 80 such after losses none was wrong."""
        return (
            detection.presence_probability >= self._config.stop_above
            and detection.features.alignment_residual < self._config.good_alignment_residual
        )

    def _rank(self, detection: Detection, last: Float64 | None) -> float:
        near = last is not None and self._near(detection, last)
        return detection.presence_probability + self._config.same_place_bonus * near

    def _near(self, detection: Detection, last: Float64) -> bool:
        gap_m = float(np.linalg.norm(detection.T_cam_centre[:3, 3] - last[:3, 3]))
        return gap_m < 0.5 * self._bundle.diameter_m


def _open(candidates: Sequence[Candidate], frame: Frame, rejected_regions: RejectedRegions | None) -> list[Candidate]:
    """Those that are no dead ends."""
    return [
        candidate
        for candidate in candidates
        if rejected_regions is None or not rejected_regions.contains(frame, candidate.mask)
    ]


def _logit(chance: float | None) -> float:
    """Of a chance, within about 3 either way; 0 of none."""
    limited = 0.5 if chance is None else float(np.clip(chance, 0.05, 0.95))
    return float(np.log(limited / (1.0 - limited)))


def _better(again: Detection, before: Detection) -> bool:
    """Whether another pose at the same place is to be preferred: by a clear gain in probability, else by its
    alignment residual."""
    gain = again.presence_probability - before.presence_probability
    if abs(gain) > _CLEARLY:
        return gain > 0.0
    return again.features.alignment_residual < before.features.alignment_residual


def _alike(T: Float64, other: Float64, diameter_m: float) -> bool:
    turn = np.arccos(np.clip((np.trace(T[:3, :3].T @ other[:3, :3]) - 1.0) / 2.0, -1.0, 1.0))
    return bool(turn < _ALIKE_RAD and np.linalg.norm(T[:3, 3] - other[:3, 3]) < _ALIKE_SHARE * diameter_m)


def select_for_refinement(tried: Sequence[Detection], budget: SearchBudget, refine_margin: float) -> list[int]:
    """Which of the places, best first, are registered with care: the best ones, and the best marked one.

    The short schedule ends on a wrong side now and then; then a right mask looks like a wrong place.

    Args:
        tried: The places.
        budget: How many, and from what verdict and score.
        refine_margin: How far behind the best verdict one may be.
    """
    bound = max(
        budget.min_refine_probability,
        max((detection.presence_probability for detection in tried), default=0.0) - refine_margin,
    )
    chosen = [
        index
        for index, detection in enumerate(tried[: budget.max_refined])
        if detection.presence_probability >= bound
    ]
    marked = max(range(len(tried)), key=lambda index: tried[index].candidate.score, default=None)
    if marked is not None and marked not in chosen and tried[marked].candidate.score >= budget.refine_above_score:
        chosen.append(marked)
    return chosen


def trim_mask(detection: Detection) -> NDArray[np.bool_]:
    """The candidate's mask without what lies clear of the model at the pose that was found, ``(H, W)``.

    A mask from colours takes in the hand that holds the object; a registration that must cover the hand too turns the
    object towards it.
    """
    x0, y0, x1, y1 = detection.candidate.box
    reach_px = max(int(_TRIM_REACH * max(x1 - x0, y1 - y0)), 2)
    kernel = np.ones((2 * reach_px + 1, 2 * reach_px + 1), dtype=np.uint8)
    near = cv2.dilate(detection.mask.astype(np.uint8), kernel) > 0
    cut = detection.candidate.mask & near
    return cut if cut.sum() > 0.3 * detection.candidate.mask.sum() else detection.candidate.mask
