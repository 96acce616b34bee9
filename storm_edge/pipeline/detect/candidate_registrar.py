"""From one mask to one scored detection: registration, the choice among its last poses, features and probability.

`pipeline.detect.detector` decides which masks are registered, and what becomes of the detections.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import MaskError, UnitError
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect import candidate_scoring as scoring
from storm_edge.pipeline.detect.config import DetectConfig
from storm_edge.pipeline.detect.detection import Detection, SearchState
from storm_edge.pipeline.detect.mask_trimming import trim_mask
from storm_edge.pipeline.detect.pose_features import (
    CandidateFeatures,
    PoseFeatureExtractor,
    presence_probability,
)
from storm_edge.pipeline.detect.shape_crop import PlaneMap
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence, ShapeEvidenceExtractor, shape_probability
from storm_edge.pipeline.refine.config import GeometricConfig
from storm_edge.pipeline.refine.lone_scores import LonePoseScorer
from storm_edge.pipeline.register.registrar import Registrar, Registration
from storm_edge.pipeline.segment.segmentation import Candidate
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding

Float64 = NDArray[np.float64]


class CandidateRegistrar:
    """Registers candidates of one object, by a fast and by a refined schedule; buffers are made here.

    Args:
        item: The object; its device is used.
        networks: For registration, if its schedules ask networks.
        embedding: The segmenter's embedding of the object.
        config: Schedules and scores.
        scorer: A ScoreNet that knows single poses, if there is one.
        geometry: The geometric refinement of its registrations.
        options: Where and how the engines run.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        networks: NetworkBundle | None,
        embedding: TemplateEmbedding,
        config: DetectConfig,
        *,
        scorer: LonePoseScorer | None = None,
        geometry: GeometricConfig | None,
        options: EngineOptions | None,
    ) -> None:
        self._diameter_m, self._config, self._scorer = item.bundle.diameter_m, config, scorer
        self._fast, self._refined = (
            Registrar(item, networks, config=schedule, geometry=geometry, options=options)
            for schedule in (config.fast, config.refined)
        )
        self._feature_extractor = PoseFeatureExtractor(item, embedding, config.features, geometry)
        self._shape, self._bundle = ShapeEvidenceExtractor(item, config.shape), item.bundle

    @property
    def non_finite_count(self) -> dict[str, int]:
        """Answers so far that were no numbers, by network; see `Registrar.non_finite_count`."""
        fast, refined = self._fast.non_finite_count, self._refined.non_finite_count
        return {network: fast[network] + refined[network] for network in fast}

    def register_fast(self, search: SearchState, candidate: Candidate) -> Generator[str, None, Detection | None]:
        """Register a candidate's mask with the fast schedule; None if that is impossible.

        The mask of a candidate by shape is what agrees with its first pose, and speaks for that pose's side. All that
        stands out there does not. What the segmenter speaks for is registered from both where its own mask does not
        convince: that may lack a part of the object, or take in a hand.
        """
        if candidate.is_by_shape:
            return (yield from self._detection(search, self._fast, candidate, candidate.grown, candidate.starts))
        best = yield from self._detection(search, self._fast, candidate, candidate.mask)
        if search.budget.both_masks and scoring.is_worth_all_that_stands_out(best, candidate, self._config):
            other = yield from self._detection(search, self._fast, candidate, candidate.grown)
            if other is not None and (best is None or scoring.is_better(other, best, self._config)):
                best = other
        return best

    def refine(self, search: SearchState, first: Detection) -> Generator[str, None, Detection]:
        """The same place again with the refined schedule: which side the object shows is decided here.

        No mask is always the right one: what speaks for the object may lack its handle or take in a hand, and both
        turn the pose. So two are tried, and a third, the model's own at the best pose so far, if none fits well. One
        is, where the first of them does not speak for the place. Of an improbable pose nothing around it is tried.
        """
        best, candidate = first, first.candidate
        if self._config.chosen_by == "ranking":
            ranked = yield from self._detection(search, self._refined, candidate, candidate.mask)
            return first if ranked is None else ranked
        if first.presence_probability >= search.budget.min_refine_probability:
            best = yield from self._from_around(search, best)
        around = best
        masks = (trim_mask(first, self._config.trimming), candidate.grown, None)[: search.budget.max_masks]
        for number, mask in enumerate(masks):
            if number and not scoring.is_worth_another_mask(best, search.budget):
                break
            if mask is None and best.features.alignment_residual < self._config.good_alignment_residual:
                break
            other = yield from self._detection(search, self._refined, candidate, best.mask if mask is None else mask)
            if other is not None and scoring.is_better(other, best, self._config):
                best = other
        return best if best is around else (yield from self._from_around(search, best))

    def _from_around(self, search: SearchState, best: Detection) -> Generator[str, None, Detection]:
        """A doubtful pose registered once more from itself and its neighbours, with what is seen of it as mask.

        A mask that takes in a hand, or lacks a part, leaves a nearly right pose beside the right one; the model's own
        at this pose does not. Each step towards the right one makes that mask better.
        """
        for _ in range(search.budget.around_rounds):
            if best.presence_probability >= self._config.stop_above:
                break
            starts = neighbours(best.T_cam_centre, np.deg2rad(self._config.around_deg))
            other = yield from self._detection(search, self._refined, best.candidate, best.mask, starts)
            if other is None or not scoring.is_better(other, best, self._config):
                break
            best = other
        return best

    def scored(self, search: SearchState, candidate: Candidate, T: Float64) -> Detection:
        """A pose ``(4, 4)`` that a candidate led to, with all that speaks for and against it."""
        visible = self._feature_extractor.visible_model(search.frame, T)
        features = self._feature_extractor.extract(search.image, search.buffers, T, visible)
        evidence = self._shape.measure(search.frame, T, PlaneMap.of_small(search.image.small))
        return Detection(
            mask=visible.mask,
            candidate=candidate,
            T_cam_centre=T,
            presence_probability=self._probability(search, features, evidence, visible.mask),
            features=features,
            evidence=evidence,
        )

    def _detection(
        self,
        search: SearchState,
        registrar: Registrar,
        candidate: Candidate,
        mask: NDArray[np.bool_],
        starts: Float64 | None = None,
    ) -> Generator[str, None, Detection | None]:
        """Register a mask for a candidate and score the pose; None if that is impossible."""
        try:
            registration = yield from registrar.chunks(search.buffers, mask, starts=starts)
        except (MaskError, UnitError):
            return None  # four pixels, or a speck: not worth a message, there may be others
        if registrar is self._fast and self._is_hopeless(search, registration):
            return None  # most are: to score them would take as long as to register them
        best: Detection | None = None
        for T in self._sides(search, registrar, registration, candidate):
            detection = self.scored(search, candidate, T)
            yield "judge"
            search.tried.append(detection)
            if best is None or scoring.is_better(detection, best, self._config):
                best = detection
            if registrar is self._fast and best.presence_probability >= self._config.stop_above:
                break
        return best

    def _is_hopeless(self, search: SearchState, registration: Registration) -> bool:
        """Whether too little agrees with the best pose of a fast registration, and ScoreNet does not know better."""
        if registration.visible >= self._config.min_visible:
            return False
        if self._scorer is None:
            return True
        logits = self._scorer.logits(search.buffers, registration.T_cam_centre[None])
        return float(logits[0]) < self._config.hidden_logit

    def _sides(
        self, search: SearchState, registrar: Registrar, registration: Registration, candidate: Candidate
    ) -> list[Float64]:
        """The poses that a registration is scored at: its best, or each side that its last ranking has.

        Of the many places that only a shape suggests the best side must do. None is scored after one from which
        nothing else is tried. Where ScoreNet knows single poses, it says which sides are worth it.
        """
        config = self._config
        is_quick = registrar is not self._refined and not scoring.is_spoken_for(candidate, config)
        if config.chosen_by != "alignment" or (is_quick and (self._scorer is None or candidate.is_by_shape)):
            return [registration.T_cam_centre]
        apart: list[Float64] = []
        for T in registration.ranked:
            if not any(scoring.is_same_pose(T, other, self._diameter_m, config) for other in apart):
                apart.append(T)
        count = 1 if is_quick else config.max_sides
        if self._scorer is None or len(apart) <= count:
            return apart
        logits = self._scorer.logits(search.buffers, np.stack(apart))
        return [apart[number] for number in np.argsort(-logits, kind="stable")[:count]]

    def _probability(
        self,
        search: SearchState,
        features: CandidateFeatures,
        evidence: ShapeEvidence | None,
        visible: NDArray[np.bool_],
    ) -> float:
        """How probable the object is at a pose; what is asked depends on the colours that its model has.

        One grey says little for a place, and other colours say much against it: there all that is known and the shape
        alone count alike.
        """
        config = self._config
        learned_logit = scoring.learned_colour_logit(search.frame, visible, search.colour_log_odds, config.presence)
        if not self._bundle.has_colours:
            if evidence is None:
                return 0.0
            return presence_probability(features, evidence, learned_logit, config.presence_without_colours)
        by_all = presence_probability(features, evidence, search.prior_logit + learned_logit, config.presence)
        if not self._bundle.is_colourless:
            return by_all
        by_shape = shape_probability(evidence, learned_logit, config.shape)
        return float(expit((scoring.logit_of(by_shape) + scoring.logit_of(by_all)) / 2.0))


def neighbours(T: Float64, angle: float) -> Float64:
    """A pose ``(4, 4)`` and those turned about the axes of the camera, both ways, in place ``(7, 4, 4)``.

    Args:
        T: The pose.
        angle: By how much [rad].
    """
    turns = np.concatenate([np.zeros((1, 3)), angle * np.eye(3), -angle * np.eye(3)])
    return make_T(np.stack([exp_so3(turn) for turn in turns]) @ T[:3, :3], T[:3, 3])
