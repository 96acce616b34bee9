"""How often each network of a bundle was launched, for reports.

Every thread counts for itself, since engines of one network may run on several; what is asked for are the sums. The
counts know no engine: one that nobody else holds is freed. A captured launch happens where its CUDA graph is
replayed: who replays graphs says so (`note_launches`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from numpy.typing import NDArray

from storm_edge.engines.contract import Buffers, Engine, EngineSpec


class CountedEngine:
    """Stands for an engine and counts its launches; see `Engine`.

    Args:
        inner: The engine.
        count: Is told how many launches there were.
    """

    def __init__(self, inner: Engine, count: Callable[[int], None]) -> None:
        self._inner, self._count = inner, count

    @property
    def spec(self) -> EngineSpec:
        """See `Engine.spec`."""
        return self._inner.spec

    @property
    def capturable(self) -> bool:
        """Whether its launches may be captured into a CUDA graph."""
        return bool(getattr(self._inner, "capturable", False))

    @property
    def kind(self) -> str:
        """What runs it, for reports."""
        return engine_kind(self._inner)

    def bind(self, buffers: Buffers) -> None:
        """See `Engine.bind`."""
        self._inner.bind(buffers)

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        """See `Engine.launch`."""
        self._inner.launch(count, stream)
        self._count(1)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """See `Engine.run`; counts as a launch."""
        outputs = self._inner.run(inputs)
        self._count(1)
        return outputs

    def note_launches(self, count: int) -> None:
        """Count launches that a graph did; negative for those that were only captured."""
        self._count(count)


@dataclass(frozen=True, kw_only=True)
class LaunchCounts:
    """Launches of the engines of one bundle, by network."""

    _counts: dict[tuple[str, int], int] = field(default_factory=dict)
    """By network and thread: no two threads write one of them."""

    def counted(self, network: str, engine: Engine) -> CountedEngine:
        """The engine, counted from now on."""
        self._add(network, 0)
        return CountedEngine(engine, partial(self._add, network))

    def by_network(self) -> dict[str, int]:
        """Launches so far of every network that was opened."""
        sums: dict[str, int] = {}
        for (network, _), count in list(self._counts.items()):
            sums[network] = sums.get(network, 0) + count
        return sums

    def _add(self, network: str, count: int) -> None:
        key = network, threading.get_ident()
        self._counts[key] = self._counts.get(key, 0) + count


def engine_kind(engine: Engine) -> str:
    """What runs an engine, whatever it is wrapped in."""
    return str(getattr(engine, "kind", type(engine).__name__))


def note_launches(engine: Engine, count: int) -> None:
    """Count launches of an engine that a CUDA graph did; nothing where nobody counts them."""
    note = getattr(engine, "note_launches", None)
    if note is not None:
        note(count)
