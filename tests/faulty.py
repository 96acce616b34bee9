"""Networks that fail when they are told to: the bundle of the fault tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Buffers, Engine, EngineOptions, EngineSpec


@dataclass
class Plan:
    """What goes wrong; changed by the test while the loop runs."""

    answers: dict[str, float] = field(default_factory=dict)
    """By network: what all its outputs are filled with."""
    raises: dict[str, Callable[[], Exception]] = field(default_factory=dict)
    """By network: what a call raises."""
    after: int = 0
    """Calls that work before that."""
    times: int = -1
    """Calls that raise before they work again; negative for all."""
    opened: list[str] = field(default_factory=list)
    """Networks in the order they were opened."""
    calls: dict[str, int] = field(default_factory=dict)
    """Calls by network."""

    def before(self, network: str) -> None:
        self.calls[network] = self.calls.get(network, 0) + 1
        if network in self.raises and self.times != 0 and self.calls[network] > self.after:
            self.times -= 1
            raise self.raises[network]()


@dataclass(frozen=True, kw_only=True)
class FaultyBundle(NetworkBundle):
    """A bundle whose engines do what the plan says."""

    plan: Plan

    @classmethod
    def nano(cls) -> FaultyBundle:
        return cls.of(NetworkBundle.load("nano"))

    @classmethod
    def of(cls, bundle: NetworkBundle) -> FaultyBundle:
        return cls(**vars(bundle), plan=Plan())

    def open(self, network: str, options: EngineOptions | None = None) -> Engine:
        self.plan.opened.append(network)
        return _FaultyEngine(super().open(network, options), self.plan)


class _FaultyEngine:
    def __init__(self, inner: Engine, plan: Plan) -> None:
        self._inner, self._plan = inner, plan
        self._buffers: Buffers = {}

    @property
    def spec(self) -> EngineSpec:
        return self._inner.spec

    def bind(self, buffers: Buffers) -> None:
        self._inner.bind(buffers)
        self._buffers = buffers

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        self._plan.before(self.spec.name)
        self._inner.launch(count, stream)
        if self.spec.name in self._plan.answers:
            for tensor in self.spec.outputs:
                self._buffers[tensor.name].fill_(self._plan.answers[self.spec.name])

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self._plan.before(self.spec.name)
        outputs = self._inner.run(inputs)
        if self.spec.name in self._plan.answers:
            outputs = {
                name: np.full_like(array, self._plan.answers[self.spec.name]) for name, array in outputs.items()
            }
        return outputs
