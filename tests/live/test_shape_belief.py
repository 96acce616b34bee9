"""A track of a model without colours is believed no more than its shape, as long as a search began it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from storm_edge.frame import Frame
from storm_edge.geometry.mesh import make_mesh
from storm_edge.live.config import SessionConfig, StormConfig
from storm_edge.live.factory import make_object_session
from storm_edge.live.shape_belief import ShapeBelief, ShapeCheckedTrack
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.config import ShapeConfig
from storm_edge.pipeline.detect.detection import Detection
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence
from storm_edge.pipeline.segment.segmentation import Candidate
from storm_edge.pipeline.track.contract import TrackStep
from tests.pipeline.detect.neutral import NEUTRAL
from tests.staged import Staged

CONFIG = StormConfig()
EVERY, PROBATION = SessionConfig().shape_every, SessionConfig().shape_probation


def step(confidence: float) -> TrackStep:
    return TrackStep(T_cam_centre=np.eye(4), confidence=confidence, residual=0.2, network_used=False)


def at(frame: Frame, index: int) -> Frame:
    return replace(frame, index=index)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What shape says from now on, the last of them for good."""
    said = [0.9]

    def next_of(*arguments: object) -> float:
        return said[0] if len(said) == 1 else said.pop(0)

    monkeypatch.setattr("storm_edge.live.shape_belief.shape_probability", next_of)
    return said


def detection(probability: float, shape_logit: float) -> Detection:
    """What a search found, with a shape that says so much by itself."""
    nothing = np.zeros((2, 2), dtype=bool)
    weights = CONFIG.detect.shape.weights
    nought = ShapeEvidence(**dict.fromkeys(ShapeEvidence.__dataclass_fields__, 0.0))
    return Detection(
        mask=nothing,
        candidate=Candidate(mask=nothing, grown=nothing, score=0.5, box=(0, 0, 1, 1)),
        T_cam_centre=np.eye(4),
        presence_probability=probability,
        features=NEUTRAL,
        evidence=replace(nought, outline=(shape_logit - weights.constant) / weights.outline),
    )


def test_a_found_track_is_asked_again_and_held_to_the_answer(staged: Staged, answers: list[float]) -> None:
    belief = ShapeBelief(staged.item, StormConfig())
    frame = staged.frame()
    assert belief.found(at(frame, 0), np.eye(4)) == 0.9
    answers[:] = [0.6] * (PROBATION - 1) + [0.8, 0.2, 0.9]
    count = 3 * EVERY + PROBATION
    confidences = [belief.limited(at(frame, 3 * k), step(0.7)).confidence for k in range(1, count + 1)]
    second = next(k for k in range(PROBATION + 1, count + 1) if k % EVERY == 0)
    assert confidences[: PROBATION - 1] == [0.6] * (PROBATION - 1)
    assert confidences[PROBATION - 1 : second - 1] == [0.7] * (second - PROBATION)
    # A doubt is asked about again in the next image, not held for several.
    assert confidences[second - 1 :] == [0.2] + [0.7] * (count - second)


def test_a_shape_that_stays_wrong_stays_doubted(staged: Staged, answers: list[float]) -> None:
    belief = ShapeBelief(staged.item, StormConfig())
    belief.found(at(staged.frame(), 0), np.eye(4))
    answers[:] = [0.2]
    steps = range(1, PROBATION + 2 * EVERY)
    assert [belief.limited(at(staged.frame(), k), step(0.7)).confidence for k in steps] == [0.2] * len(steps)


@pytest.mark.parametrize(
    ("shape_logit", "when_found"), [(-1.0, 3.0), (0.5, 1.5), (4.0, 0.0)], ids=["outline", "half", "shape"]
)
def test_what_a_search_knew_beside_the_shape_is_taken_as_it_was(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, shape_logit: float, when_found: float
) -> None:
    """A track that goes on needs no more than that, and no more than any track: a hand may hide its shape."""
    known: list[float] = []

    def said(evidence: ShapeEvidence | None, known_logit: float, config: ShapeConfig) -> float:
        known.append(known_logit)
        return 0.9

    monkeypatch.setattr("storm_edge.live.shape_belief.shape_probability", said)
    belief = ShapeBelief(staged.item, CONFIG)
    by = detection(float(expit(2.0)), shape_logit)
    belief.found(staged.frame(), np.eye(4), by)
    belief.limited(staged.frame(), step(0.7))
    assert known == pytest.approx([when_found, max(when_found, CONFIG.detect.shape.track_logit)])
    belief.found(staged.frame(), np.eye(4))
    assert known[-1] == 0.0, "another search found nothing"


def test_a_given_track_is_not_asked(staged: Staged, answers: list[float]) -> None:
    answers[:] = [0.1]
    belief = ShapeBelief(staged.item, StormConfig())
    belief.found(staged.frame(), np.eye(4))
    belief.given()
    for index in range(1, EVERY + 1):
        assert belief.limited(at(staged.frame(), index), step(0.7)).confidence == 0.7


def test_only_models_without_colours_are_checked(staged: Staged) -> None:
    mesh = staged.bundle.mesh_lod
    grey = make_mesh(mesh.vertices, mesh.faces, normals=mesh.normals)
    plain = ObjectOnDevice(replace(staged.bundle, mesh=grey, mesh_lod=grey))
    assert isinstance(make_object_session(plain, None)._tracker, ShapeCheckedTrack)
    assert not isinstance(make_object_session(staged.item, None)._tracker, ShapeCheckedTrack)
