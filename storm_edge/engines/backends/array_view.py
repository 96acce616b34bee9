"""Raw views of foreign arrays: where they lie, how large they are; checked against what an engine expects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from storm_edge.engines.contract import TensorSpec
from storm_edge.errors import EngineError, mismatch


@dataclass(frozen=True, kw_only=True)
class ArrayView:
    """Memory of one array, borrowed."""

    address: int
    """Of the first element."""
    shape: tuple[int, ...]
    """Sizes, C order."""
    dtype: np.dtype[Any]
    """Element type."""
    on_cuda: bool
    """Whether the address is one of a CUDA device."""


def view_of(array: Any, spec: TensorSpec, *, what: str) -> ArrayView:
    """Where ``array`` lies, if it can serve as the tensor ``spec``.

    Raises:
        EngineError: It speaks no array protocol, is not C-contiguous, or has another type or shape.
    """
    remedy = "allocate the buffer from the engine's spec"
    # Warp answers both questions only for arrays that live where the protocol says, by raising AttributeError.
    on_cuda = hasattr(array, "__cuda_array_interface__")
    interface = array.__cuda_array_interface__ if on_cuda else getattr(array, "__array_interface__", None)
    if interface is None:
        raise EngineError(mismatch(what, type(array).__name__, "a NumPy or Warp array", remedy))
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    fits = len(shape) == len(spec.shape) and all(w is None or w == g for g, w in zip(shape, spec.shape, strict=True))
    if not fits or dtype != spec.dtype:
        wanted = "(" + ", ".join("N" if n is None else str(n) for n in spec.shape) + ")"
        raise EngineError(mismatch(what, f"{dtype} {shape}", f"{spec.dtype} {wanted}", remedy))
    strides = interface.get("strides")
    if strides is not None and tuple(strides) != _c_strides(shape, dtype.itemsize):
        raise EngineError(mismatch(what, f"strides {tuple(strides)}", "a C-contiguous array", remedy))
    return ArrayView(address=int(interface["data"][0]), shape=shape, dtype=dtype, on_cuda=on_cuda)


def _c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize]
    for n in reversed(shape[1:]):
        strides.append(strides[-1] * n)
    return tuple(reversed(strides[: len(shape)]))
