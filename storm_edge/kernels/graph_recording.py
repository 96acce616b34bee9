"""Launches that are enqueued again and again: as one CUDA graph where that can be, one by one elsewhere.

A graph costs the host one call however many launches it has. What is captured is addresses and sizes, so whatever
changes from frame to frame must lie in buffers. On a CPU there are no graphs and launches run where they are called.
"""

from collections.abc import Callable
from typing import Any

import warp as wp


class GraphRecording:
    """A fixed sequence of launches; it holds the graph, not what is launched, which usually holds it.

    Args:
        stream: The CUDA stream it runs on, None on a CPU.
        as_graph: Whether to capture it; needs a stream.
    """

    def __init__(self, *, stream: Any, as_graph: bool) -> None:
        self._stream = stream
        self._as_graph = as_graph
        self._graph: Any = None

    @property
    def is_captured(self) -> bool:
        """Whether the next `run` replays a graph."""
        return self._graph is not None

    def run(self, launches: Callable[[], None]) -> None:
        """Enqueue the sequence. The first call of a graph launches it once as it is, waits, and captures it.

        The first launch does the work of that call: it loads kernels and lets engines settle, neither of which may
        happen under capture; capturing enqueues nothing.

        Args:
            launches: Enqueues the whole sequence on the current stream; allocates nothing and waits for nothing. The
                same one every time.
        """
        if self._graph is not None:
            wp.capture_launch(self._graph, stream=self._stream)
            return
        launches()
        if self._as_graph:
            wp.synchronize_stream(self._stream)
            with wp.ScopedCapture(stream=self._stream, force_module_load=False) as capture:
                launches()
            self._graph = capture.graph
