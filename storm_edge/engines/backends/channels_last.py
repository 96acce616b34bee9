"""Networks that want their images channels last, behind our channels-first interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.engines.backends.tensors import view_of
from storm_edge.engines.contract import Buffers, Engine, EngineSpec, TensorSpec

_TO_NHWC = (0, 2, 3, 1)


def _channels_first(tensor: TensorSpec) -> TensorSpec:
    if len(tensor.shape) != 4:
        return tensor
    n, h, w, c = tensor.shape
    return replace(tensor, shape=(n, c, h, w))


class ChannelsLastEngine:
    """An `Engine` whose image inputs are transposed on the way in, on the device they live on.

    The ONNX files NVIDIA publishes for FoundationPose are of this kind (reference-networks 6.1). The transposition
    costs one more copy of the inputs; it needs its own buffers, allocated by `bind`.

    Args:
        inner: The engine with ``(N, H, W, C)`` inputs.
    """

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self._images = {t.name: t for t in inner.spec.inputs if len(t.shape) == 4}
        self._spec = replace(inner.spec, inputs=tuple(_channels_first(t) for t in inner.spec.inputs))
        self._copies: list[tuple[wp.array, wp.array]] = []  # (channels last, ours seen as channels last)

    @property
    def spec(self) -> EngineSpec:
        """The inner spec with channels first."""
        return self._spec

    @property
    def capturable(self) -> bool:
        """Whether a launch may be captured into a CUDA graph: the transposition may, so as the inner engine says."""
        return bool(getattr(self._inner, "capturable", False))

    def bind(self, buffers: Buffers) -> None:
        """Fix where inputs are read and outputs written; see `Engine.bind`."""
        copies, inner = [], dict(buffers)
        for name in self._images.keys() & buffers.keys():
            view_of(buffers[name], self._spec.tensor(name), what=f"{self._spec.name}.{name}")
            source = buffers[name]
            if not isinstance(source, wp.array):
                source = wp.array(source, dtype=wp.float32, device="cpu", copy=False)
            seen = source.transpose(_TO_NHWC)
            staged = wp.zeros(seen.shape, dtype=wp.float32, device=source.device)
            copies.append((staged, seen))
            inner[name] = staged
        self._inner.bind(inner)
        self._copies = copies

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        """Transpose the first ``count`` rows and run; see `Engine.launch`."""
        for staged, seen in self._copies:
            most = staged.shape[0]
            rows = slice(0, most if count is None else min(max(count, 1), most))  # the engine refuses what is not
            wp.copy(staged[rows], seen[rows], stream=stream)
        self._inner.launch(count, stream)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on NumPy arrays; see `Engine.run`."""
        turned = {
            name: np.ascontiguousarray(array.transpose(_TO_NHWC))
            if name in self._images and array.ndim == 4
            else array
            for name, array in inputs.items()
        }
        return self._inner.run(turned)
