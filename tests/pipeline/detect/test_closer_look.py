"""A doubtful place is looked at closely: its pose is put right, and print that is not its own speaks against it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import rotation_angle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.detect.candidate_scoring import logit_of
from storm_edge.pipeline.detect.closer_look import CloserLook, presence_after
from storm_edge.pipeline.detect.config import FULL, CloserLookConfig, CloserLookWeights, DetectConfig
from storm_edge.pipeline.detect.detection import Detection, Look, SearchState
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.lone_scores import open_lone_scorer
from storm_edge.pipeline.refine.networks import PoseScorer
from storm_edge.pipeline.segment.segmentation import Candidate
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.side.config import SideConfig
from tests.faulty import FaultyBundle
from tests.nano_with_score import write_nano_without_score
from tests.pipeline.detect.neutral import NEUTRAL
from tests.pipeline.side.sides import bundle_of, marked_box, picture, pose, speckled_can
from tests.staged import Staged

DOUBTFUL = 0.6


def detection(T_cam_centre: np.ndarray, probability: float = DOUBTFUL) -> Detection:
    nothing = np.zeros((240, 320), dtype=bool)
    candidate = Candidate(mask=nothing, grown=nothing, score=0.5, box=(0, 0, 1, 1))
    return Detection(
        mask=nothing,
        candidate=candidate,
        T_cam_centre=T_cam_centre,
        presence_probability=probability,
        features=NEUTRAL,
    )


def search_of(frame: Frame, segmenter: Segmenter) -> SearchState:
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)
    image = segmenter.encode_image(frame)
    return SearchState(image=image, buffers=buffers, track_prior=None, budget=FULL, prior_logit=0.0)


def look_at(mesh: Mesh, networks: NetworkBundle | None = None) -> CloserLook:
    item = ObjectOnDevice(bundle_of(mesh))
    return CloserLook(item, SideConfig(), CloserLookConfig(), open_lone_scorer(item, networks))


def looked(look: CloserLook, search: SearchState, first: Detection, settled: float = 0.61) -> Detection:
    """What the closer look makes of a detection; what it settles on is scored with a given probability."""
    return run_to_completion(look.chunks(search, first, lambda T: detection(T, settled)))


@pytest.fixture(scope="module")
def at_box() -> CloserLook:
    return look_at(marked_box())


def test_what_is_neither_hopeless_nor_probable_is_looked_at(at_box: CloserLook, colour_segmenter: Segmenter) -> None:
    search = search_of(picture(marked_box(), pose()), colour_segmenter)
    assert [at_box.is_due(search, detection(pose(), p)) for p in (0.01, 0.3, 0.7, 0.95)] == [False, True, True, False]


def test_so_is_a_probable_place_in_other_colours(colour_segmenter: Segmenter) -> None:
    """A can of the same shape that is white and grey half and half, whichever gain: not black and white."""
    can = speckled_can()
    grey = replace(can, colours=np.where(can.colours < 0.5, np.float32(0.6), can.colours))
    search = search_of(picture(grey, pose()), colour_segmenter)
    assert look_at(can).is_due(search, detection(pose(), 0.95))
    assert not look_at(grey).is_due(search, detection(pose(), 0.95))


def test_a_turned_pose_is_put_right(at_box: CloserLook, colour_segmenter: Segmenter) -> None:
    search = search_of(picture(marked_box(), pose(70.0)), colour_segmenter)
    found = looked(at_box, search, detection(pose(250.0)))
    assert np.rad2deg(rotation_angle(found.T_cam_centre[:3, :3], pose(70.0)[:3, :3])) < 5.0
    assert found.look is not None
    assert found.look.first_probability == 0.61


def test_the_first_pose_stays_where_the_settled_one_is_less_probable(
    at_box: CloserLook, colour_segmenter: Segmenter
) -> None:
    search, first = search_of(picture(marked_box(), pose(70.0)), colour_segmenter), detection(pose(70.0))
    found = looked(at_box, search, first, settled=0.1)
    np.testing.assert_array_equal(found.T_cam_centre, first.T_cam_centre)
    assert found.look is not None
    assert found.look.first_probability == DOUBTFUL


def test_small_print_speaks_for_the_object_and_against_another_of_its_kind(colour_segmenter: Segmenter) -> None:
    can = speckled_can()
    look = look_at(can)
    own, another = (
        looked(look, search_of(picture(seen, pose()), colour_segmenter), detection(pose()))
        for seen in (can, speckled_can(seed=4))
    )
    assert own.look is not None
    assert another.look is not None
    assert own.look.detail < -0.4  # the print is seen as the model has it: -0.5 at best
    assert another.look.detail > 0.2
    config = CloserLookConfig()
    assert own.presence_probability > presence_after(replace(own.look, detail=0.0), config)
    assert another.presence_probability < presence_after(replace(another.look, detail=0.0), config)
    assert own.presence_probability > DOUBTFUL
    # All else is alike here, so this is what print and the palette are worth: 2.5.
    assert logit_of(own.presence_probability) - logit_of(another.presence_probability) > 2.3


def test_presence_after_a_look_is_a_logistic_regression() -> None:
    plain = CloserLookWeights(
        first=0.5, detail=-2.0, depth=-4.0, elsewhere=-0.5, palette=2.0, contour=-1.0, constant=1.0
    )
    asked = replace(plain, network=0.5, constant=0.75)
    config = CloserLookConfig(weights=asked, weights_without_network=plain, most_logit=3.0)
    look = Look(first_probability=0.9, detail=0.25, depth=0.1, elsewhere=0.1, palette=0.75, contour=0.5)
    probability = presence_after(look, config)
    expected = 0.5 * np.log(9.0) - 0.5 - 0.4 + 0.5 * np.log(9.0) + 1.5 - 0.5 + 1.0
    assert np.log(probability / (1.0 - probability)) == pytest.approx(expected)
    nowhere_else = presence_after(replace(look, elsewhere=0.0), config)
    assert nowhere_else == presence_after(replace(look, elsewhere=config.least_elsewhere), config) > probability
    for said, counted in ((1.0, 1.0), (7.0, 3.0), (-7.0, -3.0)):
        with_network = presence_after(replace(look, network=said), config)
        assert logit_of(with_network) == pytest.approx(expected - 0.25 + 0.5 * counted)


def test_a_scorenet_that_knows_single_poses_is_asked_and_no_other(
    colour_segmenter: Segmenter, tmp_path: Path
) -> None:
    """Ours says more of the can than of another print; upstream's says which of several is better, no more."""
    can, nano = speckled_can(), NetworkBundle.load("nano")
    look = look_at(can, nano)
    own, another = (
        looked(look, search_of(picture(seen, pose()), colour_segmenter), detection(pose())).look
        for seen in (can, speckled_can(seed=4))
    )
    assert own is not None
    assert another is not None
    assert own.network is not None
    assert another.network is not None
    assert own.network > another.network
    search = search_of(picture(can, pose()), colour_segmenter)
    for networks in (
        NetworkBundle.load(write_nano_without_score(tmp_path / "bare")),
        replace(nano, tier="full"),
    ):
        unasked = looked(look_at(can, networks), search, detection(pose())).look
        assert unasked is not None
        assert unasked.network is None


def test_a_probable_place_is_looked_at_where_scorenet_thinks_otherwise(
    colour_segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    can = speckled_can()
    search, look = search_of(picture(can, pose()), colour_segmenter), look_at(can, NetworkBundle.load("nano"))
    answered = PoseScorer.scores
    for said, is_due in ((2.0, False), (-2.0, True)):

        def scores(scorer: PoseScorer, said: float = said) -> np.ndarray:
            return np.full_like(answered(scorer), said)

        monkeypatch.setattr(PoseScorer, "scores", scores)
        assert look.is_due(search, detection(pose(), 0.95)) is is_due


def test_an_answer_that_is_no_number_counts_as_the_worst(colour_segmenter: Segmenter) -> None:
    can = speckled_can()
    networks = FaultyBundle.nano()
    networks.plan.answers["score_attention"] = float("nan")
    look = look_at(can, networks)
    found = looked(look, search_of(picture(can, pose()), colour_segmenter), detection(pose()))
    assert found.look is not None
    assert found.look.network is not None
    assert found.look.network < -CloserLookConfig().most_logit


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_search_looks_closer_at_what_it_doubts_alone(
    staged: Staged, colour_segmenter: Segmenter, is_asked: bool
) -> None:
    """All is doubtful here; and nothing is where the budget has no closer look."""
    doubtful = replace(DetectConfig(), closer=CloserLookConfig(least=0.0, below=1.0))
    detector = Detector(staged.item, colour_segmenter, config=doubtful)
    frame = staged.frame()
    search = detector.detect(frame, staged.buffers(frame), budget=replace(FULL, closer_look=is_asked))
    assert any(one.look is not None for one in search.detections) is is_asked
    certain = Detector(staged.item, colour_segmenter).detect(frame, staged.buffers(frame))
    assert all(one.look is None for one in certain.detections)
    assert search.found is not None
    assert certain.found is not None
