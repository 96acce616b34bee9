"""What the networks are for, measured: held-out data, and metrics of a graph in FP32 beside the same graph reduced.

Tensors that differ little may still turn a pose or a mask, and the other way round; so each network has metrics of
its own task. The data is synthetic and of objects that training never sees. Networks with random weights, and those
whose inputs nobody makes here, are compared on tensors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.contract import Engine
from storm_edge.evaluate.recovery import auroc
from storm_edge.export.recipe import Gates, Recipe
from storm_edge.export.registration import RegistrationResult, register_images
from storm_edge.export.tracking import track_recordings
from storm_edge.generator.config import GeneratorConfig, PoolConfig, ScoreSetConfig, SegmentQueryConfig
from storm_edge.generator.contract import Source
from storm_edge.generator.refine_pairs import RefinePairs
from storm_edge.generator.score_sets import ScoreSets
from storm_edge.generator.segment_queries import SegmentQueries
from storm_edge.generator.verify_groups import GOOD_COUNT, VerifyGroups
from storm_edge.geometry.se3 import exp_so3, rotation_angle
from storm_edge.kernels.pose_update import ROT_NORMALIZER_RAD
from storm_edge.kernels.segment_inputs.contract import VIEW_COUNT
from storm_edge.synthetic.splits import STREAMS_VAL

Tensors = dict[str, NDArray[Any]]
Engines = Mapping[str, Engine]

OBJECT_M = 0.1
"""Diameter of the object for which a change of translation is told in millimetres."""
_SEED = STREAMS_VAL.seed(70_001)
_AS_GOOD = 0.02  # diameters by which another winner's pose may be worse and still count as as good
_MEMORY = 3
# Few objects, since every export makes them anew; all views, as networks get them in use.
# ScoreNet is held to choosing among poses of one object: hypotheses of others are all equally wrong, so that any
# choice among them would pass, and upstream's network never saw one.
_PICTURES = GeneratorConfig(
    pool=PoolConfig(objects=24),
    segment=SegmentQueryConfig(views=VIEW_COUNT),
    score=ScoreSetConfig(lookalike_share=0.0, twin_share=0.0),
)


@dataclass(frozen=True, kw_only=True)
class TaskMetric:
    """One measured figure and what it must be."""

    name: str
    """What was measured, with its unit."""
    fp32: float | None
    """In FP32, where the figure is one of each graph; None where it is a difference."""
    reduced: float
    """Of the reduced graph, or the difference."""
    limit: float
    """What the gate demands."""
    passed: bool
    """Whether it does."""


@dataclass(frozen=True, kw_only=True)
class NetworkTask:
    """Held-out data of one network, and its metrics."""

    inputs: dict[str, Tensors]
    """Inputs of each graph, as they are in use."""
    data: str
    """What they are, in words."""
    metrics: Callable[[Engines, Engines, Gates], list[TaskMetric]]
    """Metrics of reduced engines (second) against FP32 (first); empty where there is no task."""


def _no_metrics(fp32: Engines, reduced: Engines, gates: Gates) -> list[TaskMetric]:
    return []


def make_task(
    recipe: Recipe, fp32: Engines, *, untrained: bool, size: int = 48, captured: dict[str, Tensors]
) -> NetworkTask:
    """Draw held-out data for a recipe.

    Args:
        recipe: Which network.
        fp32: Its graphs, to make the inputs of later ones.
        untrained: Whether the weights are random; then there is nothing to measure but tensors.
        size: Pairs, crops or images, about.
        captured: Rows of a calibration set by graph, used where no held-out data can be drawn.
    """
    if recipe.tier == "nano" or recipe.network in ("refine", "score"):
        task = _MAKERS[recipe.network](recipe, fp32, size)
        return NetworkTask(inputs=task.inputs, data=task.data, metrics=_no_metrics) if untrained else task
    inputs: dict[str, Tensors] = {}
    made: Tensors = {}
    rng = np.random.default_rng(_SEED)
    for graph in recipe.graphs:
        wanted = {t.name: [n or 2 for n in t.shape] for t in fp32[graph].spec.inputs}
        rows = captured.get(graph)
        inputs[graph] = rows or {
            name: made[name] if name in made else rng.standard_normal(shape, dtype=np.float32)
            for name, shape in wanted.items()
        }
        made |= fp32[graph].run(inputs[graph])
    data = "rows of the calibration set" if captured else "normal noise, the networks' own outputs behind it"
    return NetworkTask(inputs=inputs, data=data, metrics=_no_metrics)


def _refine(recipe: Recipe, fp32: Engines, size: int) -> NetworkTask:
    batch = _drawn(RefinePairs(_SEED, config=_PICTURES, size_px=recipe.size_px or 80), size)
    inputs = {"refine": {k: batch[k] for k in ("rendered", "observed")}}
    images, recordings = max(size // 4, 1), max(size // 8, 1)
    in_fp32: list[RegistrationResult] = []
    tracked_in_fp32: list[float] = []

    def metrics(before: Engines, after: Engines, gates: Gates) -> list[TaskMetric]:
        a, b = before["refine"].run(inputs["refine"]), after["refine"].run(inputs["refine"])
        shift_mm = np.linalg.norm(a["trans"] - b["trans"], axis=1) * 1e3 * OBJECT_M / 2.0
        turn_deg = [np.rad2deg(rotation_angle(_turn(p), _turn(q))) for p, q in zip(a["rot"], b["rot"], strict=True)]
        return [
            *_at_most("pose change, translation, median [mm of a 0.1 m object]", np.median(shift_mm), gates.pose_mm),
            *_at_most("pose change, rotation, median [deg]", np.median(turn_deg), gates.pose_deg),
            *registered(before, after, gates),
            *tracked(before, after, gates),
        ]

    def registered(before: Engines, after: Engines, gates: Gates) -> list[TaskMetric]:
        if gates.success_points is None or gates.add_s_points is None:
            return []
        if not in_fp32:
            in_fp32.append(register_images(recipe, before, count=images))
        a, b = in_fp32[0], register_images(recipe, after, count=images)
        return [
            _loss("registration, ADD-S within 0.1 d [points]", a.success, b.success, gates.success_points),
            _loss("registration, AUC of ADD-S [points]", a.add_s_auc, b.add_s_auc, gates.add_s_points),
        ]

    def tracked(before: Engines, after: Engines, gates: Gates) -> list[TaskMetric]:
        if gates.tracking_points is None:
            return []
        if not tracked_in_fp32:
            tracked_in_fp32.append(track_recordings(recipe, before, count=recordings))
        found = track_recordings(recipe, after, count=recordings)
        return [_loss("tracking, AUC of ADD-S [points]", tracked_in_fp32[0], found, gates.tracking_points)]

    data = f"{size} held-out pairs; {images} held-out images are registered, {recordings} recordings tracked"
    return NetworkTask(inputs=inputs, data=data, metrics=metrics)


def _score(recipe: Recipe, fp32: Engines, size: int) -> NetworkTask:
    hypotheses = _PICTURES.score.hypotheses
    sets = max(size // (3 if recipe.tier == "nano" else hypotheses), 2)  # the full tier costs 11 GMAC a pair
    batch = _drawn(ScoreSets(_SEED, config=_PICTURES, size_px=recipe.size_px or 80), sets)
    if "score" in recipe.graphs:  # in one piece
        whole = {k: batch[k][0] for k in ("rendered", "observed")}
        return NetworkTask(inputs={"score": whole}, data=f"{hypotheses} held-out hypotheses", metrics=_no_metrics)
    pairs = {k: batch[k].reshape(-1, *batch[k].shape[2:]) for k in ("rendered", "observed")}
    features = fp32["score_features"].run(pairs)["features"].reshape(sets, hypotheses, -1)

    def scores(engines: Engines) -> NDArray[np.float32]:
        rows = engines["score_features"].run(pairs)["features"].reshape(sets, hypotheses, -1)
        return np.stack([engines["score_attention"].run({"features": row})["score"] for row in rows])

    def metrics(before: Engines, after: Engines, gates: Gates) -> list[TaskMetric]:
        if gates.ranking is None:
            return []
        error, rows = batch["add_error"], np.arange(sets)
        first, second = scores(before).argmax(axis=1), scores(after).argmax(axis=1)
        same = (first == second) | (error[rows, second] <= error[rows, first] + _AS_GOOD)
        share = float(same.mean())
        name = "sets with the same winner, or one as good [share]"
        return [TaskMetric(name=name, fp32=None, reduced=share, limit=gates.ranking, passed=share >= gates.ranking)]

    inputs = {"score_features": pairs, "score_attention": {"features": features[0]}}
    return NetworkTask(inputs=inputs, data=f"{sets} held-out sets of {hypotheses} hypotheses", metrics=metrics)


def _som(recipe: Recipe, fp32: Engines, size: int) -> NetworkTask:
    images = max(size // 4, 2)
    batch = _drawn(SegmentQueries(_SEED, config=_PICTURES), images)
    targets = batch["objects"].shape[1]
    views = {"views": batch["views"].reshape(-1, *batch["views"].shape[2:])}
    image = {"image": batch["image"]}

    def head_inputs(engines: Engines) -> Tensors:
        maps = engines["som_query"].run(image)
        return {
            **{name: np.repeat(array, targets, axis=0) for name, array in maps.items()},
            "objects": batch["objects"].reshape(-1, *batch["objects"].shape[2:]),
            **engines["som_reference"].run(views),
        }

    def iou(engines: Engines) -> float:
        found = engines["som_head"].run(head_inputs(engines))["mask"] > 0.0
        wanted = batch["mask"].reshape(found.shape) > 0.5
        there = batch["present"].reshape(-1) > 0.5
        union = np.maximum((found | wanted).sum((1, 2)), 1)
        return float(((found & wanted).sum((1, 2)) / union)[there].mean())

    def metrics(before: Engines, after: Engines, gates: Gates) -> list[TaskMetric]:
        if gates.iou_points is None:
            return []
        return [_loss("IoU of the mask [points]", 100 * iou(before), 100 * iou(after), gates.iou_points)]

    inputs = {"som_reference": views, "som_query": image, "som_head": head_inputs(fp32)}
    return NetworkTask(inputs=inputs, data=f"{images} held-out images, {targets} objects each", metrics=metrics)


def _tom(recipe: Recipe, fp32: Engines, size: int) -> NetworkTask:
    groups = max(size // 4, 4)
    crops = _drawn(VerifyGroups(_SEED, config=_PICTURES), groups)["crops"]
    count = crops.shape[1]
    flat = {"crop": crops.reshape(-1, *crops.shape[2:])}

    def described(engines: Engines) -> tuple[NDArray[Any], NDArray[Any]]:
        """Each group's first good crop and its bad ones, against three remembered good ones."""
        out = engines["tom_encode"].run(flat)
        current, memory = (out[k].reshape(groups, count, -1) for k in ("current", "memory"))
        asked = np.concatenate([current[:, :1], current[:, GOOD_COUNT:]], axis=1)
        kept = memory[:, GOOD_COUNT - _MEMORY : GOOD_COUNT]
        pairs = (groups, asked.shape[1], _MEMORY, asked.shape[2])
        return (
            np.ascontiguousarray(np.broadcast_to(x, pairs).reshape(-1, pairs[3]))
            for x in (asked[:, :, None], kept[:, None])
        )  # type: ignore[return-value]

    def area(engines: Engines) -> float:
        current, memory = described(engines)
        logit = engines["tom_compare"].run({"current": current, "memory": memory})["logit"]
        together = logit.reshape(groups, -1, _MEMORY).mean(axis=2)
        good = np.zeros(together.shape, dtype=bool)
        good[:, 0] = True
        return auroc(together.reshape(-1), good.reshape(-1))

    def metrics(before: Engines, after: Engines, gates: Gates) -> list[TaskMetric]:
        if gates.auroc_points is None:
            return []
        return [_loss("AUROC of the verifier [points]", 100 * area(before), 100 * area(after), gates.auroc_points)]

    current, memory = described(fp32)
    inputs = {"tom_encode": flat, "tom_compare": {"current": current, "memory": memory}}
    return NetworkTask(inputs=inputs, data=f"{groups} held-out groups of {count} crops", metrics=metrics)


_MAKERS: dict[str, Callable[[Recipe, Engines, int], NetworkTask]] = {
    "refine": _refine,
    "score": _score,
    "som": _som,
    "tom": _tom,
}


def _drawn(source: Source, items: int) -> Tensors:
    """The first items of a stream."""
    return {name: tensor.numpy() for name, tensor in source.batch(items).items()}


def _turn(rot: NDArray[Any]) -> NDArray[np.float64]:
    return exp_so3(np.tanh(rot.astype(np.float64)) * ROT_NORMALIZER_RAD)


def _at_most(name: str, value: Any, limit: float | None) -> list[TaskMetric]:
    if limit is None:
        return []
    return [TaskMetric(name=name, fp32=None, reduced=float(value), limit=limit, passed=bool(value <= limit))]


def _loss(name: str, before: float, after: float, limit: float) -> TaskMetric:
    return TaskMetric(name=name, fp32=before, reduced=after, limit=limit, passed=before - after <= limit)
