"""A tiny rendered scene, judged against predictions whose errors are known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.scene import BopScene
from storm_edge.errors import InputError, SceneError
from storm_edge.evaluate.pose_evaluation import PoseEvaluation, evaluate_scene
from storm_edge.evaluate.poses import score_poses
from storm_edge.evaluate.predictions import Prediction
from storm_edge.evaluate.report import POSE_REPORT, score_tables, write_report
from storm_edge.evaluate.tracking import by_instance, report_tracking
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard, symmetry_about
from tests.tiny_scene import MODEL, OBJECT_ID, pose, write_tiny_scene

FRAMES = 4


@pytest.fixture(scope="module")
def scene_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_scene(tmp_path_factory.mktemp("scene") / "tiny", frame_count=FRAMES)


@pytest.fixture(scope="module")
def bundle(scene_path: Path) -> ObjectBundle:
    return onboard(scene_path / MODEL, "mm", view_subdivisions=0)


@pytest.fixture
def scene(scene_path: Path) -> Iterator[BopScene]:
    yield BopScene(scene_path)
    (scene_path / "pose_quality.json").unlink(missing_ok=True)


def predicted(index: int, T_error: np.ndarray | None = None, *, score: float = 1.0, name: str = "") -> Prediction:
    T = pose(index) if T_error is None else pose(index) @ T_error
    return Prediction(frame_id=index, object_id=name or f"obj_{OBJECT_ID:06d}", T_cam_obj=T, score=score)


def shifted(x_m: float) -> np.ndarray:
    return make_T(np.eye(3), [x_m, 0.0, 0.0])


def test_the_truth_scores_full_marks(scene: BopScene, bundle: ObjectBundle) -> None:
    evaluations = evaluate_scene(scene, [predicted(i) for i in range(FRAMES)], [bundle])
    [total] = score_poses(evaluations)
    assert (total.label_count, total.pose_count, total.mask_count) == (FRAMES, FRAMES, FRAMES)
    assert (total.add_recall, total.add_s_recall) == (1.0, 1.0)
    assert total.add_auc == pytest.approx(100.0, abs=1e-3)
    assert total.iou_mean == pytest.approx(1.0, abs=0.01)  # the model file rounds vertices to float32 mm
    assert total.depth_residual_median_m == pytest.approx(0.0, abs=6e-5)  # depth steps are 0.1 mm


def test_a_known_shift_is_measured(scene: BopScene, bundle: ObjectBundle) -> None:
    first, *rest = evaluate_scene(scene, [predicted(0, shifted(0.01))], [bundle])
    assert first.add_m == pytest.approx(0.010, abs=1e-6)
    assert first.translation_m == pytest.approx(0.010, abs=1e-6)
    assert first.rotation_deg == pytest.approx(0.0, abs=1e-4)
    assert 0.5 < (first.iou or 0.0) < 1.0
    assert [j.T_pred for j in rest] == [None] * (FRAMES - 1)
    assert all(np.isinf(j.add_m) and j.iou == 0.0 for j in rest)
    [total] = score_poses([first, *rest])
    assert (total.pose_count, total.add_recall) == (1, 1 / FRAMES)
    assert total.add_auc == pytest.approx(90.0 / FRAMES, abs=1e-3)  # 1 - 10 mm / 100 mm
    assert total.add_median_m == pytest.approx(0.010, abs=1e-6)


def test_a_stated_symmetry_forgives_the_turn_and_plain_add_does_not(scene_path: Path, scene: BopScene) -> None:
    symmetric = onboard(scene_path / MODEL, "mm", symmetries=symmetry_about("z:2"), view_subdivisions=0)
    half_turn = make_T(exp_so3([0.0, 0.0, np.pi]), np.zeros(3))
    first = evaluate_scene(scene, [predicted(0, half_turn)], [symmetric])[0]
    assert first.add_symmetric_m == pytest.approx(0.0, abs=1e-6)
    assert first.rotation_deg == pytest.approx(0.0, abs=1e-4)
    # Every corner of the 100 x 140 mm section is hypot(50, 70) mm from the axis and moves by twice that.
    assert first.add_m == pytest.approx(2.0 * np.hypot(0.05, 0.07), abs=1e-6)
    assert first.add_s_m == pytest.approx(0.0, abs=1e-6)


def test_the_most_confident_prediction_counts_and_numbers_name_objects_too(
    scene: BopScene, bundle: ObjectBundle
) -> None:
    found = evaluate_scene(
        scene,
        [predicted(0, shifted(0.05), score=0.2), predicted(0, score=0.9, name=str(OBJECT_ID))],
        [bundle],
    )
    assert found[0].add_m == pytest.approx(0.0, abs=1e-6)


def test_objects_that_do_not_belong_are_refused(scene: BopScene, bundle: ObjectBundle) -> None:
    with pytest.raises(InputError, match="'obj_000009'"):
        evaluate_scene(scene, [predicted(0)], [replace(bundle, object_id="obj_000009")])
    with pytest.raises(InputError, match="got objects cup"):
        evaluate_scene(scene, [predicted(0, name="cup")], [bundle])
    assert evaluate_scene(scene, [predicted(0, name="crate")], [replace(bundle, object_id="crate")])


def two_instances(scene_path: Path) -> BopScene:
    """The same recording with a second label of the object, 0.2 m beside the first; without masks of it."""
    labels = json.loads((scene_path / "scene_gt.json").read_text())
    for entries in labels.values():
        x, y, z = entries[0]["cam_t_m2c"]
        entries.append({**entries[0], "cam_t_m2c": [x + 200.0, y, z]})
    (scene_path / "scene_gt_double.json").write_text(json.dumps(labels))
    return BopScene(scene_path, labels="scene_gt_double.json")


def beside(index: int) -> np.ndarray:
    return make_T(np.eye(3), [0.2, 0.0, 0.0]) @ pose(index)


NAME = f"obj_{OBJECT_ID:06d}"


def test_instances_are_matched_to_labels_and_what_is_left_was_missed(scene_path: Path, bundle: ObjectBundle) -> None:
    scene = two_instances(scene_path)
    given = []
    for index in range(FRAMES):  # named the other way round than the labels, and changing places in the last frame
        first, second = (beside(index), pose(index)) if index < FRAMES - 1 else (pose(index), beside(index))
        given.append(Prediction(frame_id=index, object_id=NAME, T_cam_obj=first, score=0.9, state="TRACKING"))
        given.append(Prediction(frame_id=index, object_id=f"{NAME}#2", T_cam_obj=second, score=0.8, state="TRACKING"))
    given[0] = replace(given[0], T_cam_obj=None, state="LOST")
    found = evaluate_scene(scene, given, [bundle])
    assert [(j.frame_id, j.instance) for j in found] == [(i, k) for i in range(FRAMES) for k in range(2)]
    assert [j.state for j in found[:2]] == ["TRACKING", "LOST"]
    assert found[0].add_m == pytest.approx(0.0, abs=1e-6)
    assert found[1].T_pred is None
    assert all(j.add_m == pytest.approx(0.0, abs=1e-6) for j in found[2:])
    [total] = score_poses(found)
    assert (total.label_count, total.pose_count) == (2 * FRAMES, 2 * FRAMES - 1)
    assert [report_tracking(one).object_id for one in by_instance(found)] == [NAME, f"{NAME}#2"]
    assert [report_tracking(one).pose_count for one in by_instance(found)] == [FRAMES, FRAMES - 1]


def test_lines_of_a_result_file_are_instances_by_their_score(scene_path: Path, bundle: ObjectBundle) -> None:
    scene = two_instances(scene_path)
    number = str(OBJECT_ID)
    lines = [
        Prediction(frame_id=0, object_id=number, T_cam_obj=beside(0), score=0.9),
        Prediction(frame_id=0, object_id=number, T_cam_obj=pose(0) @ shifted(0.01), score=0.8),
        Prediction(frame_id=0, object_id=number, T_cam_obj=pose(0), score=0.1),  # a third: one more than there are
        Prediction(frame_id=1, object_id=number, T_cam_obj=pose(1), score=0.5),
    ]
    found = evaluate_scene(scene, lines, [bundle])
    assert [j.add_m for j in found[:2]] == pytest.approx([0.01, 0.0], abs=1e-6)
    assert [j.T_pred is None for j in found[2:4]] == [False, True]


def test_of_two_instances_that_were_asked_for_the_one_at_the_only_label_counts(
    scene: BopScene, bundle: ObjectBundle
) -> None:
    given = [
        Prediction(frame_id=0, object_id=NAME, T_cam_obj=beside(0), score=0.9),
        Prediction(frame_id=0, object_id=f"{NAME}#2", T_cam_obj=pose(0), score=0.4),
    ]
    assert evaluate_scene(scene, given, [bundle])[0].add_m == pytest.approx(0.0, abs=1e-6)


def test_labels_that_are_missing_are_refused(scene_path: Path, bundle: ObjectBundle) -> None:
    with pytest.raises(SceneError, match="no such file"):
        evaluate_scene(BopScene(scene_path, labels="scene_gt_missing.json"), [predicted(0)], [bundle])


@pytest.mark.parametrize("has_note", [False, True])
def test_tracking_is_judged_by_the_good_labels_only(
    scene_path: Path, scene: BopScene, bundle: ObjectBundle, has_note: bool
) -> None:
    classes = {"0": {"quality": "A"}, "1": {"quality": "C"}, "2": {"quality": "B"}, "3": {"quality": "A"}}
    content = {"note": "made by hand", "frames": classes} if has_note else classes
    (scene_path / "pose_quality.json").write_text(json.dumps(content))
    errors_m = [0.001, 0.09, 0.004, 0.002]
    evaluations = evaluate_scene(scene, [predicted(i, shifted(e)) for i, e in enumerate(errors_m)], [bundle])
    report = report_tracking(evaluations)
    assert (report.frame_count, report.pose_count, report.judged.label_count) == (4, 4, 3)
    assert report.judged.add_recall == 1.0
    assert (report.worst_frame, report.loss_count) == (2, 0)
    assert report.worst_add_m == pytest.approx(0.004, abs=1e-6)
    assert [c.name for c in report.classes] == ["class A", "class B", "class C"]
    assert report.classes[2].add_recall == 0.0
    # Neighbours differ by 89, 86 and 2 mm.
    assert report.jitter_translation_m == pytest.approx(0.086, abs=1e-6)
    assert report.jitter_rotation_deg == pytest.approx(0.0, abs=1e-4)


def judgement(index: int, add_m: float | None) -> PoseEvaluation:
    return PoseEvaluation(
        frame_id=index,
        object_id="box",
        diameter_m=0.2,
        quality=None,
        T_true=np.eye(4),
        T_pred=None if add_m is None else shifted(add_m),
        add_symmetric_m=np.inf if add_m is None else add_m,
    )


def test_losses_are_runs_of_lost_frames() -> None:
    report = report_tracking([judgement(i, e) for i, e in enumerate([0.001, 0.03, None, 0.001, 0.021, 0.01, None])])
    assert (report.loss_count, report.longest_loss_frames) == (3, 2)
    assert (report.worst_frame, report.worst_add_m) == (2, None)


def test_a_constant_offset_is_no_jitter() -> None:
    report = report_tracking([judgement(i, 0.01) for i in range(5)])
    assert report.jitter_translation_m == pytest.approx(0.0, abs=1e-12)


def test_the_report_is_plain_json_and_the_table_has_a_row_per_score(tmp_path: Path) -> None:
    evaluations = [judgement(0, 0.01), judgement(1, None)]
    write_report(tmp_path / "out", {"scores": score_poses(evaluations), "labels": evaluations}, POSE_REPORT)
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert content["scores"][0]["label_count"] == 2
    assert content["labels"][1]["add_m"] is None
    assert content["labels"][0]["T_pred"][0][3] == 0.01
    (table,) = score_tables(score_poses(evaluations), title="poses")
    assert len(table.columns) == 2


def tracked(index: int, state: str, T_error: np.ndarray | None = None) -> Prediction:
    return replace(predicted(index, T_error), state=state)


def test_losses_and_alarms_are_judged_where_visibility_is_known(scene: BopScene, bundle: ObjectBundle) -> None:
    """Right, then 5 cm off and still tracked, then lost, then right again."""
    gone = replace(tracked(2, "LOST"), T_cam_obj=None)
    lines = [tracked(0, "TRACKING"), tracked(1, "TRACKING", shifted(0.05)), gone, tracked(3, "TRACKING")]
    evaluations = evaluate_scene(scene, lines, [bundle])
    assert [j.visible_share for j in evaluations] == [1.0] * FRAMES
    report = report_tracking(evaluations)
    assert report.recovery is not None
    assert report.recovery.lost.detected == (1,)
    assert report.recovery.drift_count == 1
    assert "median 1 frames to detect" in report.recovery_sentence()
    # Lines that are not there are left out, not taken for anything.
    fewer = report_tracking(evaluate_scene(scene, lines[:2] + lines[3:], [bundle]))
    assert fewer.unreported_count == 1
    assert "1 unreported frames left out" in fewer.recovery_sentence()


def test_where_it_cannot_be_judged_it_says_why(bundle: ObjectBundle, tmp_path: Path) -> None:
    path = write_tiny_scene(tmp_path / "tiny", frame_count=2)
    (path / "scene_gt_info.json").unlink()
    masked = report_tracking(evaluate_scene(BopScene(path), [tracked(0, "TRACKING")], [bundle]))
    assert masked.recovery is not None  # both masks are there
    (path / "mask" / "000000_000000.png").unlink()
    blind = report_tracking(evaluate_scene(BopScene(path), [tracked(0, "TRACKING")], [bundle]))
    assert blind.recovery is None
    assert (
        "not judged, the scene does not say how much of the object is visible in 1 of 1" in blind.recovery_sentence()
    )
    stateless = report_tracking(evaluate_scene(BopScene(path), [predicted(0)], [bundle]))
    assert "the predictions name no state" in stateless.recovery_sentence()
