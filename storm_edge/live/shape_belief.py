"""What shape says of a model without colours: of a pose that a search found, and of the track that begins there.

A search believes a pose by its shape and more (`DetectConfig.presence_without_colours`). What looks right for a
frame, a taller mug in place of the mug, mostly stops to do so when it moves; so the track that begins there is asked
again, first in every frame and then now and then, or as long as the answer is a doubt, and its confidence is never
more than the last answer. Its shape alone is asked (`pipeline.detect.shape_evidence`); what else the search knew is
taken as it was. A track that was given from outside, by a mask or a pose, has other evidence and is not asked.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.live.config import StormConfig
from storm_edge.live.object_tracker import ObjectTracker
from storm_edge.live.wrapped_track import WrappedTrack
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.candidate_scoring import logit_of
from storm_edge.pipeline.detect.detection import Detection
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidenceExtractor, evidence_logit, shape_probability
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.track.contract import TrackStep

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class ShapeBelief:
    """Belief in one object by its shape.

    Args:
        item: The object.
        config: How its shape is judged, how often a track is asked, and when an answer is a doubt.
    """

    def __init__(self, item: ObjectOnDevice, config: StormConfig) -> None:
        self._config = config.detect.shape
        self._evidence = ShapeEvidenceExtractor(item, self._config)
        self._probation, self._every = config.session.shape_probation, config.session.shape_every
        self._suspect_below = config.state_machine.geometry.suspect_below
        self._known_logit = 0.0  # what the search that found it knew beside its shape
        self._last: float | None = None  # of a track that a search found
        self._step_count = 0  # since it was found

    def found(self, frame: Frame, T_cam_centre: Float64, by: Detection | None = None) -> float:
        """The probability ``0..1`` of a found pose ``(4, 4)``; a track that begins there is asked again.

        Args:
            frame: The newest frame, to which the pose was propagated.
            T_cam_centre: The pose there.
            by: What a search found in an earlier frame; None where none did.
        """
        self._step_count = 0
        self._known_logit = 0.0
        if by is not None and by.evidence is not None:
            known_logit = logit_of(by.presence_probability) - evidence_logit(by.evidence, self._config.weights)
            self._known_logit = max(known_logit, 0.0)  # where it knew of nothing more, its shape must do
        self._last = self._probability(frame, T_cam_centre, self._known_logit)
        return self._last

    def given(self) -> None:
        """The pose came from outside."""
        self._last = None

    def doubt(self) -> None:
        """Ask again in every frame for a while."""
        self._step_count = 0

    def limited(self, frame: Frame, step: TrackStep) -> TrackStep:
        """A step of the track with no more confidence than its shape allows."""
        if self._last is None:
            return step
        self._step_count += 1
        is_new = self._step_count <= self._probation
        # A single image may mislead: an answer that would end the track is asked for again.
        if is_new or self._last < self._suspect_below or self._step_count % self._every == 0:
            known_logit = max(self._known_logit, self._config.track_logit)
            self._last = self._probability(frame, step.T_cam_centre, known_logit)
        return replace(step, confidence=min(step.confidence, self._last))

    def _probability(self, frame: Frame, T_cam_centre: Float64, known_logit: float) -> float:
        return shape_probability(self._evidence.measure(frame, T_cam_centre), known_logit, self._config)


class ShapeCheckedTrack(WrappedTrack):
    """Tracks an object and asks its shape; see `ObjectTracker`.

    Args:
        tracker: Follows the object.
        belief: Of the same object.
    """

    def __init__(self, tracker: ObjectTracker, belief: ShapeBelief) -> None:
        super().__init__(tracker)
        self._belief = belief

    def doubt(self) -> None:
        """As the tracker's; the shape is asked in every frame again."""
        self._belief.doubt()
        super().doubt()

    def update(self, frame: Frame, buffers: FrameBuffers) -> TrackStep:
        """The pose in the next frame, with no more confidence than its shape allows."""
        return self._belief.limited(frame, self._tracker.update(frame, buffers))
