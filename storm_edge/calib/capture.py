"""A network bundle that records what its engines are given, for calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.calib.sets import RowSource, Tensors
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Buffers, Engine, EngineOptions, EngineSpec

_PER_STRATUM = 8


class Recorder:
    """Keeps rows of engine inputs, evenly over what they came from.

    Of each stratum, that is of each scene, object and state, a few rows are kept by reservoir sampling, so that a
    long recording does not drown a short one.

    Args:
        seed: Of the choice.
        per_stratum: Rows kept of each.
    """

    def __init__(self, *, seed: int = 0, per_stratum: int = _PER_STRATUM) -> None:
        self._rng = np.random.default_rng(seed)
        self._per_stratum = per_stratum
        self._strata: dict[str, dict[tuple[str, str, str], _Stratum]] = {}
        self.source = RowSource(scene="", object_id="", state="")

    def add(self, spec: EngineSpec, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Take in one call's inputs: row by row, or whole where the graph's sizes are fixed."""
        varies = any(None in t.shape for t in spec.inputs)
        # A whole call of a large network is megabytes, and has as many pixels as many rows.
        limit = self._per_stratum if varies else 1
        rows = range(len(next(iter(inputs.values())))) if varies else [None]
        source = self.source
        strata = self._strata.setdefault(spec.name, {})
        stratum = strata.setdefault((source.scene, source.object_id, source.state), _Stratum())
        for row in rows:
            stratum.seen += 1
            if len(stratum.kept) < limit:
                place = len(stratum.kept)
                stratum.kept.append(({}, source))
            else:
                place = int(self._rng.integers(stratum.seen))
                if place >= limit:
                    continue
            taken = {n: np.array(a if row is None else a[row], dtype=np.float32) for n, a in inputs.items()}
            stratum.kept[place] = (taken, source)

    def rows(self, *, most: int) -> tuple[dict[str, Tensors], dict[str, list[RowSource]]]:
        """Up to ``most`` rows of every graph and their sources, one of each stratum in turn."""
        arrays: dict[str, Tensors] = {}
        sources: dict[str, list[RowSource]] = {}
        for graph, strata in self._strata.items():
            chosen = _in_turn([stratum.kept for stratum in strata.values()], most)
            arrays[graph] = {name: np.stack([row[name] for row, _ in chosen]) for name in chosen[0][0]}
            sources[graph] = [source for _, source in chosen]
        return arrays, sources


@dataclass
class _Stratum:
    seen: int = 0
    kept: list[tuple[Tensors, RowSource]] = field(default_factory=list)


def _in_turn(lists: Sequence[list[tuple[Tensors, RowSource]]], most: int) -> list[tuple[Tensors, RowSource]]:
    longest = max(len(items) for items in lists)
    return [items[i] for i in range(longest) for items in lists if i < len(items)][:most]


@dataclass(frozen=True, kw_only=True)
class RecordingBundle(NetworkBundle):
    """A bundle whose engines tell a recorder what they were given."""

    recorder: Recorder
    """Who keeps it."""

    @classmethod
    def around(cls, bundle: NetworkBundle, recorder: Recorder) -> RecordingBundle:
        """The same bundle, recorded."""
        return cls(**bundle.fields(), recorder=recorder)

    def open(self, network: str, options: EngineOptions | None = None) -> Engine:
        """See `NetworkBundle.open`."""
        return _RecordingEngine(super().open(network, options), self.recorder)


class _RecordingEngine:
    """An engine that shows its inputs to a recorder before it runs."""

    def __init__(self, inner: Engine, recorder: Recorder) -> None:
        self._inner, self._recorder = inner, recorder
        self._buffers: Buffers = {}

    @property
    def spec(self) -> EngineSpec:
        return self._inner.spec

    def bind(self, buffers: Buffers) -> None:
        self._inner.bind(buffers)
        self._buffers = dict(buffers)

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        inputs = {t.name: _as_numpy(self._buffers[t.name]) for t in self.spec.inputs if t.name in self._buffers}
        if len(inputs) == len(self.spec.inputs):
            self._recorder.add(self.spec, {name: array[:count] for name, array in inputs.items()})
        self._inner.launch(count, stream)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self._recorder.add(self.spec, {t.name: inputs[t.name] for t in self.spec.inputs})
        return self._inner.run(inputs)


def _as_numpy(array: Any) -> NDArray[Any]:
    return array if isinstance(array, np.ndarray) else np.asarray(array.numpy())
