"""Detect: candidates of the segmenter, verified by registering them.

A mask can look right and be wrong; a pose at which the rendered model agrees with depth, outline and colour seldom
is. So every candidate is registered with a fast schedule and scored; the best ones are refined; and the object counts
as found only where its presence probability is high. The highest wins, and a detection at the object's last place
wins a close call, so that of two equal objects the same one is found every time.

The work comes in chunks, as in `pipeline.register.registrar`, for loops that must not wait. Here is what is tried in
which order; `pipeline.detect.candidate_registrar` makes detections, and decisions between them are in
`pipeline.detect.candidate_scoring`. The state of a search is a `SearchState`, and a detector keeps none of it.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.frame import Frame
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect import candidate_scoring as scoring
from storm_edge.pipeline.detect.candidate_registrar import CandidateRegistrar
from storm_edge.pipeline.detect.closer_look import CloserLook
from storm_edge.pipeline.detect.config import DetectConfig, SearchBudget
from storm_edge.pipeline.detect.detection import Detection, DetectionResult, SearchState, TrackPrior
from storm_edge.pipeline.detect.merged_candidates import interleaved, without_repeated
from storm_edge.pipeline.detect.taken_places import (
    TakenPoses,
    hull_mask,
    is_same_place,
    least_extent_m,
    nothing_taken,
)
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.config import GeometricConfig
from storm_edge.pipeline.refine.lone_scores import open_lone_scorer
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.segmentation import Candidate, Segmentation, segmentation_from_mask
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.surfaces import surface_candidates
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.templates.shape_search import ShapeSearch

_log = logging.getLogger(__name__)


class Detector:
    """Finds one object; buffers are made here.

    Args:
        item: The object; its device is used.
        segmenter: Shared by all objects.
        networks: For registration, if its schedules ask networks; a ScoreNet that knows single poses is asked anyway.
        config: What is tried, and when an object counts as found.
        side: How a doubtful pose is settled.
        geometry: The geometric refinement of its registrations.
        embedding: The segmenter's embedding of the object if it was stored; it is made anew otherwise.
        options: Where and how the engines run.

    Raises:
        ObjectBundleError: ``embedding`` is of another object or by another network.

    Attributes:
        taken: Poses of other instances of the model in a frame: where one is, this object is not found again.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        segmenter: Segmenter,
        *,
        networks: NetworkBundle | None = None,
        config: DetectConfig | None = None,
        side: SideConfig | None = None,
        geometry: GeometricConfig | None = None,
        embedding: TemplateEmbedding | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        self._object_id, self._diameter_m = item.bundle.object_id, item.bundle.diameter_m
        self._vertices, self._has_colours = item.bundle.mesh_lod.vertices, item.bundle.has_colours
        self._is_colourless = item.bundle.is_colourless
        self._least_extent_m = least_extent_m(item.bundle.mesh_lod)
        self.taken: TakenPoses = nothing_taken
        self._segmenter = segmenter
        self._config = config or DetectConfig()
        if embedding is not None:
            segmenter.check(embedding, item.bundle)
        self.embedding = embedding or segmenter.encode_object(item)
        # It learned that the same shape in other colours is another object: to a model without any all are others.
        self._scorer = open_lone_scorer(item, networks, options) if self._has_colours else None
        # Made here, not at the first doubt: a search is beside the loop. Without colours there is no small print.
        self._closer_look: CloserLook | None = None
        if self._has_colours and (self._config.full.closer_look or self._config.reacquire.closer_look):
            self._closer_look = CloserLook(item, side or SideConfig(), self._config.closer, self._scorer)
        self._shape_search = ShapeSearch(item, self._config.templates, segmenter.config.proposals)
        self._registrar = CandidateRegistrar(
            item, networks, self.embedding, self._config, scorer=self._scorer, geometry=geometry, options=options
        )

    @property
    def non_finite_count(self) -> dict[str, int]:
        """Answers so far that were no numbers, by network; see `Registrar.non_finite_count`."""
        counts = self._registrar.non_finite_count
        by_pose = 0 if self._scorer is None else self._scorer.non_finite_count
        return counts | {"score": counts["score"] + by_pose}

    def detect(
        self,
        frame: Frame,
        buffers: FrameBuffers,
        *,
        track_prior: TrackPrior | None = None,
        budget: SearchBudget | None = None,
    ) -> DetectionResult:
        """Exhaust `chunks`."""
        return run_to_completion(self.chunks(frame, buffers, track_prior=track_prior, budget=budget))

    def chunks(
        self,
        frame: Frame,
        buffers: FrameBuffers,
        *,
        track_prior: TrackPrior | None = None,
        budget: SearchBudget | None = None,
    ) -> Generator[str, None, DetectionResult]:
        """Work in bounded chunks; yields the kind of work a chunk did, returns what the search came to.

        Args:
            frame: The image.
            buffers: The same, uploaded; must stay as it is until the generator ends.
            track_prior: What is known of the object if it was seen before.
            budget: How much is tried; None takes that of a full search.
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
        """The first half of `chunks`: make candidate masks; returns what `register_candidates` takes."""
        image = self._segmenter.encode_image(frame).for_object(self._diameter_m)
        yield "encode"
        colour_log_odds = None if track_prior is None else track_prior.colour_log_odds
        return image, self._segmenter.segment(image, self.embedding, colour_log_odds)

    def register_mask(
        self,
        frame: Frame,
        buffers: FrameBuffers,
        mask: NDArray[np.bool_],
        *,
        track_prior: TrackPrior,
        budget: SearchBudget | None = None,
    ) -> Generator[str, None, DetectionResult]:
        """As `register_candidates`, for a mask ``(H, W)`` from elsewhere alone; the budget is `REACQUIRE` if None."""
        image = self._segmenter.encode_image(frame).for_object(self._diameter_m)
        yield "encode"
        result: DetectionResult = yield from self.register_candidates(
            image,
            segmentation_from_mask(image, mask),
            buffers,
            track_prior=track_prior,
            budget=replace(
                budget or self._config.reacquire, max_shape_proposals=0, max_plain_shape_proposals=0, max_surfaces=0
            ),
        )
        return result

    def register_candidates(
        self,
        image: ImageFeatures,
        segmentation: Segmentation,
        buffers: FrameBuffers,
        *,
        track_prior: TrackPrior | None = None,
        budget: SearchBudget | None = None,
    ) -> Generator[str, None, DetectionResult]:
        """The second half of `chunks`: register the candidates and say which one is the object, if any."""
        search = SearchState(
            image=image,
            buffers=buffers,
            track_prior=track_prior,
            budget=budget or self._config.full,
            prior_logit=scoring.prior_logit(segmentation.presence_probability, self._config.presence),
            max_taken_share=self._config.max_taken_share,
        )
        taken = self.taken(search.frame)
        if taken:
            search.taken_mask = hull_mask(self._vertices, taken, search.frame)
        marked = self._marked(search, segmentation)
        search.proposed = marked[:1]
        yield from self._register_fast(search, search.proposed)
        if not self._is_certain(search):
            by_shape = yield from self._by_shape(search, marked)
            surfaces = without_repeated(self._surfaces(search), marked, self._config.max_iou)
            more = interleaved(by_shape, [*marked[1:], *surfaces], self._config.max_iou)
            search.proposed += more
            yield from self._register_fast(search, more)
        if search.budget.tiled and search.best_probability < self._config.tiled_below:
            segmentation = yield from self._segmenter.segment_tiled(
                image, self.embedding, segmentation, search.colour_log_odds
            )
            marked = self._marked(search, segmentation)
            more = without_repeated(marked, search.proposed, self._config.max_iou)
            search.proposed += more
            yield from self._register_fast(search, more)
        yield from self._refine_best(search)
        yield from self._look_closer(search)
        return self._result(search, segmentation)

    def _by_shape(self, search: SearchState, marked: Sequence[Candidate]) -> Generator[str, None, list[Candidate]]:
        """Candidates by shape that are to be registered: where the segmenter speaks for a place, and the best."""
        budget = search.budget
        count = budget.max_plain_shape_proposals if self._is_colourless else budget.max_shape_proposals
        if not count:
            return []
        spoken_for = [one for one in marked if self._has_colours and scoring.is_spoken_for(one, self._config)]
        at_marks, anywhere = yield from self._shape_search.chunks(search.image, spoken_for)
        places = list(search.open_candidates(at_marks))
        for place in itertools.islice(search.open_candidates(anywhere), count):
            places.append(place)
            yield "templates"
        return places

    def _surfaces(self, search: SearchState) -> list[Candidate]:
        """Surfaces that have the object's colours; nothing where those say little."""
        count = search.budget.max_surfaces
        if not count or not self._has_colours or self._is_colourless:
            return []
        config = self._segmenter.config
        found = surface_candidates(
            search.image, self.embedding.colours, self._diameter_m, config.proposals, config.surfaces
        )
        return list(itertools.islice(search.open_candidates(found), count))

    def _marked(self, search: SearchState, segmentation: Segmentation) -> list[Candidate]:
        """The segmenter's candidates that are to be registered; none where its network says that there is nothing."""
        presence = segmentation.presence_probability
        if presence is not None and presence < search.budget.min_presence_probability:
            return []
        return list(itertools.islice(search.open_candidates(segmentation.candidates), search.budget.max_candidates))

    def _register_fast(self, search: SearchState, candidates: Sequence[Candidate]) -> Generator[str, None, None]:
        """Register candidates with the fast schedule until one ends the search."""
        for candidate in candidates:
            search.registered.append(candidate)
            detection = yield from self._registrar.register_fast(search, candidate)
            if detection is None or self._is_taken(search, detection) or search.is_rejected(detection.mask):
                continue
            self._add(search, detection)
            if len(search.registered) >= self._config.tried_at_least and self._ends_search(search):
                return

    def _add(self, search: SearchState, detection: Detection) -> None:
        """One more detection; with another of its place, of the other kind, it makes one."""
        for index, before in enumerate(search.detections):
            if scoring.is_one_place(detection, before, self._diameter_m, self._config):
                search.detections[index] = scoring.joined(detection, before, self._config)
                return
        search.detections.append(detection)

    def _refine_best(self, search: SearchState) -> Generator[str, None, None]:
        """Refine the best detections, until one ends the search."""
        self._sort(search)
        detections, budget = search.detections, search.budget
        for index in scoring.select_for_refinement(detections, budget, self._config.refine_margin):
            if budget.accept_fast and scoring.needs_no_refinement(detections[index], self._config):
                break
            if not scoring.is_well_marked(detections[index], budget) and self._is_denied(search, detections[index]):
                continue
            refined = yield from self._registrar.refine(search, detections[index])
            detections[index] = detections[index] if self._is_taken(search, refined) else refined
            if self._ends(search, detections[index]):
                break
        self._sort(search)

    def _is_denied(self, search: SearchState, detection: Detection) -> bool:
        """Whether a ScoreNet that knows single poses sees another object there, whatever else is like it."""
        if self._scorer is None:
            return False
        logit = float(self._scorer.logits(search.buffers, detection.T_cam_centre[None])[0])
        return logit < self._config.min_refine_logit

    def _look_closer(self, search: SearchState) -> Generator[str, None, None]:
        """Look closer at the best detections while they are doubtful."""
        detections, closer_look = search.detections, self._closer_look
        if closer_look is None or not self._looks_closer(search):
            return
        for index in range(min(self._config.closer.count, len(detections))):
            first = detections[index]
            if not closer_look.is_due(search, first):
                break
            scored = functools.partial(self._registrar.scored, search, first.candidate)
            looked = yield from closer_look.chunks(search, first, scored)
            detections[index] = first if self._is_taken(search, looked) else looked
        self._sort(search)

    def _is_taken(self, search: SearchState, detection: Detection) -> bool:
        """Whether another instance is there."""
        T = detection.T_cam_centre
        return any(is_same_place(T, other, self._least_extent_m) for other in self.taken(search.frame))

    def _ends_search(self, search: SearchState) -> bool:
        """Whether one of the detections so far does."""
        return any(self._ends(search, detection) for detection in search.detections)

    def _is_certain(self, search: SearchState) -> bool:
        """Whether one is that nothing else could be, and that refinement would not change."""
        return search.budget.accept_fast and any(
            self._ends(search, one) and scoring.needs_no_refinement(one, self._config) for one in search.detections
        )

    def _ends(self, search: SearchState, detection: Detection) -> bool:
        """Whether nothing else can win, and no closer look will ask whether this does."""
        return scoring.ends_search(
            detection, search.last_T_cam_centre, self._diameter_m, self._config
        ) and not self._is_doubted(search, detection)

    def _is_doubted(self, search: SearchState, detection: Detection) -> bool:
        """Whether a detection will be looked at more closely; asked once of a pose."""
        closer_look = self._closer_look
        if closer_look is None or not self._looks_closer(search):
            return False
        pose = detection.T_cam_centre.tobytes()
        if pose not in search.doubted:
            search.doubted[pose] = closer_look.is_due(search, detection)
        return search.doubted[pose]

    @staticmethod
    def _looks_closer(search: SearchState) -> bool:
        """After a loss the object may be hidden, and more is asked for."""
        return search.budget.closer_look and search.colour_log_odds is None

    def _sort(self, search: SearchState) -> None:
        last = search.last_T_cam_centre
        search.detections.sort(key=lambda item: -scoring.rank(item, last, self._diameter_m, self._config))

    def _result(self, search: SearchState, segmentation: Segmentation) -> DetectionResult:
        """The best detection if it is the object; where it is not, what was tried is rejected for a while."""
        detections, rejected_regions = search.detections, search.rejected_regions
        found = None
        if detections and scoring.is_object(detections[0], search.track_prior, self._config):
            found = detections[0]
        if found is None and rejected_regions is not None:
            for candidate in search.registered:
                rejected_regions.add(search.frame, candidate.mask)
        result = DetectionResult(
            found=found,
            detections=tuple(detections),
            segmentation=segmentation,
            proposed=tuple(search.proposed),
            tried=tuple(search.tried),
        )
        if _log.isEnabledFor(logging.DEBUG):
            self._log_result(search, result)
        return result

    def _log_result(self, search: SearchState, result: DetectionResult) -> None:
        outcome = "found" if result.found is not None else "best detection is not believed"
        if not search.registered:
            outcome = "no candidate to register"
        elif not result.detections:
            outcome = "no candidate could be registered"
        _log.debug(
            "%s, frame %d: %d candidates segmented, %d registered, best presence probability %.3f: %s",
            self._object_id,
            search.frame.index,
            len(result.segmentation.candidates),
            len(search.registered),
            result.presence_probability,
            outcome,
        )
