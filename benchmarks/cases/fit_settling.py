"""Weights by which a pose that was found is compared with others in its own image: a conditional logistic regression.

    python -m benchmarks run make_sets SETS --scenes 300
    python -m benchmarks run fit_settling SETS [--real DATA] [--jobs 2]

Every picture is registered from its mask, and what may be right is compared as in the live loop
(`pipeline.side.settling`), once with the mask and once without. Beside the poses that this comes to there is the true
one, refined, where it is not among them. The regression gives each pose a share of what is right in its picture.
Printed are the weights, and in how many pictures the pose that costs least has an ADD below a tenth of the diameter:
by the shipped weights, and by weights that were fitted without the picture; with the true pose among the others and
without. The code is not changed: who takes new weights over checks `accuracy` and `search` first.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track
from scipy.optimize import minimize

from benchmarks.cases.fit_marks import mask_at_pose
from benchmarks.cases.network_tasks import real_samples
from benchmarks.mild.copies import read_recording
from benchmarks.recordings import onboarded
from benchmarks.registry import Outcome, SetOptions, case
from storm_edge.errors import MaskError, UnitError
from storm_edge.evaluate.metrics import RECALL_SHARE, ModelPoints
from storm_edge.frame import Frame
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.side.config import SettleConfig, SettleWeights, SideConfig
from storm_edge.pipeline.side.settling import Settling
from storm_edge.pipeline.track.contract import FoundPose

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

NAMES = tuple(field.name for field in fields(SettleWeights))
RIDGE = 0.003
"""Weight of half the squared weights, of terms at unit deviation, beside the mean log loss."""
PARTS = 10
"""Pictures are left out by tenths."""
EVERY = 4
"""Frames of a recording between those that are looked at."""


@dataclass(frozen=True, kw_only=True)
class FitSettlingOptions(SetOptions):
    """Which pictures the weights are fitted to."""

    real: Annotated[Path | None, typer.Option(help="Folder of real scenes, too.", show_default=False)] = None
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2


@dataclass(frozen=True, kw_only=True)
class Question:
    """The poses of one picture."""

    picture: int
    """Its number: that with the mask and that without are one."""
    kind: str
    """Made up or real."""
    has_mask: bool
    """Whether its mask has a say."""
    terms: Float64
    """In the order of `SettleWeights` ``(N, T)``."""
    is_right: Bool
    """ADD below a tenth of the diameter ``(N,)``."""
    found: int
    """How many were found; where there is one more it is the true one, which was not."""


def questions_of(
    picture: int, kind: str, frame: Frame, bundle: ObjectBundle, T_cam_centre: Float64, mask: Bool
) -> list[Question]:
    """Both questions of a picture; none where its mask cannot be registered."""
    item = ObjectOnDevice(bundle)
    registrar, settling = Registrar(item, None), Settling(item, SideConfig())
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)

    def more() -> Float64:
        return run_to_completion(registrar.chunks(buffers, mask, stages=registrar.config.long_stages)).ranked

    try:
        registration = run_to_completion(registrar.chunks(buffers, mask))
    except (MaskError, UnitError):
        return []
    model, found = ModelPoints(bundle.mesh_lod.vertices, bundle.symmetries), []
    for given in (mask, None):
        known = FoundPose(
            T_cam_centre=registration.T_cam_centre, others=registration.ranked[1:], mask=given, more=more
        )
        candidates = settling.compared(frame, buffers, known)
        found_count = len(candidates.poses)
        candidates.add(T_cam_centre[None])
        errors_m = np.array([model.add_symmetric(T_cam_centre, T) for T in candidates.poses])
        is_right = errors_m < RECALL_SHARE * bundle.diameter_m
        found.append(
            Question(
                picture=picture,
                kind=kind,
                has_mask=given is not None,
                terms=candidates.terms,
                is_right=is_right,
                found=found_count,
            )
        )
    return found


def _of_scene(task: tuple[int, Path]) -> list[Question]:
    """Those of the first picture of a made-up scene."""
    number, path = task
    recording, bundle = read_recording(path), onboarded(path)
    shot = recording.shots[0]
    T = shot.labels[0].T_cam_obj @ bundle.T_obj_centre
    return questions_of(number, "made up", shot.frame, bundle, T, np.asarray(shot.masks[0]))


def _of_real(data: Path, first: int) -> Iterator[Question]:
    """Those of the real frames that have a pose without symmetries."""
    for number, sample in enumerate(real_samples(data, EVERY)):
        T = sample.T_cam_centre
        if T is not None and sample.pose_is_unique:
            mask = mask_at_pose(sample) if sample.mask is None else sample.mask
            yield from questions_of(first + number, "real", sample.frame, sample.bundle, T, mask)


def fit_weights(questions: Sequence[Question]) -> Float64:
    """Weights ``(T,)``, none negative: the share of what is right in a picture is ``exp(-terms @ weights)``, over the
    sum of its poses. Made-up pictures and real ones count alike."""
    told = [q for q in questions if q.is_right.any() and not q.is_right.all()]
    counts = Counter(q.kind for q in told)
    scale = np.concatenate([q.terms for q in told]).std(axis=0)
    scale = np.where(scale > 0.0, scale, np.inf)  # what never differs has no weight

    def loss(w: Float64) -> tuple[float, Float64]:
        total, slope = 0.0, np.zeros(len(w))
        for q in told:
            terms = q.terms / scale
            logits = -terms @ w
            share = np.exp(logits - logits.max())
            share /= share.sum()
            right = max(float(share[q.is_right].sum()), 1e-12)
            each = 1.0 / (counts[q.kind] * len(counts))
            total -= each * np.log(right)
            slope += each * ((share * q.is_right / right - share) @ terms)
        return total + 0.5 * RIDGE * float(w @ w), slope + RIDGE * w

    start = np.ones(len(scale))
    fitted = minimize(loss, start, jac=True, bounds=[(0.0, None)] * len(start), method="L-BFGS-B")
    return np.asarray(fitted.x / scale)


def is_answered(question: Question, weights: Float64, *, with_true: bool) -> bool:
    """Whether the pose that costs least is right."""
    costs = question.terms @ weights
    return bool(question.is_right[int(np.argmin(costs if with_true else costs[: question.found]))])


def left_out_weights(questions: Sequence[Question]) -> list[Float64]:
    """Weights by question that were fitted without its picture."""
    by_part = [fit_weights([q for q in questions if q.picture % PARTS != part]) for part in range(PARTS)]
    return [by_part[q.picture % PARTS] for q in questions]


def summary(questions: Sequence[Question], shipped: SettleWeights) -> dict[str, Any]:
    """Weights, and how many pictures they answer."""
    weights, left_out = fit_weights(questions), left_out_weights(questions)
    answered = {}
    for kind in dict.fromkeys(q.kind for q in questions):
        own = [(q, w) for q, w in zip(questions, left_out, strict=True) if q.kind == kind]
        answered[kind] = {
            "pictures": len(own),
            "shipped": sum(is_answered(q, shipped.array(), with_true=False) for q, _ in own),
            "shipped, true pose among them": sum(is_answered(q, shipped.array(), with_true=True) for q, _ in own),
            "of others": sum(is_answered(q, w, with_true=False) for q, w in own),
            "of others, true pose among them": sum(is_answered(q, w, with_true=True) for q, w in own),
        }
    return {
        "weights": {name: round(float(w), 1) for name, w in zip(NAMES, weights, strict=True)},
        "shipped weights": {name: float(w) for name, w in zip(NAMES, shipped.array(), strict=True)},
        "right by weights": answered,
    }


@case(record="fit_settling")
def fit_settling(options: FitSettlingOptions) -> Outcome:
    """Compare the poses of every picture, fit, cross-validate and print."""
    paths = sorted((options.sets / "scenes").iterdir())
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        work = partial(pool.imap, _of_scene, list(enumerate(paths)))
        questions = [q for found in track(work(), "scenes", total=len(paths)) for q in found]
    if options.real is not None:
        questions += _of_real(options.real, len(paths))
    rule = SettleConfig()
    found = {
        "with the mask": summary([q for q in questions if q.has_mask], rule.weights),
        "without": summary([q for q in questions if not q.has_mask], rule.weights_without_mask),
    }
    for kind, values in found.items():
        print(kind)
        for name, value in values.items():
            print(f"  {name:<20} {value}")
    return Outcome(summary=found)
