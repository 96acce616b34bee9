"""AR against the published formulas, written down anew: in millimetres, pixel by pixel and loop by loop."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from storm_edge.bop.dataset import BopDataset
from storm_edge.bop.models import ModelInfo
from storm_edge.bop.scene import BopScene
from storm_edge.evaluate.average_recall import average_recalls, target_labels
from storm_edge.evaluate.bop_errors import mspd, mssd, symmetry_motions, vsd
from storm_edge.evaluate.predictions import Prediction
from storm_edge.evaluate.recall_scene import RecallObject, count_scene, recall_object
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.geometry.symmetry import ContinuousSymmetry
from storm_edge.kernels.renderer import render
from storm_edge.objects.onboard import onboard
from tests.tiny_dataset import write_tiny_dataset

STEPS = [round(0.05 * i, 2) for i in range(1, 11)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> BopDataset:
    return BopDataset(write_tiny_dataset(tmp_path_factory.mktemp("d") / "tiny"))


@pytest.fixture(scope="module")
def objects(dataset: BopDataset) -> list[RecallObject]:
    """The two of scene 000001: one without symmetry, one that is said to be round, and half a turn alike."""
    half_turn = make_T(exp_so3([np.pi, 0.0, 0.0]), [0.0, 0.0, 0.001])
    info = ModelInfo(
        diameter_m=0.171,
        symmetries_discrete=(half_turn,),
        symmetries_continuous=(ContinuousSymmetry(axis=(0.0, 0.0, 2.0), offset_m=(0.001, 0.002, 0.0)),),
    )
    bundles = [onboard(dataset.model(n), "mm", view_subdivisions=0) for n in (1, 2)]
    return [recall_object(bundles[0], dataset.infos[1]), recall_object(bundles[1], info)]


def guesses(scene: BopScene, rng: np.random.Generator) -> list[Prediction]:
    """Poses near the labels and far from them, two for some objects in an image, none for others."""
    found = []
    for frame_id in scene.frame_ids:
        for label in scene.ground_truth(frame_id):
            for _ in range(int(rng.integers(0, 3))):
                turn = exp_so3(rng.normal(0.0, 0.15, 3))
                T = label.T_cam_obj @ make_T(turn, rng.normal(0.0, 0.012, 3))
                score = float(rng.uniform())
                found.append(Prediction(frame_id=frame_id, object_id=str(label.object_id), T_cam_obj=T, score=score))
    return found


# --- the formulas once more -------------------------------------------------------------------------------------


def published_symmetries(info: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """``R, t`` [mm]: discrete ones, the identity among them, each followed by every step of the continuous one."""
    discrete = [(np.eye(3), np.zeros(3))]
    discrete += [(T[:3, :3], T[:3, 3] * 1e3) for T in info.symmetries_discrete]
    count = int(np.ceil(np.pi / 0.01))
    turns = []
    for item in info.symmetries_continuous:
        a, o = np.array(item.axis) / np.linalg.norm(item.axis), np.array(item.offset_m) * 1e3
        cross = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
        for i in range(count):
            angle = 2 * np.pi * i / count
            R = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
            turns.append((R, o - R @ o))
    return [(Rc @ Rd, Rc @ td + tc) for Rd, td in discrete for Rc, tc in turns or [(np.eye(3), np.zeros(3))]]


def published_errors(item: RecallObject, info: Any, frame: Any, T_true: np.ndarray, T: np.ndarray) -> dict[str, Any]:
    points, d_mm = item.points * 1e3, item.diameter_m * 1e3
    R_e, t_e, R_g, t_g = T[:3, :3], T[:3, 3] * 1e3, T_true[:3, :3], T_true[:3, 3] * 1e3
    mine = points @ R_e.T + t_e
    surface, pixels = [], []
    for R_s, t_s in published_symmetries(info):
        theirs = points @ (R_g @ R_s).T + R_g @ t_s + t_g
        surface.append(max(np.linalg.norm(a - b) for a, b in zip(mine, theirs, strict=True)))
        uv = [(p[:, :2] / p[:, 2:]) * frame.K[0, 0] + frame.K[:2, 2] for p in (mine, theirs)]
        pixels.append(max(np.linalg.norm(a - b) for a, b in zip(*uv, strict=True)))
    size = frame.size_px
    images = [render(item.bundle.mesh, p @ item.bundle.T_obj_centre, frame.K, size).depth[0] for p in (T_true, T)]
    costs, union = np.zeros(10), 0
    for v, u in itertools.product(range(size[0]), range(size[1])):
        ray = np.sqrt(((u - frame.K[0, 2]) / frame.K[0, 0]) ** 2 + ((v - frame.K[1, 2]) / frame.K[1, 1]) ** 2 + 1)
        g, e, m = (float(image[v, u]) * 1e3 * ray for image in (*images, frame.depth_m))
        seen_g = g > 0 and (m == 0 or g - m <= 15)
        seen_e = e > 0 and (m == 0 or e - m <= 15 or seen_g)
        union += seen_g or seen_e
        if seen_g and seen_e:
            costs += [abs(g - e) / d_mm >= tau for tau in np.arange(0.05, 0.51, 0.05)]
        elif seen_g or seen_e:
            costs += 1
    vsds = costs / union if union else np.ones(10)
    return {"vsd": vsds, "mssd": min(surface) / d_mm, "mspd": min(pixels) * 640 / size[1]}


def published_ar(scene: BopScene, objects: list[RecallObject], infos: list[Any], given: list[Prediction]) -> Any:
    """AR of VSD, MSSD, MSPD and their mean; every object is at most once in an image of this scene."""
    targets, hits = 0, {"vsd": np.zeros((10, 10)), "mssd": np.zeros(10), "mspd": np.zeros(10)}
    for frame_id in scene.frame_ids:
        frame = scene.frame(frame_id)
        for item, info in zip(objects, infos, strict=True):
            number = item.bundle.bop_id
            [truth] = [label for label in scene.ground_truth(frame_id) if label.object_id == number]
            targets += 1
            mine = [p for p in given if p.frame_id == frame_id and p.object_id == str(number)]
            if not mine:
                continue
            best = max(mine, key=lambda p: p.score)
            assert best.T_cam_obj is not None
            e = published_errors(item, info, frame, truth.T_cam_obj, best.T_cam_obj)
            hits["vsd"] += e["vsd"][:, None] < np.array(STEPS)[None]
            hits["mssd"] += e["mssd"] < np.array(STEPS)
            hits["mspd"] += e["mspd"] < np.arange(5, 51, 5)
    parts = [hits[name].mean() / targets for name in ("vsd", "mssd", "mspd")]
    return targets, [*parts, np.mean(parts)]


def test_average_recall_is_that_of_the_published_formulas(dataset: BopDataset, objects: list[RecallObject]) -> None:
    scene = BopScene(dataset.scenes["000001"])
    infos = [
        dataset.infos[1],
        ModelInfo(
            diameter_m=0.171,
            symmetries_discrete=(make_T(exp_so3([np.pi, 0.0, 0.0]), [0.0, 0.0, 0.001]),),
            symmetries_continuous=(ContinuousSymmetry(axis=(0.0, 0.0, 2.0), offset_m=(0.001, 0.002, 0.0)),),
        ),
    ]
    given = guesses(scene, np.random.default_rng(5))
    *_, total = average_recalls(count_scene(scene, given, objects))
    targets, expected = published_ar(scene, objects, infos, given)
    assert total.target_count == targets == 4
    got = [total.ar_vsd, total.ar_mssd, total.ar_mspd, total.ar]
    assert 0.0 < expected[3] < 1.0  # the guesses are neither all right nor all wrong
    np.testing.assert_allclose(got, expected, rtol=0.0, atol=1e-6)


def test_each_error_is_that_of_the_published_formulas(dataset: BopDataset, objects: list[RecallObject]) -> None:
    scene = BopScene(dataset.scenes["000001"])
    frame, item = scene.frame(0), objects[0]
    truth = scene.ground_truth(0)[0].T_cam_obj
    T = truth @ make_T(exp_so3([0.1, -0.2, 0.05]), [0.01, 0.02, -0.015])
    expected = published_errors(item, dataset.infos[1], frame, truth, T)
    depths = [
        render(item.bundle.mesh, p @ item.bundle.T_obj_centre, frame.K, frame.size_px).depth[0] for p in (truth, T)
    ]
    np.testing.assert_allclose(vsd(*depths, frame.depth_m, frame.K, item.diameter_m), expected["vsd"], atol=1e-9)
    assert mssd(truth, T, item.points, item.symmetries) / item.diameter_m == pytest.approx(expected["mssd"], abs=1e-9)
    error = mspd(truth, T, item.points, item.symmetries, frame.K) * 640 / frame.size_px[1]
    assert error == pytest.approx(expected["mspd"], abs=1e-6)


def test_symmetries_are_those_of_the_challenge(objects: list[RecallObject]) -> None:
    assert len(objects[0].symmetries) == 1
    assert len(objects[1].symmetries) == 2 * 315
    info = ModelInfo(diameter_m=1.0, symmetries_discrete=(make_T(exp_so3([0.0, 0.0, np.pi]), [0.0, 0.0, 0.0]),))
    assert symmetry_motions(info).shape == (2, 4, 4)


def test_the_most_visible_labels_are_to_be_found() -> None:
    assert target_labels([0.05, 0.9, 0.3], None) == [1, 2]
    assert target_labels([0.05, 0.9, 0.3], 1) == [1]
    assert target_labels([None, None], None) == [0, 1]


def test_instances_are_taken_once_by_the_best_scores() -> None:
    from storm_edge.evaluate.average_recall import RecallCounts, TargetErrors

    # The first estimate is nearest to both labels; the second has to do with the other one.
    errors = np.array([[0.06, 0.04], [0.30, 0.20]])
    counts = RecallCounts()
    counts.add(TargetErrors(vsd=np.repeat(errors[..., None], 10, axis=2), mssd=errors, mspd=errors * 100, count=2))
    assert counts.targets == 2
    # Thresholds 0.05 to 0.5: the first takes label 1 at once, the second label 0 where more than 0.30 is allowed.
    assert counts.mssd.tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 2, 2]
