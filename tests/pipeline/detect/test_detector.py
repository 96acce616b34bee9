"""Segment, find and verify the staged mug: from colours alone, so that no trained network is needed."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import EngineError, ObjectBundleError
from storm_edge.evaluate.metrics import mask_iou
from storm_edge.export.networks.nano import export_nano_som, export_nano_tom
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.kernels import region
from storm_edge.networks.nano_som import NanoSom
from storm_edge.networks.nano_tom import NanoTom, NanoTomConfig
from storm_edge.pipeline.detect.candidate_scoring import select_for_refinement
from storm_edge.pipeline.detect.config import FULL, REACQUIRE, PoseFeatureConfig, SearchBudget
from storm_edge.pipeline.detect.detection import Detection, TrackPrior
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.detect.pose_features import CandidateFeatures, compare_colours
from storm_edge.pipeline.reacquire.config import RejectedRegionsConfig
from storm_edge.pipeline.reacquire.rejected_regions import RejectedRegions
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.proposals import add_colour_log_odds
from storm_edge.pipeline.segment.segmentation import Candidate, Segmentation, segmentation_from_mask
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
from tests.staged import TABLE_DEPTH_M, Staged

COLOUR = SegmentConfig(source=Source.COLOUR)
LEARNED = COLOUR.learned_colours
GAIN_FLOOR = PoseFeatureConfig().gain_floor
Result = TypeVar("Result")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(None, config=COLOUR)


@pytest.fixture(scope="module")
def detector(staged: Staged, segmenter: Segmenter) -> Detector:
    return Detector(staged.item, segmenter)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> NetworkBundle:
    """Untrained: the segmenter is then its guess from colour; TOM says anything, but always the same."""
    folder = tmp_path_factory.mktemp("nano")
    torch.manual_seed(0)
    graphs = export_nano_som(NanoSom(), folder)
    tom = NanoTom(NanoTomConfig(stem=8, encoder=8, middle=8, top=8, reduced=4, features=8))
    graphs |= export_nano_tom(tom, folder)
    files = {graph: f"{graph}.onnx" for graph in graphs}
    write_manifest(folder, name="nano", size_px=80, preset="default", networks=files)
    return NetworkBundle.load(folder)


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


def test_the_network_is_asked_once_per_frame_and_object(staged: Staged, networks: NetworkBundle) -> None:
    """An untrained head is the guess from colour, so it must find what that finds."""
    segmenter = Segmenter(networks)
    image = segmenter.encode_image(staged.frame())
    assert set(image.maps) == {"half", "quarter", "eighth"}
    embedding = segmenter.encode_object(staged.item)
    best = segmenter.segment(image, embedding).best
    assert best is not None
    assert mask_iou(best.mask, staged.mask()) > 0.5


def finished(work: Generator[str, None, Result]) -> tuple[list[str], Result]:
    """The kinds of chunks, and what they came to."""
    kinds = []
    while True:
        try:
            kinds.append(next(work))
        except StopIteration as done:
            return kinds, done.value


def test_a_closer_look_marks_a_small_object_better(staged: Staged, networks: NetworkBundle) -> None:
    """16 px across, 4 at the working size. Overlap seen: 0.58 from afar, 0.82 closer (x86-64 CPU)."""
    T = staged.T_cam_centre.copy()
    T[:3, 3] *= 8.0
    frame = staged.frame(T)
    wall = frame.depth_m == np.float32(TABLE_DEPTH_M)
    frame = replace(frame, depth_m=np.where(wall, np.float32(6.0), frame.depth_m))
    segmenter = Segmenter(networks)
    image, embedding = segmenter.encode_image(frame), segmenter.encode_object(staged.item)
    first = segmenter.segment(image, embedding)
    kinds, closer = finished(segmenter.segment_tiled(image, embedding, first))
    assert kinds == ["encode tile"] * 9 + ["segment tile"] * 9
    assert closer.presence_probability == first.presence_probability
    truth = staged.mask(T)
    from_afar = max((mask_iou(candidate.mask, truth) for candidate in first.candidates), default=0.0)
    assert max(mask_iou(candidate.mask, truth) for candidate in closer.candidates) > from_afar + 0.1
    kinds, again = finished(segmenter.segment_tiled(image, embedding, first))
    assert kinds == ["segment tile"] * 9, "what all objects share of the parts must be at hand"
    np.testing.assert_array_equal(again.probability, closer.probability)


def test_colours_alone_are_not_looked_at_closer(staged: Staged, segmenter: Segmenter) -> None:
    image, embedding = segmenter.encode_image(staged.frame()), segmenter.encode_object(staged.item)
    first = segmenter.segment(image, embedding)
    kinds, closer = finished(segmenter.segment_tiled(image, embedding, first))
    assert kinds == []
    assert closer is first


def test_a_saved_look_belongs_to_its_network_and_model(
    staged: Staged, segmenter: Segmenter, networks: NetworkBundle
) -> None:
    embedding = segmenter.encode_object(staged.item)
    again = TemplateEmbedding.from_bytes(embedding.to_bytes(), what="embedding")
    np.testing.assert_array_equal(again.colours.rgb, embedding.colours.rgb)
    segmenter.check(again, staged.bundle)
    with pytest.raises(ObjectBundleError, match="network"):
        Segmenter(networks).check(again, staged.bundle)
    with pytest.raises(ObjectBundleError, match="model"):
        segmenter.check(replace(again, model="another"), staged.bundle)
    with pytest.raises(ObjectBundleError, match="a template embedding of an object"):
        TemplateEmbedding.from_bytes(b"PK nothing", what="embedding")


def test_a_segmenter_without_network_says_so() -> None:
    with pytest.raises(EngineError, match="no network bundle"):
        Segmenter(None)


def test_light_may_change_colours_but_not_one_by_one(rng: np.random.Generator) -> None:
    model = rng.uniform(0.2, 0.8, (200, 3)).astype(np.float32)
    imbalance, residual = compare_colours(model, model * np.float32(0.7), GAIN_FLOOR)
    assert imbalance < 0.03
    assert residual < 0.02  # the grey that is mixed in
    imbalance, _ = compare_colours(model, model * np.array([1.0, 0.5, 0.5], dtype=np.float32), GAIN_FLOOR)
    # log 2, less the grey that is mixed in
    assert imbalance == pytest.approx(np.log(2.0), abs=0.1)
    assert compare_colours(model[:0], model[:0], GAIN_FLOOR) == (0.0, 0.0)


def test_a_well_marked_place_gets_care_though_it_looks_wrong_at_first() -> None:
    def place(presence_probability: float, score: float) -> Detection:
        nothing = np.zeros((2, 2), dtype=bool)
        features = CandidateFeatures(
            visible=0.5, pattern=0.0, occluded=0.0, colour=0.0, imbalance=0.0, residual=0.0, contour=0.5, depth=0.5
        )
        candidate = Candidate(mask=nothing, grown=nothing, score=score, box=(0, 0, 1, 1))
        return Detection(
            mask=nothing,
            candidate=candidate,
            T_cam_centre=np.eye(4),
            presence_probability=presence_probability,
            features=features,
        )

    tried = [place(0.8, 0.0), place(0.6, 0.1), place(0.4, 0.2), place(0.1, 0.9)]
    assert select_for_refinement(tried, FULL, 0.3) == [0, 1, 3]
    assert select_for_refinement(tried, REACQUIRE, 0.3) == [0]  # there is no time for a second place
    assert select_for_refinement([place(0.9, 0.9), place(0.2, 0.3)], FULL, 0.3) == [0]
    assert select_for_refinement([place(0.01, 0.1)], FULL, 0.3) == []
    assert select_for_refinement([], FULL, 0.3) == []


def test_learned_colours_speak_against_a_place_and_never_for_it(staged: Staged, detector: Detector) -> None:
    frame = staged.frame()
    at_first = detector.detect(frame, staged.buffers(frame)).found
    assert at_first is not None
    image, segmentation = finished(detector.segment(frame))[1]
    verdicts = []
    for odds in (None, 2.0, -0.2, -3.0):
        colours = None if odds is None else np.full(region.BIN_COUNT, odds, dtype=np.float32)
        track_prior = TrackPrior(T_cam_centre=at_first.T_cam_centre, colour_log_odds=colours)
        search = finished(
            detector.register_candidates(image, segmentation, staged.buffers(frame), track_prior=track_prior)
        )[1]
        verdicts.append(search.presence_probability)
        assert (search.found is not None) == (odds != -3.0), (odds, search.presence_probability)
    assert verdicts[0] == pytest.approx(verdicts[1])
    assert verdicts[0] > verdicts[2] > verdicts[3]


@pytest.mark.parametrize(
    ("budget", "marked", "opinion", "closer"),
    [(REACQUIRE, True, 0.9, 0), (REACQUIRE, False, 0.9, 0), (REACQUIRE, True, 0.1, 0), (FULL, False, 0.1, 1)],
)
def test_a_thorough_search_looks_closer_and_a_brief_one_has_no_time_for_it(
    staged: Staged, detector: Detector, monkeypatch: pytest.MonkeyPatch,
    budget: SearchBudget, marked: bool, opinion: float, closer: int,
) -> None:  # fmt: skip
    frame = staged.frame()
    image, segmentation = finished(detector.segment(frame))[1]
    said = replace(segmentation, presence_probability=opinion, candidates=segmentation.candidates if marked else ())
    looks = []

    def segment_tiled(
        image: ImageFeatures, embedding: TemplateEmbedding, first: Segmentation, colours: object
    ) -> Generator[str, None, Segmentation]:
        looks.append(first)
        yield "segment tile"
        return segmentation

    monkeypatch.setattr(detector._segmenter, "segment_tiled", segment_tiled)
    search = finished(detector.register_candidates(image, said, staged.buffers(frame), budget=budget))[1]
    assert len(looks) == closer
    assert (search.found is not None) == (closer > 0 or (marked and opinion > 0.5))


def learned(staged: Staged, frame: Frame) -> NDArray[np.float32]:
    """Log odds of colours as tracking learns them: in favour where the mug has more of a colour than the wall."""
    mask = staged.mask()
    bins = region.colour_bins(frame.rgb)
    inside, outside = (np.bincount(bins[where], minlength=region.BIN_COUNT) + 1.0 for where in (mask, ~mask))
    return np.log(inside / inside.sum() / (outside / outside.sum())).astype(np.float32)


def test_learned_colours_mark_what_the_map_says_nothing_of(staged: Staged) -> None:
    frame, mask = staged.frame(), staged.mask()
    unsure = np.full(mask.shape, 0.4, dtype=np.float32)
    assert mask_iou(add_colour_log_odds(unsure, frame, learned(staged, frame), LEARNED) > 0.5, mask) > 0.9


def test_learned_colours_add_to_a_map_as_evidence_does(staged: Staged) -> None:
    """Bayes' rule: odds 1 to 4 before, evidence of 2 to 1 for every colour, odds 1 to 2 after."""
    frame = staged.frame()
    odds = np.full(region.BIN_COUNT, np.log(2.0), dtype=np.float32)
    before = np.full(frame.size_px, 0.2, dtype=np.float32)
    assert add_colour_log_odds(before, frame, odds, LEARNED) == pytest.approx(1.0 / 3.0, abs=1e-5)
    overwhelming = np.full(region.BIN_COUNT, 50.0, dtype=np.float32)
    assert add_colour_log_odds(before, frame, overwhelming, LEARNED).max() < 0.9, "no colour decides by itself"


def test_candidates_of_a_known_object_go_by_its_colours(staged: Staged, segmenter: Segmenter) -> None:
    """Overlap seen of the best mask: 0.74 by the model's colours alone, 0.94 with those that tracking learned."""
    frame, mask = staged.frame(), staged.mask()
    image, embedding = segmenter.encode_image(frame), segmenter.encode_object(staged.item)
    alone = segmenter.segment(image, embedding)
    known = segmenter.segment(image, embedding, learned(staged, frame))
    assert alone.best is not None
    assert known.best is not None
    assert mask_iou(known.best.mask, mask) > 0.9
    assert mask_iou(alone.best.mask, mask) < 0.8
    assert np.array_equal(known.probability, alone.probability), "the map is the segmenter's own"


def test_a_brief_search_passes_over_dead_ends_and_a_thorough_one_does_not(staged: Staged, detector: Detector) -> None:
    frame = staged.frame()
    rejected_regions = RejectedRegions(RejectedRegionsConfig())
    track_prior = TrackPrior(T_cam_centre=staged.T_cam_centre, rejected_regions=rejected_regions)
    first = detector.detect(frame, staged.buffers(frame), track_prior=track_prior, budget=REACQUIRE)
    assert first.found is not None
    assert not rejected_regions.contains(frame, first.found.candidate.mask), "what was found is none"
    for candidate in first.segmentation.candidates:
        rejected_regions.add(frame, candidate.mask)
    assert detector.detect(frame, staged.buffers(frame), track_prior=track_prior, budget=REACQUIRE).detections == ()
    assert detector.detect(frame, staged.buffers(frame), track_prior=track_prior, budget=FULL).found is not None


def test_what_a_brief_search_turns_down_is_a_dead_end(staged: Staged, detector: Detector) -> None:
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


def test_a_brief_search_leaves_care_out_where_it_is_sure(
    staged: Staged, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = staged.frame()
    asked = []
    refined = detector._refined.chunks
    monkeypatch.setattr(detector._refined, "chunks", lambda *a, **k: (asked.append(1), refined(*a, **k))[1])
    found = detector.detect(frame, staged.buffers(frame), budget=REACQUIRE).found
    assert found is not None
    assert not asked
    assert np.linalg.norm(found.T_cam_centre[:3, 3] - staged.T_cam_centre[:3, 3]) < 0.005
    assert detector.detect(frame, staged.buffers(frame), budget=FULL).found is not None
    assert asked


def test_a_mask_from_elsewhere_is_examined_like_a_candidate(staged: Staged, detector: Detector) -> None:
    frame, track_prior = staged.frame(), TrackPrior(T_cam_centre=staged.T_cam_centre)
    right = finished(detector.register_mask(frame, staged.buffers(frame), staged.mask(), track_prior=track_prior))[1]
    assert right.found is not None
    wall = np.zeros((480, 640), dtype=bool)
    wall[20:120, 20:120] = True
    assert (
        finished(detector.register_mask(frame, staged.buffers(frame), wall, track_prior=track_prior))[1].found is None
    )
