"""What a search is given and what it comes to: track prior, detections, result, and the state in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.pipeline.detect.config import SearchBudget
from storm_edge.pipeline.detect.pose_features import CandidateFeatures
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.reacquire.rejected_regions import RejectedRegions
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.segmentation import Candidate, Segmentation

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TrackPrior:
    """What is known of an object that was seen before."""

    T_cam_centre: Float64
    """Where it was seen last: pose of the centred mesh [m] ``(4, 4)``."""
    colour_log_odds: Float32 | None = None
    """What tracking learned of its colours in this light, see `local_search.local_search_mask`; None if it was not
    tracked but found in another image."""
    rejected_regions: RejectedRegions | None = None
    """What was rejected since it was lost; searches with the budget `REACQUIRE` add to it. None remembers nothing."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a closer look at a doubtful place went by (`pipeline.detect.closer_look`)."""

    first_probability: float
    """Presence probability of the pose before it, 0..1."""
    detail: float
    """What small print says against it: `side.found_evidence.FoundTerms.detail`, -0.5 to 1."""
    depth: float
    """And its depth, pixel by pixel: `FoundTerms.depth`, 0 to 1."""
    elsewhere: float
    """The largest presence probability of another place in the image, 0..1: only one of them has the object."""
    palette: float
    """Part of the pixels whose colours both have, wherever they are (`side.palette`), 0 to 1."""
    contour: float
    """`CandidateFeatures.contour` of the pose, 0 to 1."""
    network: float | None = None
    """ScoreNet's logit of "right object, right pose"; None where none was asked."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A pose of the object in one image, and how probable it makes the object there."""

    mask: NDArray[np.bool_]
    """What of the model at its pose is visible, ``(H, W)``."""
    candidate: Candidate
    """The segmenter's mask that led there."""
    T_cam_centre: Float64
    """Pose of the centred mesh [m] ``(4, 4)``."""
    presence_probability: float
    """Probability that the object is there, 0..1."""
    features: CandidateFeatures
    """What that was made of."""
    evidence: ShapeEvidence | None = None
    """And what its shape says; None where too little depth was read."""
    look: Look | None = None
    """What a closer look went by; None where there was none."""


@dataclass(frozen=True, kw_only=True)
class DetectionResult:
    """What a search came to."""

    found: Detection | None
    """The object, or None: it is not there, or not to be seen well enough."""
    detections: tuple[Detection, ...]
    """All candidates that could be registered, best first."""
    segmentation: Segmentation
    """Of the segmenter, with tiles if they were needed."""
    proposed: tuple[Candidate, ...] = ()
    """The candidates of both kinds in the order in which they were to be registered."""
    tried: tuple[Detection, ...] = ()
    """All poses that were scored, in that order."""

    @property
    def presence_probability(self) -> float:
        """That of the best detection, 0 without any."""
        return self.detections[0].presence_probability if self.detections else 0.0


@dataclass(kw_only=True)
class SearchState:
    """One search under way. A detector keeps nothing of it."""

    image: ImageFeatures
    """The frame, encoded."""
    buffers: FrameBuffers
    """The frame, uploaded."""
    track_prior: TrackPrior | None
    """What is known of the object if it was seen before."""
    budget: SearchBudget
    """How much is tried."""
    prior_logit: float
    """What the segmenter's network adds to the logit of every detection."""
    taken_mask: NDArray[np.bool_] | None = None
    """Where other instances of the model are ``(H, W)``; None where there are none."""
    max_taken_share: float = 1.0
    """Part of a candidate that may lie there."""
    detections: list[Detection] = field(default_factory=list)
    """Candidates that could be registered so far."""
    proposed: list[Candidate] = field(default_factory=list)
    """Candidates in the order in which they are to be registered."""
    registered: list[Candidate] = field(default_factory=list)
    """Candidates whose registration was tried."""
    tried: list[Detection] = field(default_factory=list)
    """All poses that were scored."""
    doubted: dict[bytes, bool] = field(default_factory=dict)
    """Whether a probable pose is to be looked at more closely, by the bytes of its matrix."""

    @property
    def frame(self) -> Frame:
        """The image."""
        return self.image.frame

    @property
    def last_T_cam_centre(self) -> Float64 | None:
        """Where the object was seen last ``(4, 4)``, if it was."""
        return None if self.track_prior is None else self.track_prior.T_cam_centre

    @property
    def colour_log_odds(self) -> Float32 | None:
        """Colours that tracking learned, if it did."""
        return None if self.track_prior is None else self.track_prior.colour_log_odds

    @property
    def rejected_regions(self) -> RejectedRegions | None:
        """Regions that are left out, and added to where nothing is found; None where all is tried."""
        if self.track_prior is None or self.budget.retry_rejected:
            return None
        return self.track_prior.rejected_regions

    @property
    def best_probability(self) -> float:
        """The largest presence probability so far, 0 without detections."""
        return max((detection.presence_probability for detection in self.detections), default=0.0)

    def open_candidates(self, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
        """Those that are neither in a rejected region nor where another instance of the model is."""
        for candidate in candidates:
            if not self._is_taken(candidate) and not self.is_rejected(candidate.mask):
                yield candidate

    def is_rejected(self, mask: NDArray[np.bool_]) -> bool:
        """Whether what a mask ``(H, W)`` marks was rejected: a pose may lead back to where a candidate did not."""
        return self.rejected_regions is not None and self.rejected_regions.contains(self.frame, mask)

    def _is_taken(self, candidate: Candidate) -> bool:
        if self.taken_mask is None:
            return False
        taken = np.count_nonzero(candidate.mask & self.taken_mask)
        return bool(taken > self.max_taken_share * np.count_nonzero(candidate.mask))
