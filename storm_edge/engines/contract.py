"""What an engine is: its tensors, and the two verbs a loop calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from storm_edge.thread_limit import thread_limit

Buffers = Mapping[str, Any]
"""Arrays by tensor name: NumPy, Warp, or whatever speaks ``__array_interface__`` or ``__cuda_array_interface__``."""


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output."""

    name: str
    """The name we give it, whatever the file calls it."""
    dtype: np.dtype[Any]
    """Element type."""
    shape: tuple[int | None, ...]
    """Sizes; ``None`` is the number of pairs or hypotheses, decided at each launch."""


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """The contract of one engine."""

    name: str
    """Network, for messages: ``refine``, ``score_features`` and so on."""
    inputs: tuple[TensorSpec, ...]
    """Inputs, in the order of the file."""
    outputs: tuple[TensorSpec, ...]
    """Outputs, in the order of the file."""
    sha256: str
    """Of the ONNX file the engine came from, lower-case hex."""

    def tensor(self, name: str) -> TensorSpec:
        """The tensor called ``name``; a `KeyError` is a bug of the caller."""
        return {t.name: t for t in (*self.inputs, *self.outputs)}[name]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How a network is to run. A backend leaves alone what it has no use for."""

    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:<i>``."""
    threads: int | None = field(default_factory=thread_limit)
    """Threads per call on the CPU; the bound of `storm_edge.thread_limit`, without one a thread per physical core."""
    spinning: bool = True
    """Whether those threads wait actively between calls: a little quicker, but it keeps cores busy."""
    stream: Any = None
    """Warp stream that ONNX Runtime launches on; if not given, the current one when the network is opened."""
    as_written: bool = False
    """Whether ONNX Runtime runs the graph node by node, for measuring what other runtimes would compute."""


class Engine(Protocol):
    """A network that is ready to run. `bind` once before the loop, then only `launch`."""

    @property
    def spec(self) -> EngineSpec:
        """Tensor names, types and shapes."""

    def bind(self, buffers: Buffers) -> None:
        """Fix where inputs are read and outputs written.

        Args:
            buffers: One array per tensor, C-contiguous, of the spec's type; the first axis of those with a ``None``
                size is the most that `launch` may be asked for. The engine keeps them alive.

        Raises:
            EngineError: A tensor is missing, unknown, or of another type or shape.
        """

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        """Run on the first ``count`` rows (all, if not given). Allocates nothing that outlives the call.

        Args:
            count: Rows to run, from 1 to the bound size.
            stream: A CUDA stream to enqueue on, for backends that run on one; on the CPU the call returns when done.
        """

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on NumPy arrays and return new ones; for tools and tests, not for the loop."""
