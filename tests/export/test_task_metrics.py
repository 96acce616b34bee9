"""Metrics of what the networks are for: unharmed networks pass, harmed ones do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from storm_edge.engines.contract import EngineSpec
from storm_edge.export.recipe import Gates, Recipe, Source
from storm_edge.export.task_metrics import NetworkTask, make_task

Tensors = Mapping[str, np.ndarray]


class Plain:
    """An engine that is a function."""

    def __init__(self, function: Callable[[Tensors], dict[str, np.ndarray]]) -> None:
        self._function = function
        self.spec = EngineSpec(name="plain", inputs=(), outputs=(), sha256="")

    def bind(self, buffers: Any) -> None: ...

    def launch(self, count: int | None = None, stream: Any = None) -> None: ...

    def run(self, inputs: Tensors) -> dict[str, np.ndarray]:
        return self._function(inputs)


def recipe(network: str, *graphs: str) -> Recipe:
    return Recipe.model_validate(
        {"network": network, "tier": "nano", "source": Source(bundle="nano"), "graphs": {name: {} for name in graphs}}
    )


def task(of: Recipe, engines: Mapping[str, Plain], size: int) -> NetworkTask:
    return make_task(of, engines, untrained=False, size=size, captured={})


def thumbnail(crop: np.ndarray) -> np.ndarray:
    """Crops ``(N, 6, 80, 80)`` as 8 x 8 colours, each over the mean of its crop, since lights differ."""
    colour = crop[:, :3] / (crop[:, :3].mean((1, 2, 3), keepdims=True) + 0.05)
    return colour.reshape(len(crop), 3, 8, 10, 8, 10).mean((3, 5)).reshape(len(crop), -1)


def described(x: Tensors) -> dict[str, np.ndarray]:
    return {"current": thumbnail(x["crop"]), "memory": thumbnail(x["crop"])}


def compared(x: Tensors) -> dict[str, np.ndarray]:
    return {"logit": -np.abs(x["current"] - x["memory"]).sum(1)}


def test_a_verifier_that_forgets_loses_auroc() -> None:
    engines = {"tom_encode": Plain(described), "tom_compare": Plain(compared)}
    made = task(recipe("tom", *engines), engines, 32)
    gates = Gates(auroc_points=1.0)
    (same,) = made.metrics(engines, engines, gates)
    assert same.passed
    assert same.fp32 is not None
    assert same.fp32 > 60.0  # which side is seen can be told by colours, often
    forgetful = {**engines, "tom_compare": Plain(lambda x: {"logit": np.zeros(len(x["current"]))})}
    (worse,) = made.metrics(engines, forgetful, gates)
    assert not worse.passed
    assert worse.reduced == pytest.approx(50.0)
    assert made.metrics(engines, forgetful, Gates()) == []


def test_a_segmenter_that_sees_nothing_loses_iou() -> None:
    def head(x: Tensors) -> dict[str, np.ndarray]:
        return {"mask": x["objects"][:, 4] - 0.04, "present": np.ones(len(x["objects"]))}

    engines = {
        "som_reference": Plain(lambda x: {"keys": x["views"], "values": x["views"]}),
        "som_query": Plain(lambda x: {"half": x["image"]}),
        "som_head": Plain(head),
    }
    made = task(recipe("som", *engines), engines, 8)
    assert made.inputs["som_head"].keys() == {"half", "objects", "keys", "values"}
    gates = Gates(iou_points=1.0)
    assert made.metrics(engines, engines, gates)[0].passed
    blind = {**engines, "som_head": Plain(lambda x: {"mask": -1.0 - 0.0 * x["objects"][:, 4]})}
    (worse,) = made.metrics(engines, blind, gates)
    assert not worse.passed
    assert worse.reduced == 0.0


def test_a_scorer_that_prefers_the_worst_fails_the_ranking() -> None:
    def features(x: Tensors) -> dict[str, np.ndarray]:
        both = (np.abs(x["rendered"][:, 3:]).sum(1) > 0) & (np.abs(x["observed"][:, 3:]).sum(1) > 0)
        apart = np.abs(x["rendered"][:, 3:] - x["observed"][:, 3:]).sum(1)
        return {"features": (apart * both).mean((1, 2))[:, None] - both.mean((1, 2))[:, None]}

    engines = {
        "score_features": Plain(features),
        "score_attention": Plain(lambda x: {"score": -x["features"][:, 0]}),
    }
    made = task(recipe("score", *engines), engines, 48)
    gates = Gates(ranking=0.95)
    assert made.metrics(engines, engines, gates)[0].reduced == 1.0
    turned = {**engines, "score_attention": Plain(lambda x: {"score": x["features"][:, 0]})}
    assert not made.metrics(engines, turned, gates)[0].passed


def test_untrained_networks_are_compared_on_tensors_alone() -> None:
    engines = {"tom_encode": Plain(described), "tom_compare": Plain(compared)}
    made = make_task(recipe("tom", *engines), engines, untrained=True, size=4, captured={})
    assert made.metrics(engines, engines, Gates(auroc_points=0.0)) == []
    assert made.inputs["tom_compare"]["current"].ndim == 2
