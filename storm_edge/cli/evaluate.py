"""`storm-edge eval`: masks and poses against the labels of a BOP scene, or of a whole dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storm_edge.choices import AddSFrom, AucRule, LengthUnit, MissingPoses
from storm_edge.cli import evaluate_dataset, evaluate_tom
from storm_edge.cli.console import print_table, progress_bars, say
from storm_edge.cli.dataset_run import DatasetRequest, refuse_dataset_options, require_objects
from storm_edge.cli.inputs import open_object, open_scene
from storm_edge.cli.options import (
    CameraOption,
    ForceOption,
    LabelsOption,
    ObjectsOfAnyOption,
    ObjectsOption,
    SceneOrDatasetOption,
    SplitOption,
    UnitOption,
)
from storm_edge.result_folder import check_replaceable

if TYPE_CHECKING:
    from storm_edge.bop.scene import BopScene
    from storm_edge.evaluate.pose_evaluation import PoseEvaluation
    from storm_edge.evaluate.predictions import Prediction
    from storm_edge.objects.bundle import ObjectBundle

app = typer.Typer(
    help="Judge masks, poses and the verifier against ground truth.", no_args_is_help=True, rich_markup_mode=None
)
app.command("tom")(evaluate_tom.command)

Segmented = Annotated[Path, typer.Argument(help="Folder that `storm-edge segment` left.", show_default=False)]
Predictions = Annotated[
    Path,
    typer.Argument(
        help="poses.jsonl, a BOP result file, scene_pred.json, or the folder that holds one of them; for a dataset "
        "the folder of its run, a BOP result file, or a folder with such files for each scene.",
        show_default=False,
    ),
]
Scene = Annotated[Path, typer.Option(help="BOP scene folder with labels.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder to write report.json to.", show_default=False)]
AddSFromOption = Annotated[
    AddSFrom, typer.Option("--add-s-from", help="Whose points look for the nearest ones: STORM asks prediction's.")
]
AucOption = Annotated[AucRule, typer.Option(help="Rule of the AUC: exact, or as upstream's evaluations sample it.")]
MissingOption = Annotated[MissingPoses, typer.Option(help="Whether labels without a pose count as misses.")]


@app.command("masks")
def masks(
    predictions: Segmented,
    scene: SceneOrDatasetOption,
    out: Out,
    objects: ObjectsOfAnyOption = None,
    labels: LabelsOption = None,
    camera: CameraOption = None,
    unit: UnitOption = None,
    split: SplitOption = None,
    force: ForceOption = False,
) -> None:
    """IoU, AP over IoU 0.5 to 0.95 as COCO defines it, misses and false finds, per object and their mean."""
    from storm_edge.evaluate.mask_results import evaluate_mask_scene, read_mask_results
    from storm_edge.evaluate.masks import score_masks
    from storm_edge.evaluate.report import MASK_REPORT, mask_tables, write_report
    from storm_edge.evaluate.scene_match import check_run

    check_replaceable(out, MASK_REPORT, force=force, inputs=[predictions, scene, *(objects or [])])
    request = _of_dataset(scene, objects, out, (labels, camera), unit, split)
    if request is not None:
        evaluate_dataset.eval_masks(predictions, request, force=force)
        return
    objects = require_objects(objects)
    found = read_mask_results(predictions)
    recording = open_scene(scene, labels, camera)
    check_run(predictions, recording)
    with progress_bars() as report:
        bundles = [open_object(path, unit, view_subdivisions=0, report=report) for path in objects]
        judged = evaluate_mask_scene(recording, found, bundles, progress=lambda done, of: report("judge", done / of))
    scores = score_masks(judged.evaluations)
    content = {"scores": scores, "unjudged_frames": judged.unjudged_frames, "images": judged.evaluations}
    write_report(out, content, MASK_REPORT, force=force)
    for table in mask_tables(scores, title=f"{scene.name}: answers judged: {len(judged.evaluations)}"):
        print_table(table)
    if judged.unjudged_frames:
        say(f"{len(judged.unjudged_frames)} images have no mask_visib of a labelled object and are not judged there")


@app.command("poses")
def poses(
    predictions: Predictions,
    scene: SceneOrDatasetOption,
    out: Out,
    objects: ObjectsOfAnyOption = None,
    labels: LabelsOption = None,
    camera: CameraOption = None,
    unit: UnitOption = None,
    add_s_from: AddSFromOption = AddSFrom.TRUTH,
    auc: AucOption = AucRule.EXACT,
    missing: MissingOption = MissingPoses.COUNT,
    split: SplitOption = None,
    targets: Annotated[
        Path | None,
        typer.Option(
            help="BOP file of a dataset's targets: only what it lists is judged. By default the one in the dataset.",
            show_default=False,
        ),
    ] = None,
    recall: Annotated[
        bool | None,
        typer.Option(
            "--ar/--no-ar",
            help="Average recall of the BOP challenge (VSD, MSSD, MSPD), too. By default of datasets.",
            show_default=False,
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """ADD, ADD-S, their recall at 0.1 d and AUC to 0.1 m, per object and in total; AR of the BOP challenge."""
    from storm_edge.evaluate.pose_rules import PoseRules
    from storm_edge.evaluate.poses import score_poses
    from storm_edge.evaluate.report import POSE_REPORT, write_report

    check_replaceable(out, POSE_REPORT, force=force, inputs=[predictions, scene, *(objects or [])])
    rules = PoseRules(add_s_from=add_s_from, auc=auc, missing=missing)
    request = _of_dataset(scene, objects, out, (labels, camera), unit, split)
    if request is not None:
        choices = evaluate_dataset.PoseChoices(rules=rules, targets=targets, recall=recall is not False)
        evaluate_dataset.eval_poses(predictions, request, choices, force=force)
        return
    refuse_dataset_options(None, None, targets=targets)
    judged = _judge(predictions, scene, require_objects(objects), (labels, camera), unit, add_s_from)
    scores = score_poses(judged.evaluations, rules)
    recalls = evaluate_dataset.scene_recalls(judged.scene, judged.predictions, judged.bundles) if recall else []
    content: dict[str, Any] = {"rules": rules.report(), "scores": scores, "labels": judged.evaluations}
    if recall:
        content["average_recall"] = recalls
    write_report(out, content, POSE_REPORT, force=force)
    evaluate_dataset.print_scores(scores, rules, title=f"{scene.name}: {len(judged.evaluations)} labels")
    evaluate_dataset.print_recalls(recalls)


@app.command("tracking")
def tracking(
    predictions: Predictions,
    scene: Scene,
    objects: ObjectsOption,
    out: Out,
    labels: LabelsOption = None,
    camera: CameraOption = None,
    unit: UnitOption = None,
    force: ForceOption = False,
) -> None:
    """How well each object was followed: classes of labels, worst frame, losses, alarms and recoveries, jitter."""
    from storm_edge.evaluate.report import TRACKING_REPORT, score_tables, write_report
    from storm_edge.evaluate.tracking import by_instance, report_tracking

    check_replaceable(out, TRACKING_REPORT, force=force, inputs=[predictions, scene, *objects])
    evaluations = _judge(predictions, scene, objects, (labels, camera), unit).evaluations
    reports = [report_tracking(one) for one in by_instance(evaluations)]
    write_report(out, {"objects": reports, "labels": evaluations}, TRACKING_REPORT, force=force)
    for report in reports:
        title = f"{scene.name}: {report.object_id}, a pose in {report.pose_count} of {report.frame_count} frames"
        for table in score_tables([report.judged, *report.classes], title=title):
            print_table(table)
        typer.echo(report.sentence())
        typer.echo(report.recovery_sentence())


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """What was judged by what."""

    scene: BopScene
    predictions: list[Prediction]
    bundles: list[ObjectBundle]
    evaluations: list[PoseEvaluation]


def _of_dataset(
    path: Path,
    objects: list[Path] | None,
    out: Path,
    files: tuple[str | None, str | None],
    unit: LengthUnit | None,
    split: str | None,
) -> DatasetRequest | None:
    """The dataset that was named; None where it was a scene."""
    from storm_edge.bop.dataset import is_dataset

    if not is_dataset(path):
        refuse_dataset_options(split, None)
        return None
    return DatasetRequest(
        path=path,
        out=out,
        split=split,
        shard=None,
        objects=objects or [],
        unit=unit,
        labels=files[0],
        camera=files[1],
        view_subdivisions=0,  # sparse views are for tracking; judging needs the mesh alone
    )


def _judge(
    predictions: Path,
    scene: Path,
    objects: list[Path],
    files: tuple[str | None, str | None],
    unit: LengthUnit | None,
    add_s_from: AddSFrom = AddSFrom.TRUTH,
) -> _Judged:
    from storm_edge.evaluate.pose_evaluation import evaluate_scene
    from storm_edge.evaluate.predictions import read_predictions
    from storm_edge.evaluate.scene_match import check_run

    found = read_predictions(predictions)
    recording = open_scene(scene, *files)
    check_run(predictions, recording)
    with progress_bars() as report:
        # Sparse views are for tracking; judging needs the mesh alone.
        bundles = [open_object(path, unit, view_subdivisions=0, report=report) for path in objects]
        judged = evaluate_scene(
            recording,
            found,
            bundles,
            add_s_from=add_s_from,
            progress=lambda done, total: report("judge", done / total),
        )
    return _Judged(scene=recording, predictions=found, bundles=bundles, evaluations=judged)
