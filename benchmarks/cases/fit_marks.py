"""Weights of the overlap that a mark of the segmenter's map promises: a logistic regression on its features.

    python -m benchmarks run fit_marks [--scenes 170] [--first 2000] [--real DATA] [--bundle nano]

The segmenter is asked for up to three objects of each development picture, and for one that is not in it; with
``--real`` for the objects of development recordings in their own frames and in those of others. Every mark's mask is
compared with what is seen of the object; the overlap, 0 of an object that is not there, is what the regression is to
say. Each question counts alike. Printed are the weights for features as they are, and by weights that were fitted
without a scene: the overlap of the first mark, how often it is more than a half, and what the marks that promise so
much come to. The code is not changed: who takes new weights over checks `search` and `network_tasks` first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.cases.network_tasks import MIN_VISIBLE, Sample, real_samples
from benchmarks.cases.search import bundle_of
from benchmarks.registry import NetworkOptions, Outcome, case
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.metrics import mask_iou
from storm_edge.frame import Frame
from storm_edge.kernels.segment_inputs.object_channels import object_channels
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.pose_features import VisibleModel
from storm_edge.pipeline.refine.config import JudgeConfig
from storm_edge.pipeline.segment.cells import cells_of
from storm_edge.pipeline.segment.marks import FEATURES, Mark, centres, marks_around
from storm_edge.pipeline.segment.proposals import candidates_of_marks
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.synthetic.clutter import evaluation_clutter
from storm_edge.synthetic.object_pool import PooledObject
from storm_edge.synthetic.splits import SEARCHES_DEV

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

RIDGE = 0.003
"""Weight of the squared coefficients, of features at unit deviation, beside the mean log loss."""
OBJECTS = 3
"""Most objects of a picture that are asked for."""
LEAST_PX = 80
"""Smaller ones are not."""
EVERY = 4
"""Frames of a recording between those that are looked at."""


@dataclass(frozen=True, kw_only=True)
class FitMarksOptions(NetworkOptions):
    """Which pictures the weights are fitted to."""

    scenes: Annotated[int, typer.Option(help="How many pictures.")] = 170
    first: Annotated[int, typer.Option(help="Number of the first picture.")] = 2000
    real: Annotated[Path | None, typer.Option(help="Folder of real scenes, too.", show_default=False)] = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """One object that is asked for in one picture."""

    scene: str
    """Picture or recording."""
    bundle: ObjectBundle
    """The object."""
    frame: Frame
    """The picture."""
    mask: Bool | None
    """What is seen of it ``(H, W)``; None where it is not there."""


@dataclass(frozen=True, kw_only=True)
class Marks:
    """N marks of all questions."""

    question: NDArray[np.int64]
    """Number of the question ``(N,)``."""
    scene: NDArray[np.int64]
    """Number of its scene ``(N,)``."""
    features: Float64
    """In the order of `FEATURES` ``(N, F)``."""
    overlap: Float64
    """With the object, 0..1 ``(N,)``."""


def synthetic_questions(first: int, count: int) -> Iterator[Question]:
    """Objects of development pictures, and one that is absent from each."""
    for index in range(first, first + count):
        seed = SEARCHES_DEV.seed(index)
        clutter, absent = next(evaluation_clutter(1, seed))
        usable = [
            k
            for k, item in enumerate(clutter.things)
            if clutter.visible_share[k] >= MIN_VISIBLE
            and clutter.masks_visib[k].sum() >= LEAST_PX
            and item.truth.seed >= 0
        ]
        asked: list[tuple[PooledObject, Bool | None]] = [(absent[0], None)]
        asked += [(clutter.things[k], clutter.masks_visib[k]) for k in usable[:OBJECTS]]
        for item, mask in asked:
            yield Question(scene=str(seed), bundle=bundle_of(item), frame=clutter.frame, mask=mask)


def real_questions(data: Path) -> Iterator[Question]:
    """Objects of recordings in their own frames, and in those of recordings whose names begin otherwise."""
    samples = list(real_samples(data, EVERY))
    bundles = {sample.scene: sample.bundle for sample in samples}
    for number, sample in enumerate(samples):
        mask = mask_at_pose(sample) if sample.mask is None else sample.mask
        yield Question(scene=sample.scene, bundle=sample.bundle, frame=sample.frame, mask=mask)
        others = [name for name in bundles if _kind(name) != _kind(sample.scene)]
        if others:
            absent = bundles[others[number % len(others)]]
            yield Question(scene=sample.scene, bundle=absent, frame=sample.frame, mask=None)


def _kind(scene: str) -> str:
    return scene.split("_")[0]


def mask_at_pose(sample: Sample) -> Bool:
    """What is seen of the model at the labelled pose ``(H, W)``."""
    judge, T = JudgeConfig(), sample.T_cam_centre
    assert T is not None, "a sample has a mask or a pose"
    gate_m = max(judge.depth_gate * sample.bundle.diameter_m, judge.min_depth_gate_m)
    return VisibleModel.at(ObjectOnDevice(sample.bundle).mesh_lod, T, sample.frame, gate_m).mask


def marks_of(segmenter: Segmenter, question: Question) -> list[tuple[Mark, float]]:
    """All marks of a question's map, with the overlap of their masks."""
    config, bundle = segmenter.config, question.bundle
    embedding = segmenter.encode_object(ObjectOnDevice(bundle))
    image = segmenter.encode_image(question.frame)
    found = segmenter.segment(image, embedding).probability
    cells = cells_of(image.small, found, object_channels(image.small, embedding.colours, bundle.diameter_m))
    whole = image.small.letterbox.enlarge(found, question.frame.size_px)
    radius_m = config.proposals.seed_radius_diameters * bundle.diameter_m
    out = []
    for centre in centres(cells, radius_m, config.marks):
        for mark in marks_around(cells, embedding.colours.own_bits, centre, radius_m, config.marks):
            made = candidates_of_marks(image, whole, [mark], bundle.diameter_m, config.proposals)
            if made:
                out.append((mark, 0.0 if question.mask is None else mask_iou(made[0].mask, question.mask)))
    return out


def fit_overlap(marks: Marks) -> tuple[Float64, float]:
    """Weights ``(F,)`` and constant of the overlap's logit, for features as they are; each question counts alike."""
    features, overlap = marks.features, marks.overlap
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    design = np.column_stack([(features - mean) / deviation, np.ones(len(features))])
    _, number, count = np.unique(marks.question, return_inverse=True, return_counts=True)
    each = 1.0 / (count[number] * len(count))
    penalty = np.append(np.full(features.shape[1], RIDGE), 0.0)  # none on the constant
    solution = np.zeros(design.shape[1])
    for _ in range(30):  # Newton's method; the loss is convex
        said = 1.0 / (1.0 + np.exp(-design @ solution))
        slope = design.T @ (each * (said - overlap)) + penalty * solution
        curvature = (design * (each * said * (1.0 - said))[:, None]).T @ design + np.diag(penalty)
        solution -= np.linalg.solve(curvature, slope)
    weights = solution[:-1] / deviation
    return weights, float(solution[-1] - weights @ mean)


def left_out(marks: Marks) -> Float64:
    """The overlap that weights fitted without a mark's scene promise ``(N,)``; scenes are left out in tenths."""
    said = np.zeros(len(marks.overlap))
    for part in range(min(10, len(np.unique(marks.scene)))):
        inside = marks.scene % 10 == part
        rest = Marks(**{name: values[~inside] for name, values in vars(marks).items()})
        weights, constant = fit_overlap(rest)
        said[inside] = 1.0 / (1.0 + np.exp(-(marks.features[inside] @ weights + constant)))
    return said


def first_marks(marks: Marks, said: Float64, questions: NDArray[np.int64]) -> dict[str, float]:
    """Overlap of the mark that promises most, over these questions; 0 where there is none."""
    first = []
    for number in questions:
        own = np.flatnonzero(marks.question == number)
        first.append(marks.overlap[own[said[own].argmax()]] if len(own) else 0.0)
    return {"overlap": round(float(np.mean(first)), 3), "on_object": round(float(np.mean(np.array(first) > 0.5)), 3)}


@case(record="fit_marks")
def fit_marks(options: FitMarksOptions) -> Outcome:
    """Fit the weights, cross-validate and print them."""
    segmenter = Segmenter(NetworkBundle.load(options.bundle))
    questions: Iterator[Question] = synthetic_questions(options.first, options.scenes)
    if options.real is not None:
        questions = chain(questions, real_questions(options.real))
    asked, rows = [], []
    scenes: dict[str, int] = {}
    for number, question in enumerate(track(questions, total=None)):
        kind = "synthetic" if question.scene.isdigit() else "real"
        asked.append((kind, question.mask is not None))
        scene = scenes.setdefault(question.scene, len(scenes))
        rows += [(number, scene, mark.features, overlap) for mark, overlap in marks_of(segmenter, question)]
    marks = Marks(
        question=np.array([row[0] for row in rows]),
        scene=np.array([row[1] for row in rows]),
        features=np.array([row[2] for row in rows]),
        overlap=np.array([row[3] for row in rows]),
    )
    weights, constant = fit_overlap(marks)
    said = left_out(marks)
    there = {
        kind: np.array([n for n, (k, is_there) in enumerate(asked) if k == kind and is_there])
        for kind in dict.fromkeys(kind for kind, _ in asked)
    }
    bounds = np.arange(0.0, 1.0, 0.2)
    promised = {f"from {low:.1f}": np.flatnonzero((said >= low) & (said < low + 0.2)) for low in bounds}
    summary = {
        "bundle": options.bundle,
        "questions": len(asked),
        "of them absent": sum(not is_there for _, is_there in asked),
        "marks": len(rows),
        "weights": {name: round(float(weight), 2) for name, weight in zip(FEATURES, weights, strict=True)},
        "constant": round(constant, 2),
        "first mark, weights of other scenes": {kind: first_marks(marks, said, n) for kind, n in there.items()},
        "mean overlap by what is promised": {
            name: round(float(marks.overlap[which].mean()), 3) for name, which in promised.items() if len(which)
        },
    }
    for name, value in summary.items():
        print(f"{name:<36} {value}")
    return Outcome(summary=summary)
