"""Searches for the staged mug, from colours alone, so that no trained network is needed."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.metrics import mask_iou
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels import contour_region
from storm_edge.kernels.host_threads import launching_on
from storm_edge.pipeline.detect.closer_look import CloserLook
from storm_edge.pipeline.detect.config import FULL, REACQUIRE, SearchBudget
from storm_edge.pipeline.detect.detection import Detection, DetectionResult, SearchState, TrackPrior
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.reacquire.config import RejectedRegionsConfig
from storm_edge.pipeline.reacquire.rejected_regions import RejectedRegions
from storm_edge.pipeline.refine.lone_scores import LonePoseScorer
from storm_edge.pipeline.register.registrar import Registration
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.segmentation import Segmentation, segmentation_from_mask
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
from tests.pipeline.searching import finished, learned_log_odds
from tests.staged import Staged


@pytest.fixture(scope="module")
def detector(staged: Staged, colour_segmenter: Segmenter) -> Detector:
    return Detector(staged.item, colour_segmenter)


def test_finds_the_mug_and_its_mask(staged: Staged, detector: Detector) -> None:
    """Overlap seen: 0.99 (x86-64 CPU)."""
    frame = staged.frame()
    search = detector.detect(frame, staged.buffers(frame))
    assert search.found is not None
    assert mask_iou(search.found.mask, staged.mask()) > 0.9
    best = search.segmentation.best
    assert best is not None
    x0, y0, x1, y1 = best.box
    assert best.mask[y0:y1, x0:x1].sum() == best.mask.sum() > 0


def test_an_empty_room_holds_no_mug(staged: Staged, detector: Detector) -> None:
    frame = staged.frame(make_T(np.eye(3), [0.0, 0.0, -5.0]))
    search = detector.detect(frame, staged.buffers(frame))
    assert search.found is None
    assert search.presence_probability < 0.5


def test_a_mug_in_other_colours_is_another_mug(staged: Staged, detector: Detector) -> None:
    frame = staged.frame()
    mask = staged.mask()
    rgb = frame.rgb.copy()
    rgb[mask] = rgb[mask][:, [2, 0, 1]]
    changed = replace(frame, rgb=rgb)
    right = detector.detect(frame, staged.buffers(frame)).presence_probability
    assert detector.detect(changed, staged.buffers(changed)).presence_probability < right


def test_part_of_it_outside_the_image_is_enough(staged: Staged, detector: Detector) -> None:
    T = staged.T_cam_centre.copy()
    T[0, 3] -= 0.36  # the left quarter is cut off
    frame = staged.frame(T)
    search = detector.detect(frame, staged.buffers(frame))
    assert search.detections
    assert mask_iou(search.detections[0].mask, staged.mask(T)) > 0.6


def test_a_surface_in_its_colours_is_tried_though_neither_segmenter_nor_shape_propose_it(
    staged: Staged, colour_segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    y, z = staged.T_cam_centre[1:3, 3]
    T = make_T(staged.T_cam_centre[:3, :3], [-290.0 / 570.0 * z, y, z])
    frame = staged.frame(T)

    def nothing(*_: object) -> Segmentation:
        return Segmentation(candidates=(), probability=np.zeros((60, 80), np.float32), score=0.0)

    monkeypatch.setattr(colour_segmenter, "segment", nothing)
    detector = Detector(staged.item, colour_segmenter)
    alone = replace(FULL, max_shape_proposals=0, max_plain_shape_proposals=0, tiled=False)
    search = detector.detect(frame, staged.buffers(frame), budget=alone)
    assert search.found is not None
    assert mask_iou(search.found.mask, staged.mask(T)) > 0.9
    none = detector.detect(frame, staged.buffers(frame), budget=replace(alone, max_surfaces=0))
    assert none.proposed == ()


def test_of_two_equal_mugs_the_last_one_is_found_again(staged: Staged, detector: Detector) -> None:
    left, right = staged.T_cam_centre.copy(), staged.T_cam_centre.copy()
    left[0, 3], right[0, 3] = -0.13, 0.13
    frame, other = staged.frame(left), staged.frame(right)
    mask = staged.mask(right)
    rgb, depth = frame.rgb.copy(), frame.depth_m.copy()
    rgb[mask], depth[mask] = other.rgb[mask], other.depth_m[mask]
    both = replace(frame, rgb=rgb, depth_m=depth)
    for last in (left, right, left):
        found = detector.detect(both, staged.buffers(both), track_prior=TrackPrior(T_cam_centre=last)).found
        assert found is not None
        assert np.linalg.norm(found.T_cam_centre[:3, 3] - last[:3, 3]) < 0.03


def test_learned_colours_speak_against_a_place_and_never_for_it(staged: Staged, detector: Detector) -> None:
    frame = staged.frame()
    at_first = detector.detect(frame, staged.buffers(frame)).found
    assert at_first is not None
    image, segmentation = finished(detector.segment(frame))[1]
    probabilities = []
    for odds in (None, 2.0, -0.2, -3.0):
        colours = None if odds is None else np.full(contour_region.BIN_COUNT, odds, dtype=np.float32)
        track_prior = TrackPrior(T_cam_centre=at_first.T_cam_centre, colour_log_odds=colours)
        search = finished(
            detector.register_candidates(image, segmentation, staged.buffers(frame), track_prior=track_prior)
        )[1]
        probabilities.append(search.presence_probability)
        assert (search.found is not None) == (odds != -3.0), (odds, search.presence_probability)
    assert probabilities[0] == pytest.approx(probabilities[1])
    assert probabilities[0] > probabilities[2] > probabilities[3]


@pytest.mark.parametrize(
    ("budget", "marked", "probability", "tiled"),
    [
        (REACQUIRE, True, 0.9, 0),
        (REACQUIRE, False, 0.9, 0),
        (REACQUIRE, True, 0.1, 0),
        (replace(FULL, max_shape_proposals=0, max_surfaces=0), False, 0.1, 1),
        (FULL, False, 0.1, 0),
    ],
)
def test_a_full_search_is_tiled_where_all_else_finds_nothing_and_one_after_a_loss_is_not(
    staged: Staged, detector: Detector, monkeypatch: pytest.MonkeyPatch,
    budget: SearchBudget, marked: bool, probability: float, tiled: int,
) -> None:  # fmt: skip
    frame = staged.frame()
    image, segmentation = finished(detector.segment(frame))[1]
    said = replace(
        segmentation, presence_probability=probability, candidates=segmentation.candidates if marked else ()
    )
    calls = []

    def segment_tiled(
        image: ImageFeatures, embedding: TemplateEmbedding, first: Segmentation, colours: object
    ) -> Generator[str, None, Segmentation]:
        calls.append(first)
        yield "segment tile"
        return segmentation

    monkeypatch.setattr(detector._segmenter, "segment_tiled", segment_tiled)
    search = finished(detector.register_candidates(image, said, staged.buffers(frame), budget=budget))[1]
    assert len(calls) == tiled
    by_shape = budget.max_shape_proposals > 0
    assert (search.found is not None) == (tiled > 0 or by_shape or (marked and probability > 0.5))


def test_rejected_regions_are_left_out_after_a_loss_and_not_in_a_full_search(
    staged: Staged, detector: Detector
) -> None:
    frame = staged.frame()
    rejected_regions = RejectedRegions(RejectedRegionsConfig())
    track_prior = TrackPrior(T_cam_centre=staged.T_cam_centre, rejected_regions=rejected_regions)
    first = detector.detect(frame, staged.buffers(frame), track_prior=track_prior, budget=REACQUIRE)
    assert first.found is not None
    assert not rejected_regions.contains(frame, first.found.candidate.mask), "what was found is none"
    for candidate in (*first.segmentation.candidates, *first.proposed):
        rejected_regions.add(frame, candidate.mask)
    rejected_regions.add(frame, first.found.mask)
    assert detector.detect(frame, staged.buffers(frame), track_prior=track_prior, budget=REACQUIRE).found is None
    assert detector.detect(frame, staged.buffers(frame), track_prior=track_prior, budget=FULL).found is not None


def test_what_a_search_after_a_loss_turns_down_is_rejected(staged: Staged, detector: Detector) -> None:
    frame = staged.frame(hidden=(slice(0, 240), slice(0, 640)))
    rgb = frame.rgb.copy()
    rgb[240:] = rgb[240:][:, :, [2, 0, 1]]  # half a mug, in other colours
    other = replace(frame, rgb=rgb)
    rejected_regions = RejectedRegions(RejectedRegionsConfig())
    track_prior = TrackPrior(T_cam_centre=staged.T_cam_centre, rejected_regions=rejected_regions)
    image = finished(detector.segment(other))[1][0]
    marked = segmentation_from_mask(image, staged.mask() & (np.arange(480) >= 240)[:, None])
    search = finished(
        detector.register_candidates(image, marked, staged.buffers(other), track_prior=track_prior, budget=REACQUIRE)
    )[1]
    assert search.found is None
    assert search.detections
    assert rejected_regions.contains(other, marked.candidates[0].mask)
    again = finished(
        detector.register_candidates(image, marked, staged.buffers(other), track_prior=track_prior, budget=REACQUIRE)
    )[1]
    assert again.detections == ()


def test_a_search_does_not_refine_what_is_certain(
    staged: Staged, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = staged.frame()
    asked = []
    registrar = detector._registrar._refined
    refined = registrar.chunks
    monkeypatch.setattr(registrar, "chunks", lambda *a, **k: (asked.append(1), refined(*a, **k))[1])
    found = detector.detect(frame, staged.buffers(frame), budget=REACQUIRE).found
    assert found is not None
    assert not asked
    assert np.linalg.norm(found.T_cam_centre[:3, 3] - staged.T_cam_centre[:3, 3]) < 0.005
    thorough = replace(FULL, accept_fast=False)
    assert detector.detect(frame, staged.buffers(frame), budget=thorough).found is not None
    assert asked


def test_what_will_be_looked_at_more_closely_does_not_end_a_search(
    staged: Staged, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probable place that the closer look may yet refuse: the object could be elsewhere. Each is asked once."""
    frame = staged.frame()
    asked: list[bytes] = []

    def is_due(look: CloserLook, search: SearchState, detection: Detection) -> bool:
        asked.append(detection.T_cam_centre.tobytes())
        return True

    certain = detector.detect(frame, staged.buffers(frame))
    monkeypatch.setattr(CloserLook, "is_due", is_due)
    monkeypatch.setattr(detector, "_look_closer", lambda search: iter(()))
    doubted = detector.detect(frame, staged.buffers(frame))
    assert certain.presence_probability > 0.85
    assert len(doubted.proposed) > len(certain.proposed)
    assert len(asked) == len(set(asked)) > 0
    asked.clear()
    detector.detect(frame, staged.buffers(frame), budget=replace(FULL, closer_look=False))
    assert not asked


@pytest.mark.parametrize(
    ("said", "well_marked", "is_refined"), [(-2.0, 1.0, False), (-2.0, 0.0, True), (0.0, 1.0, True)]
)
def test_what_scorenet_denies_is_refined_only_where_the_segmenter_speaks_for_it(
    staged: Staged,
    colour_segmenter: Segmenter,
    monkeypatch: pytest.MonkeyPatch,
    said: float,
    well_marked: float,
    is_refined: bool,
) -> None:
    def logits(scorer: LonePoseScorer, frame: FrameBuffers, T_cam_centre: np.ndarray) -> np.ndarray:
        return np.full(len(T_cam_centre), said, np.float32)

    monkeypatch.setattr(LonePoseScorer, "logits", logits)
    asking = Detector(staged.item, colour_segmenter, networks=NetworkBundle.load("nano"))
    asked = []
    registrar = asking._registrar._refined
    refined = registrar.chunks
    monkeypatch.setattr(registrar, "chunks", lambda *a, **k: (asked.append(1), refined(*a, **k))[1])
    frame = staged.frame()
    budget = replace(FULL, accept_fast=False, refine_above_score=well_marked)
    asking.detect(frame, staged.buffers(frame), budget=budget)
    assert bool(asked) is is_refined


def test_of_the_sides_that_a_registration_ranks_the_one_of_the_right_colours_is_taken(
    staged: Staged, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mug turned about its axis has nearly the outline that it should have; the ranking put it first."""
    frame = staged.frame()
    search = detector.detect(frame, staged.buffers(frame))
    assert search.found is not None
    turned = staged.T_cam_centre @ make_T(exp_so3([0.0, 0.0, np.pi]), np.zeros(3))
    ranked = np.stack([turned, staged.T_cam_centre])
    registrar = detector._registrar._refined

    def chunks(*given: object, **options: object) -> Generator[str, None, Registration]:
        yield "judge"
        return Registration(T_cam_centre=turned, score=1.0, visible=1.0, ranked=ranked, ranked_scores=np.ones(2))

    monkeypatch.setattr(registrar, "chunks", chunks)
    found = detector.detect(frame, staged.buffers(frame), budget=replace(FULL, accept_fast=False))
    at = [one.T_cam_centre for one in found.tried]
    assert any(np.array_equal(T, turned) for T in at)
    assert any(np.array_equal(T, staged.T_cam_centre) for T in at)
    assert found.found is not None
    np.testing.assert_allclose(found.found.T_cam_centre, staged.T_cam_centre, atol=0.02)


def test_a_mask_from_elsewhere_is_registered_like_a_candidate(staged: Staged, detector: Detector) -> None:
    frame, track_prior = staged.frame(), TrackPrior(T_cam_centre=staged.T_cam_centre)
    right = finished(detector.register_mask(frame, staged.buffers(frame), staged.mask(), track_prior=track_prior))[1]
    assert right.found is not None
    wall = np.zeros((480, 640), dtype=bool)
    wall[20:120, 20:120] = True
    assert (
        finished(detector.register_mask(frame, staged.buffers(frame), wall, track_prior=track_prior))[1].found is None
    )


def same(a: DetectionResult, b: DetectionResult) -> bool:
    """Whether two searches came to the same, bit by bit."""
    return len(a.detections) == len(b.detections) and all(
        np.array_equal(one.T_cam_centre, other.T_cam_centre)
        and one.presence_probability == other.presence_probability
        and one.features == other.features
        for one, other in zip(a.detections, b.detections, strict=True)
    )


def test_several_threads_find_what_one_finds(staged: Staged, detector: Detector) -> None:
    """All poses that are tried, those by shape and refined ones too, number by number."""
    frame = staged.frame()
    found = []
    for threads in (1, 3):
        with launching_on(threads):
            found.append(detector.detect(frame, staged.buffers(frame)))
    assert found[0].found is not None
    assert same(*found)


def test_two_searches_at_once_come_to_what_each_comes_to_alone(staged: Staged, detector: Detector) -> None:
    """A detector keeps nothing of a search: other colours and another last place in one do not reach the other."""
    frame = staged.frame()
    buffers, away = staged.buffers(frame), staged.T_cam_centre.copy()
    away[0, 3] += 0.5
    foreign = np.full(contour_region.BIN_COUNT, -3.0, dtype=np.float32)
    priors = (
        TrackPrior(T_cam_centre=staged.T_cam_centre, colour_log_odds=learned_log_odds(staged, frame)),
        TrackPrior(T_cam_centre=away, colour_log_odds=foreign),
        None,
    )
    alone = [detector.detect(frame, buffers, track_prior=prior) for prior in priors]
    under_way = {i: detector.chunks(frame, buffers, track_prior=prior) for i, prior in enumerate(priors)}
    results: dict[int, DetectionResult] = {}
    while under_way:
        for i, work in list(under_way.items()):
            try:
                next(work)
            except StopIteration as done:
                results[i] = done.value
                del under_way[i]
    assert alone[0].found is not None
    assert alone[1].found is None
    assert all(same(results[i], expected) for i, expected in enumerate(alone))


def test_a_search_leaves_one_line_in_the_log(
    staged: Staged, detector: Detector, caplog: pytest.LogCaptureFixture
) -> None:
    frame = staged.frame()
    with caplog.at_level(logging.DEBUG, logger="storm_edge.pipeline.detect"):
        detector.detect(frame, staged.buffers(frame))
    [record] = caplog.records
    assert record.getMessage().startswith(f"{staged.bundle.object_id}, frame 0: ")
    assert record.getMessage().endswith(": found")
    caplog.clear()
    empty = staged.frame(make_T(np.eye(3), [0.0, 0.0, -5.0]))
    with caplog.at_level(logging.DEBUG, logger="storm_edge.pipeline.detect"):
        detector.detect(empty, staged.buffers(empty))
    [record] = caplog.records
    assert "0 registered" in record.getMessage()
    assert record.getMessage().endswith(": no candidate to register")
