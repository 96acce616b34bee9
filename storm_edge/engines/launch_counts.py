"""How often each network of a bundle was launched, for reports.

Every engine that a bundle opens counts for itself, since engines of one network may run on several threads; what is
asked for are the sums. A captured launch happens where its CUDA graph is replayed: who replays graphs says so
(`note_launches`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from storm_edge.engines.contract import Buffers, Engine, EngineSpec


class CountedEngine:
    """Stands for an engine and counts its launches; see `Engine`.

    Args:
        inner: The engine.

    Attributes:
        launch_count: Launches so far.
    """

    def __init__(self, inner: Engine) -> None:
        self.launch_count = 0
        self._inner = inner

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
        self.launch_count += 1

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """See `Engine.run`; counts as a launch."""
        outputs = self._inner.run(inputs)
        self.launch_count += 1
        return outputs

    def note_launches(self, count: int) -> None:
        """Count launches that a graph did; negative for those that were only captured."""
        self.launch_count += count


@dataclass(frozen=True, kw_only=True)
class LaunchCounts:
    """The counted engines of one bundle, by network."""

    _engines: list[tuple[str, CountedEngine]] = field(default_factory=list)

    def counted(self, network: str, engine: Engine) -> CountedEngine:
        """The engine, counted from now on."""
        counted = CountedEngine(engine)
        self._engines.append((network, counted))
        return counted

    def by_network(self) -> dict[str, int]:
        """Launches so far of every network that was opened."""
        counts: dict[str, int] = {}
        for network, engine in list(self._engines):
            counts[network] = counts.get(network, 0) + engine.launch_count
        return counts


def engine_kind(engine: Engine) -> str:
    """What runs an engine, whatever it is wrapped in."""
    return str(getattr(engine, "kind", type(engine).__name__))


def note_launches(engine: Engine, count: int) -> None:
    """Count launches of an engine that a CUDA graph did; nothing where nobody counts them."""
    note = getattr(engine, "note_launches", None)
    if note is not None:
        note(count)
