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
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect.pose_features import CandidateFeatures, PoseFeatureExtractor, verdict
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.reacquire.rejected_regions import RejectedRegions
from storm_edge.pipeline.register.registrar import DEFAULT, RegisterConfig, Registrar, RegistrationStage
from storm_edge.pipeline.segment.depth_proposals import depth_proposals
from storm_edge.pipeline.segment.segmenter import (
    Candidate,
    ImageFeatures,
    Segmentation,
    Segmenter,
    TemplateEmbedding,
    made_of,
)

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

    close: bool
    """Whether the segmenter looks at parts of the image, too (`pipeline.segment.tiling`)."""
    candidates: int
    """Most candidates of the segmenter that are registered."""
    least_opinion: float
    """Nothing is registered where the network's opinion of the object being there is below this."""
    depth_proposals: int
    """Most further candidates, whatever their colours (`pipeline.segment.depth_proposals`), if none of those is
    likely."""
    careful_count: int
    """How many places are registered with care."""
    hopeless: float
    """Verdict below which a place is not."""
    masks: int
    """Masks tried with care at a place."""
    again: bool
    """Whether what was turned down before is looked at again (`pipeline.reacquire.rejected_regions`)."""
    trusts_quick: bool
    """Whether a sure verdict on a pose that fits well is final though the schedule was short."""
    well_marked: float
    """Score of a candidate from which its place is registered with care, whatever the short schedule came to."""


FULL = SearchBudget(
    close=True,
    candidates=4,
    least_opinion=0.0,
    depth_proposals=8,
    careful_count=2,
    hopeless=0.02,
    masks=3,
    again=True,
    trusts_quick=False,
    well_marked=0.25,
)
"""For an object that was never seen: nothing else waits for the answer."""
REACQUIRE = SearchBudget(
    close=False,
    candidates=2,
    least_opinion=0.25,
    depth_proposals=0,
    careful_count=1,
    hopeless=0.25,
    masks=1,
    again=False,
    trusts_quick=True,
    well_marked=1.0,
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
class FindConfig:
    """When an object counts as found."""

    quick: RegisterConfig = QUICK
    """How candidates are registered at first."""
    careful: RegisterConfig = DEFAULT
    """How the best ones are registered then."""
    contender: float = 0.3
    """How far behind the best verdict a candidate may be to be registered with care, too."""
    likely: float = 0.55
    """Verdict from which no further candidates are tried."""
    sure: float = 0.85
    """Verdict from which nothing else is tried: of 16 searches in clutter none was wrong above 0.5, and those that
    were right were mostly above 0.9."""
    presence_weight: float = 0.5
    """Weight of the network's opinion that the object is there at all beside the evidence, both as logits."""
    min_verdict: float = 0.65
    """Verdict from which a candidate is the object."""
    min_verdict_again: float = 0.75
    """The same for an object that was tracked and lost. It may be hidden, so that all that is seen is something else,
    and a wrong place that is believed costs more than another search."""
    max_alignment_residual_again: float = 0.75
    """And `CandidateFeatures.misfit` up to which it is: grey on grey convinces by its colours, wherever it is. Right
    places had at most 0.7 in 100 recordings."""
    same_place_bonus: float = 0.1
    """Added to the verdict of a candidate that lies where the object was seen last, when they are ranked."""
    fits_well: float = 0.5
    """`CandidateFeatures.misfit` below which no other mask is tried for a place."""
    min_seen: float = 0.15
    """Share of the model that must be seen; a verdict on less is worth nothing."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A place where the object may be, and how sure that is."""

    mask: NDArray[np.bool_]
    """What of the model at its pose is seen, ``(H, W)``."""
    candidate: Candidate
    """The segmenter's mask that led there."""
    T_cam_centre: Float64
    """Pose of the centred mesh [m] ``(4, 4)``."""
    verdict: float
    """Chance that the object is there, 0..1."""
    evidence: CandidateFeatures
    """What the verdict was made of."""


@dataclass(frozen=True, kw_only=True)
class DetectionResult:
    """What a search came to."""

    found: Finding | None
    """The object, or None: it is not there, or not to be seen well enough."""
    tried: tuple[Finding, ...]
    """All candidates that could be registered, best first."""
    segmentation: Segmentation
    """What the segmenter said, after its closest look."""

    @property
    def verdict(self) -> float:
        """The best verdict, 0 without candidates."""
        return self.tried[0].verdict if self.tried else 0.0


class Finder:
    """Finds one object; buffers are made here.

    Args:
        bundle: The onboarded object.
        segmenter: Shared by all objects.
        networks: For registration, if its schedules ask networks.
        config: When an object counts as found.
        device: Warp device name.
        look: The segmenter's look of the object if it was saved; it is made anew otherwise.
        options: Where and how the engines run.

    Raises:
        ObjectBundleError: ``look`` is of another object or by another network.
    """

    def __init__(
        self,
        bundle: ObjectBundle,
        segmenter: Segmenter,
        *,
        networks: NetworkBundle | None = None,
        config: FindConfig | None = None,
        device: str = "cpu",
        look: TemplateEmbedding | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        self._bundle = bundle
        self._segmenter = segmenter
        self._config = config or FindConfig()
        if look is not None:
            segmenter.check(look, bundle)
        self.look = look or segmenter.encode(bundle)
        self._quick, self._careful = (
            Registrar(bundle, networks, config=schedule, device=device, options=options)
            for schedule in (self._config.quick, self._config.careful)
        )
        # Of the search under way: what the network's opinion adds to its verdicts [logits], and learned colours.
        self._prior = 0.0
        self._odds: NDArray[np.float32] | None = None
        self._feature_extractor = PoseFeatureExtractor(bundle, self.look, device=device)

    @property
    def non_finite_count(self) -> dict[str, int]:
        """Answers so far that were no numbers, by network; see `Registrar.non_finite_count`."""
        quick, careful = self._quick.non_finite_count, self._careful.non_finite_count
        return {network: quick[network] + careful[network] for network in quick}

    def search(
        self, frame: Frame, buffers: FrameBuffers, *, known: TrackPrior | None = None, budget: SearchBudget = FULL
    ) -> DetectionResult:
        """Exhaust `chunks`."""
        return run_to_completion(self.chunks(frame, buffers, known=known, budget=budget))

    def chunks(
        self, frame: Frame, buffers: FrameBuffers, *, known: TrackPrior | None = None, budget: SearchBudget = FULL
    ) -> Generator[str, None, DetectionResult]:
        """Work in bounded chunks; yields the kind of work a chunk did, returns what the search came to.

        Args:
            frame: The image.
            buffers: The same, uploaded; must stay as it is until the generator ends.
            known: What is known of it if it was seen before.
            budget: How much is tried.
        """
        look, segmentation = yield from self.segment(frame, known)
        yield "segment"
        result: DetectionResult = yield from self.examine(look, segmentation, buffers, known=known, budget=budget)
        return result

    def segment(
        self, frame: Frame, known: TrackPrior | None = None
    ) -> Generator[str, None, tuple[ImageFeatures, Segmentation]]:
        """The first half of `chunks`: look for masks; returns what `examine` takes."""
        look = self._segmenter.look(frame)
        yield "look"
        return look, self._segmenter.find(look, self.look, None if known is None else known.colour_log_odds)

    def examine(
        self,
        look: ImageFeatures,
        segmentation: Segmentation,
        buffers: FrameBuffers,
        *,
        known: TrackPrior | None = None,
        budget: SearchBudget = FULL,
    ) -> Generator[str, None, DetectionResult]:
        """The second half of `chunks`: register the candidates and say which one is the object, if any."""
        config, frame = self._config, look.frame
        self._prior = self._config.presence_weight * _logit(segmentation.opinion)
        self._odds = None if known is None else known.colour_log_odds
        last = None if known is None else known.T_cam_centre
        tried: list[Finding] = []
        if budget.close:
            segmentation = yield from self._segmenter.find_tiled(look, self.look, segmentation, self._odds)
        rejected_regions = None if known is None or budget.again else known.rejected_regions
        doubted = segmentation.opinion is not None and segmentation.opinion < budget.least_opinion
        asked: list[Candidate] = []
        if not doubted:
            fresh = _open(segmentation.candidates, frame, rejected_regions)[: budget.candidates]
            asked += yield from self._try(fresh, tried, look, buffers, last)
        if budget.depth_proposals and max((finding.verdict for finding in tried), default=0.0) < config.likely:
            further = depth_proposals(
                look, segmentation, self._bundle.diameter_m, self._segmenter.config, budget.depth_proposals
            )
            yield "segment"
            asked += yield from self._try(_open(further, frame, rejected_regions), tried, look, buffers, last)
        tried.sort(key=lambda finding: -self._rank(finding, last))
        for index in select_for_refinement(tried, budget, config.contender):
            if budget.trusts_quick and self._sure_already(tried[index]):
                break
            tried[index] = yield from self._with_care(frame, look, buffers, tried[index], budget)
            if self._sure(tried[index], last):
                break
        tried.sort(key=lambda finding: -self._rank(finding, last))
        found = tried[0] if tried and self._is_it(tried[0]) else None
        if found is None and rejected_regions is not None:
            for candidate in asked:
                rejected_regions.add(frame, candidate.mask)
        return DetectionResult(found=found, tried=tuple(tried), segmentation=segmentation)

    def examine_mask(
        self,
        frame: Frame,
        buffers: FrameBuffers,
        mask: NDArray[np.bool_],
        *,
        known: TrackPrior,
        budget: SearchBudget = REACQUIRE,
    ) -> Generator[str, None, DetectionResult]:
        """As `examine`, for a mask ``(H, W)`` that somebody else made."""
        look = self._segmenter.look(frame)
        yield "look"
        segmentation = made_of(look, mask)
        return (yield from self.examine(look, segmentation, buffers, known=known, budget=budget))

    def _try(
        self,
        candidates: Sequence[Candidate],
        tried: list[Finding],
        look: ImageFeatures,
        buffers: FrameBuffers,
        last: Float64 | None,
    ) -> Generator[str, None, Sequence[Candidate]]:
        """Register candidates with the short schedule, add them to ``tried``, and return them, until one is sure."""
        for count, candidate in enumerate(candidates, 1):
            finding = yield from self._examine(self._quick, look.frame, look, buffers, candidate)
            if finding is not None:
                tried.append(finding)
                if self._sure(finding, last):
                    return candidates[:count]
        return candidates

    def _with_care(
        self, frame: Frame, look: ImageFeatures, buffers: FrameBuffers, finding: Finding, budget: SearchBudget
    ) -> Generator[str, None, Finding]:
        """The same place again with the long schedule: which side the object shows is decided here.

        No mask is always the right one: what speaks for the object may lack its handle or take in a hand, and both
        turn the pose. So two are tried, and a third, the model's own at the best pose so far, if none fits well.
        """
        best = finding
        for mask in (trim_mask(finding), finding.candidate.grown, None)[: budget.masks]:
            if mask is None and best.evidence.alignment_residual < self._config.fits_well:
                break
            wanted = best.mask if mask is None else mask
            again = yield from self._examine(self._careful, frame, look, buffers, finding.candidate, wanted)
            if again is not None and _better(again, best):
                best = again
        return best

    def _examine(
        self,
        registrar: Registrar,
        frame: Frame,
        look: ImageFeatures,
        buffers: FrameBuffers,
        candidate: Candidate,
        mask: NDArray[np.bool_] | None = None,
    ) -> Generator[str, None, Finding | None]:
        """Register a candidate, or another mask for it, and gather the evidence; None if that is impossible."""
        try:
            registration = yield from registrar.chunks(buffers, candidate.mask if mask is None else mask)
        except (MaskError, UnitError):
            return None  # four pixels, or a speck: not worth a message, there may be others
        T = registration.T_cam_centre
        if registrar is self._careful:
            T = yield from self._best_side(buffers, registration.ranked)
        seen = self._feature_extractor.seen(frame, T)
        evidence = self._feature_extractor.extract(look, buffers, T, seen)
        yield "judge"
        prior = self._prior + self._foreign(frame, seen.mask)
        sure = verdict(evidence, prior) if evidence.occluded <= 1.0 - self._config.min_seen else 0.0
        return Finding(mask=seen.mask, candidate=candidate, T_cam_centre=T, verdict=sure, evidence=evidence)

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

    def _is_it(self, finding: Finding) -> bool:
        """Whether the object counts as found there."""
        config = self._config
        if self._odds is None:
            return finding.verdict >= config.min_verdict
        return (
            finding.verdict >= config.min_verdict_again
            and finding.evidence.alignment_residual <= config.max_alignment_residual_again
        )

    def _sure(self, finding: Finding, last: Float64 | None) -> bool:
        """Whether nothing else can win: of two equal objects the one that was followed must."""
        return finding.verdict >= self._config.sure and (last is None or self._near(finding, last))

    def _sure_already(self, finding: Finding) -> bool:
        """Whether care would change nothing: of 80 such after losses none was wrong."""
        return finding.verdict >= self._config.sure and finding.evidence.alignment_residual < self._config.fits_well

    def _rank(self, finding: Finding, last: Float64 | None) -> float:
        near = last is not None and self._near(finding, last)
        return finding.verdict + self._config.same_place_bonus * near

    def _near(self, finding: Finding, last: Float64) -> bool:
        gap_m = float(np.linalg.norm(finding.T_cam_centre[:3, 3] - last[:3, 3]))
        return gap_m < 0.5 * self._bundle.diameter_m


def _open(candidates: Sequence[Candidate], frame: Frame, rejected_regions: RejectedRegions | None) -> list[Candidate]:
    """Those that are no dead ends."""
    return [
        candidate
        for candidate in candidates
        if rejected_regions is None or not rejected_regions.holds(frame, candidate.mask)
    ]


def _logit(chance: float | None) -> float:
    """Of a chance, within about 3 either way; 0 of none."""
    limited = 0.5 if chance is None else float(np.clip(chance, 0.05, 0.95))
    return float(np.log(limited / (1.0 - limited)))


def _better(again: Finding, before: Finding) -> bool:
    """Whether another pose at the same place is to be preferred: clearly by its verdict, else by its misfit."""
    gain = again.verdict - before.verdict
    if abs(gain) > _CLEARLY:
        return gain > 0.0
    return again.evidence.alignment_residual < before.evidence.alignment_residual


def _alike(T: Float64, other: Float64, diameter_m: float) -> bool:
    turn = np.arccos(np.clip((np.trace(T[:3, :3].T @ other[:3, :3]) - 1.0) / 2.0, -1.0, 1.0))
    return bool(turn < _ALIKE_RAD and np.linalg.norm(T[:3, 3] - other[:3, 3]) < _ALIKE_SHARE * diameter_m)


def select_for_refinement(tried: Sequence[Finding], budget: SearchBudget, contender: float) -> list[int]:
    """Which of the places, best first, are registered with care: the best ones, and the best marked one.

    The short schedule ends on a wrong side now and then; then a right mask looks like a wrong place.

    Args:
        tried: The places.
        budget: How many, and from what verdict and score.
        contender: How far behind the best verdict one may be.
    """
    bound = max(budget.hopeless, max((finding.verdict for finding in tried), default=0.0) - contender)
    chosen = [index for index, finding in enumerate(tried[: budget.careful_count]) if finding.verdict >= bound]
    marked = max(range(len(tried)), key=lambda index: tried[index].candidate.score, default=None)
    if marked is not None and marked not in chosen and tried[marked].candidate.score >= budget.well_marked:
        chosen.append(marked)
    return chosen


def trim_mask(finding: Finding) -> NDArray[np.bool_]:
    """The candidate's mask without what lies clear of the model at the pose that was found, ``(H, W)``.

    A mask from colours takes in the hand that holds the object; a registration that must cover the hand too turns the
    object towards it.
    """
    x0, y0, x1, y1 = finding.candidate.box
    reach_px = max(int(_TRIM_REACH * max(x1 - x0, y1 - y0)), 2)
    kernel = np.ones((2 * reach_px + 1, 2 * reach_px + 1), dtype=np.uint8)
    near = cv2.dilate(finding.mask.astype(np.uint8), kernel) > 0
    cut = finding.candidate.mask & near
    return cut if cut.sum() > 0.3 * finding.candidate.mask.sum() else finding.candidate.mask
