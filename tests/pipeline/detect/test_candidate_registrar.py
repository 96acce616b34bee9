"""A nearly right pose of the staged mug is registered once more from itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import exp_so3, make_T, rotation_angle
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect.candidate_registrar import CandidateRegistrar, neighbours
from storm_edge.pipeline.detect.config import FULL, DetectConfig
from storm_edge.pipeline.detect.detection import SearchState
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.lone_scores import LonePoseScorer
from storm_edge.pipeline.segment.segmentation import Candidate, bounding_box
from storm_edge.pipeline.segment.segmenter import Segmenter
from tests.staged import Staged


def prepared(
    staged: Staged,
    segmenter: Segmenter,
    frame: Frame,
    config: DetectConfig,
    scorer: LonePoseScorer | None = None,
) -> tuple[CandidateRegistrar, SearchState]:
    """A registrar of the mug, and a search of one mask per candidate."""
    registrar = CandidateRegistrar(
        staged.item, None, segmenter.encode_object(staged.item), config, scorer=scorer, geometry=None, options=None
    )
    search = SearchState(
        image=segmenter.encode_image(frame),
        buffers=staged.buffers(frame),
        track_prior=None,
        budget=replace(FULL, both_masks=False),
        prior_logit=0.0,
    )
    return registrar, search


def middle_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The middle third of a mask's box, as far as the mask goes."""
    x0, y0, x1, y1 = bounding_box(mask)
    middle = np.zeros_like(mask)
    middle[(2 * y0 + y1) // 3 : (y0 + 2 * y1) // 3, (2 * x0 + x1) // 3 : (x0 + 2 * x1) // 3] = True
    return middle & mask


def test_neighbours_are_the_pose_and_six_turned_in_place() -> None:
    T = make_T(exp_so3([0.3, -0.2, 0.9]), [0.1, 0.2, 0.7])
    poses = neighbours(T, 0.25)
    np.testing.assert_allclose(poses[0], T)
    np.testing.assert_allclose(poses[:, :3, 3], np.tile(T[:3, 3], (7, 1)))
    angles = [rotation_angle(T[:3, :3], pose[:3, :3]) for pose in poses[1:]]
    assert angles == pytest.approx([0.25] * 6)
    apart = [rotation_angle(poses[i, :3, :3], poses[k, :3, :3]) for i in range(7) for k in range(i)]
    assert min(apart) > 0.24


def test_a_pose_beside_the_right_one_is_brought_there_whatever_the_candidates_mask(
    staged: Staged, colour_segmenter: Segmenter
) -> None:
    """The candidate's mask is of the left half of the mug and of what is above it, as where a hand holds it."""
    frame, T = staged.frame(), staged.T_cam_centre
    config = DetectConfig()
    registrar = CandidateRegistrar(
        staged.item, None, colour_segmenter.encode_object(staged.item), config, geometry=None, options=None
    )
    image, mask = colour_segmenter.encode_image(frame), staged.mask()
    search = SearchState(
        image=image,
        buffers=staged.buffers(frame),
        track_prior=None,
        budget=replace(FULL, max_masks=0),
        prior_logit=0.0,
    )
    x0, y0, x1, y1 = bounding_box(mask)
    poor = np.zeros_like(mask)
    poor[max(y0 - (y1 - y0) // 2, 0) : y1, x0 : (x0 + x1) // 2] = True
    candidate = Candidate(mask=poor, grown=poor, score=0.5, box=bounding_box(poor))
    aside = make_T(exp_so3([0.0, 0.12, 0.1]) @ T[:3, :3], T[:3, 3] + np.array([0.006, -0.005, 0.008]))
    first = registrar.scored(search, candidate, aside)
    refined = run_to_completion(registrar.refine(search, first))
    assert refined.presence_probability > first.presence_probability
    off_m, before_m = (np.linalg.norm(at.T_cam_centre[:3, 3] - T[:3, 3]) for at in (refined, first))
    assert off_m < 0.3 * before_m


def test_every_side_is_scored_of_a_place_that_the_segmenter_speaks_for(
    staged: Staged, colour_segmenter: Segmenter
) -> None:
    """A mask of the mug's middle says little of its side: a quick registration ends on several. After one that is
    certain no other is scored."""
    frame, middle = staged.frame(), middle_of(staged.mask())

    def scored(score: float, stop_above: float) -> int:
        config = replace(DetectConfig(), stop_above=stop_above, min_visible=0.0)
        registrar, search = prepared(staged, colour_segmenter, frame, config)
        candidate = Candidate(mask=middle, grown=middle, score=score, box=bounding_box(middle))
        best = run_to_completion(registrar.register_fast(search, candidate))
        assert best is not None
        assert best.presence_probability == max(one.presence_probability for one in search.tried)
        return len(search.tried)

    assert scored(0.1, 1.0) == 1
    assert scored(0.5, 1.0) > 1
    assert scored(0.5, 0.85) == 1


@pytest.mark.parametrize("is_by_shape", [True, False])
def test_a_place_where_hardly_anything_agrees_is_given_up_unscored(
    staged: Staged, colour_segmenter: Segmenter, is_by_shape: bool
) -> None:
    """A flat board stands where the mug is looked for."""
    frame, mask = staged.frame(), staged.mask()
    slope_m = 0.002 * (np.arange(640) - 320.0)[None]
    board = replace(frame, depth_m=np.where(mask, 0.65 + slope_m, frame.depth_m).astype(np.float32))

    def registered(least: float) -> int:
        config = replace(DetectConfig(), min_visible=least)
        registrar, search = prepared(staged, colour_segmenter, board, config)
        starts = staged.T_cam_centre[None] if is_by_shape else None
        candidate = Candidate(mask=mask, grown=mask, score=0.1, box=bounding_box(mask), starts=starts)
        best = run_to_completion(registrar.register_fast(search, candidate))
        assert (best is None) == (not search.tried)
        return len(search.tried)

    assert registered(0.0) == 1
    assert registered(0.7) == 0


@pytest.mark.parametrize(("said", "is_given_up"), [(-1.0, True), (2.0, False)])
def test_no_place_is_given_up_where_scorenet_sees_the_object(
    staged: Staged, colour_segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch, said: float, is_given_up: bool
) -> None:
    """Hardly anything of the mask agrees, for that is nearly all beside the mug."""

    def logits(scorer: LonePoseScorer, frame: FrameBuffers, T_cam_centre: np.ndarray) -> np.ndarray:
        return np.full(len(T_cam_centre), said, np.float32)

    monkeypatch.setattr(LonePoseScorer, "logits", logits)
    scorer = LonePoseScorer(staged.item, NetworkBundle.load("nano"))
    config = replace(DetectConfig(), min_visible=0.99)
    registrar, search = prepared(staged, colour_segmenter, staged.frame(), config, scorer)
    beside = np.roll(staged.mask(), 40, axis=1)
    candidate = Candidate(mask=beside, grown=beside, score=0.1, box=bounding_box(beside))
    best = run_to_completion(registrar.register_fast(search, candidate))
    assert (best is None) is is_given_up is (not search.tried)


def test_around_an_improbable_pose_nothing_is_tried(staged: Staged, colour_segmenter: Segmenter) -> None:
    registrar, search = prepared(staged, colour_segmenter, staged.frame(), DetectConfig())
    search.budget = replace(FULL, max_masks=0)
    mask, T = staged.mask(), staged.T_cam_centre
    candidate = Candidate(mask=mask, grown=mask, score=0.9, box=bounding_box(mask))
    first = registrar.scored(search, candidate, make_T(exp_so3([0.0, 0.2, 0.0]) @ T[:3, :3], T[:3, 3]))
    probable, improbable = (replace(first, presence_probability=p) for p in (0.1, 0.01))
    assert run_to_completion(registrar.refine(search, improbable)) is improbable
    assert not search.tried
    run_to_completion(registrar.refine(search, probable))
    assert search.tried


@pytest.mark.parametrize(("score", "count"), [(0.1, 1), (0.5, 2)])
def test_scorenet_says_which_sides_are_scored(
    staged: Staged, colour_segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch, score: float, count: int
) -> None:
    """Of a mask of the mug's middle: one side where the segmenter hardly speaks for it, as many as allowed otherwise.
    Here ScoreNet prefers what is turned the least."""
    frame, middle = staged.frame(), middle_of(staged.mask())
    asked: list[np.ndarray] = []

    def logits(scorer: LonePoseScorer, frame: FrameBuffers, T_cam_centre: np.ndarray) -> np.ndarray:
        asked.append(T_cam_centre)
        return np.array([-rotation_angle(T[:3, :3], staged.T_cam_centre[:3, :3]) for T in T_cam_centre], np.float32)

    monkeypatch.setattr(LonePoseScorer, "logits", logits)
    scorer = LonePoseScorer(staged.item, NetworkBundle.load("nano"))
    config = replace(DetectConfig(), stop_above=1.0, max_sides=2, min_visible=0.0)
    registrar, search = prepared(staged, colour_segmenter, frame, config, scorer)
    candidate = Candidate(mask=middle, grown=middle, score=score, box=bounding_box(middle))
    assert run_to_completion(registrar.register_fast(search, candidate)) is not None
    [poses] = asked
    order = np.argsort([rotation_angle(T[:3, :3], staged.T_cam_centre[:3, :3]) for T in poses])
    assert len(poses) > count == len(search.tried)
    for one, number in zip(search.tried, order, strict=False):
        np.testing.assert_array_equal(one.T_cam_centre, poses[number])
