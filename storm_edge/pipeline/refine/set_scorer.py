"""Scores of a set of hypotheses that arrives in chunks, whichever way the bundle holds its ScoreNet.

Split in two, each chunk leaves only its features behind, and the attention runs once over the whole set. In one
piece, as NVIDIA publishes it, the set attention sits inside, so all inputs must be kept until the set is complete.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.engines.scorers import SPLIT, scorer_of
from storm_edge.errors import EngineError, mismatch

Float32 = NDArray[np.float32]


class SetScorer(Protocol):
    """`bind` once; then per set `add` chunk after chunk and `scores`."""

    def bind(self, rendered: Any, observed: Any) -> None:
        """Fix where the pairs of a chunk lie, each ``(chunk, 6, S, S)`` float32 on the engine's device."""

    def add(self, count: int) -> None:
        """Take in the first ``count`` pairs of the bound buffers."""

    def scores(self) -> Float32:
        """Scores ``(n,)`` of all pairs added since the last call, in order; then the set is empty again."""


def open_scorer(bundle: NetworkBundle, *, capacity: int, options: EngineOptions | None = None) -> SetScorer:
    """The ScoreNet of a bundle.

    Args:
        bundle: Must hold ``score``, or ``score_features`` and ``score_attention``.
        capacity: Hypotheses of the largest set.
        options: Device and threads.

    Raises:
        EngineError: The bundle has no complete ScoreNet.
        BackendError: The device is not available.
    """
    if not scorer_of(bundle.networks):
        remedy = "take a schedule that asks none, such as geometry-first, or a bundle that has it"
        bundle.require(SPLIT, what="ScoreNet", remedy=remedy)
    if "score" in bundle.networks:
        return JointScorer(bundle.open("score", options), capacity=capacity)
    features, attention = (bundle.open(graph, options) for graph in SPLIT)
    return SplitScorer(features, attention, capacity=capacity)


class _Set:
    """How many hypotheses a set holds so far, and how many fit."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.count = 0

    def take(self, count: int) -> slice:
        if self.count + count > self.capacity:
            got = f"{self.count + count} hypotheses"
            raise EngineError(mismatch("scorer", got, f"at most {self.capacity}", "open it with a larger capacity"))
        rows = slice(self.count, self.count + count)
        self.count += count
        return rows

    def empty(self) -> int:
        """Start the next set; how many hypotheses the last one had."""
        count, self.count = self.count, 0
        return count


def _device_of(array: Any) -> Any:
    return array.device if isinstance(array, wp.array) else "cpu"


def _as_warp(array: Any) -> wp.array:
    """The array itself, or a Warp view of a NumPy array's memory."""
    return array if isinstance(array, wp.array) else wp.array(array, dtype=wp.float32, device="cpu", copy=False)


class SplitScorer:
    """`SetScorer` of a per-pair feature network and an attention over the set.

    Args:
        features: Engine ``score_features``.
        attention: Engine ``score_attention``.
        capacity: Hypotheses of the largest set.
    """

    def __init__(self, features: Engine, attention: Engine, *, capacity: int) -> None:
        self._features, self._attention = features, attention
        self._set = _Set(capacity)
        self._width = int(features.spec.tensor("features").shape[1] or 0)

    def bind(self, rendered: Any, observed: Any) -> None:
        """See `SetScorer.bind`."""
        device = _device_of(rendered)
        self._chunk = wp.zeros((rendered.shape[0], self._width), dtype=wp.float32, device=device)
        self._all = wp.zeros((self._set.capacity, self._width), dtype=wp.float32, device=device)
        self._score = wp.zeros(self._set.capacity, dtype=wp.float32, device=device)
        self._features.bind({"rendered": rendered, "observed": observed, "features": self._chunk})
        self._attention.bind({"features": self._all, "score": self._score})

    def add(self, count: int) -> None:
        """See `SetScorer.add`."""
        rows = self._set.take(count)
        self._features.launch(count)
        wp.copy(self._all[rows], self._chunk[:count])

    def scores(self) -> Float32:
        """See `SetScorer.scores`."""
        count = self._set.empty()
        if count == 0:
            return np.zeros(0, dtype=np.float32)
        self._attention.launch(count)
        return np.array(self._score.numpy()[:count])


class JointScorer:
    """`SetScorer` of a network that takes all pairs of a set at once.

    Keeps the inputs of the largest set: 310 MB for 252 hypotheses at 160 px.

    Args:
        engine: Engine ``score``.
        capacity: Hypotheses of the largest set.
    """

    def __init__(self, engine: Engine, *, capacity: int) -> None:
        self._engine = engine
        self._set = _Set(capacity)

    def bind(self, rendered: Any, observed: Any) -> None:
        """See `SetScorer.bind`."""
        device = _device_of(rendered)
        shape = (self._set.capacity, *rendered.shape[1:])
        self._chunks = (_as_warp(rendered), _as_warp(observed))
        self._all = tuple(wp.zeros(shape, dtype=wp.float32, device=device) for _ in self._chunks)
        self._score = wp.zeros(self._set.capacity, dtype=wp.float32, device=device)
        self._engine.bind({"rendered": self._all[0], "observed": self._all[1], "score": self._score})

    def add(self, count: int) -> None:
        """See `SetScorer.add`."""
        rows = self._set.take(count)
        for chunk, kept in zip(self._chunks, self._all, strict=True):
            wp.copy(kept[rows], chunk[:count])

    def scores(self) -> Float32:
        """See `SetScorer.scores`."""
        count = self._set.empty()
        if count == 0:
            return np.zeros(0, dtype=np.float32)
        self._engine.launch(count)
        return np.array(self._score.numpy()[:count])
