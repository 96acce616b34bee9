"""What all backends share: a file's tensors under our names, and the checks of the arrays that are given for them.

Called by the engines of `engines.backends` when they are opened, bound and run; a launch does none of it but
`check_count`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.contract import Buffers, EngineSpec, TensorSpec
from storm_edge.errors import EngineError, mismatch


@dataclass(frozen=True)
class FileTensor:
    """A tensor as the file has it; ``None`` in ``shape`` is the one size that may vary."""

    name: str
    """What the file calls it."""
    shape: tuple[int | None, ...]
    """Sizes in the file."""
    spec: TensorSpec
    """The same memory under our name and, for a score ``(1, N)`` or ``(N, 1)``, as the vector ``(N,)``."""

    def sized(self, count: int) -> list[int]:
        """The file's sizes for ``count`` rows."""
        return [count if n is None else n for n in self.shape]


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


def file_tensor(
    what: str, name: str, dtype: np.dtype[Any], shape: Sequence[int | None], names: Mapping[str, str]
) -> FileTensor:
    """A tensor that a file declares, as a `FileTensor`.

    Args:
        what: The file, for messages.
        name: What it calls the tensor.
        dtype: Element type.
        shape: Sizes, ``None`` where they vary.
        names: Our name by the file's name, where they differ.

    Raises:
        EngineError: Another size than the first varies.
    """
    ours = shape = tuple(shape)
    if len(shape) == 2 and 1 in shape and None in shape:
        ours = (None,)
    if None in ours[1:]:
        remedy = "export it with fixed sizes but for the first"
        raise EngineError(mismatch(f"{what}: {name}", list(shape), "one size that varies, the first", remedy))
    return FileTensor(name, shape, TensorSpec(name=names.get(name, name), dtype=dtype, shape=ours))


def check_names(what: object, found: Sequence[str], names: Mapping[str, str]) -> None:
    """Refuse names of a manifest that a file does not have.

    Raises:
        EngineError: There are some.
    """
    unknown = names.keys() - set(found)
    if unknown:
        raise EngineError(
            mismatch(what, f"tensors {list(found)}", sorted(unknown), "correct the names in the manifest")
        )


def engine_spec(name: str, inputs: Sequence[FileTensor], outputs: Sequence[FileTensor], sha256: str) -> EngineSpec:
    """The spec of an engine with these tensors; arguments as the fields of `EngineSpec`."""
    return EngineSpec(
        name=name, inputs=tuple(t.spec for t in inputs), outputs=tuple(t.spec for t in outputs), sha256=sha256
    )


def checked_inputs(spec: EngineSpec, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What was given to `Engine.run`, contiguous.

    Raises:
        EngineError: An input is missing, unknown, or of another type or shape.
    """
    wanted = {tensor.name: tensor for tensor in spec.inputs}
    if inputs.keys() != wanted.keys():
        raise EngineError(mismatch(f"inputs of {spec.name}", sorted(inputs), sorted(wanted), "give every input"))
    arrays = {name: np.ascontiguousarray(inputs[name]) for name in wanted}
    for name, tensor in wanted.items():
        view_of(arrays[name], tensor, what=f"{spec.name}.{name}")
    return arrays


def checked_buffers(spec: EngineSpec, buffers: Buffers) -> tuple[dict[str, ArrayView], int]:
    """What was given to `Engine.bind`: views by our names, and the most rows that they hold.

    Raises:
        EngineError: A tensor is missing, unknown, of another type or shape, or holds another number of rows.
    """
    tensors = {tensor.name: tensor for tensor in (*spec.inputs, *spec.outputs)}
    what = f"buffers of {spec.name}"
    if buffers.keys() != tensors.keys():
        raise EngineError(mismatch(what, sorted(buffers), sorted(tensors), "bind one array per tensor"))
    views = {name: view_of(buffers[name], tensor, what=f"{spec.name}.{name}") for name, tensor in tensors.items()}
    capacities = {views[name].shape[0] for name, tensor in tensors.items() if None in tensor.shape}
    if len(capacities) > 1:
        raise EngineError(mismatch(what, f"first sizes {sorted(capacities)}", "one size", "allocate them alike"))
    return views, capacities.pop() if capacities else 1


def check_count(spec: EngineSpec, count: int, capacity: int) -> None:
    """Refuse a launch of more rows than are bound; ``capacity`` is 0 before anything is.

    Raises:
        EngineError: It is one.
    """
    if not 1 <= count <= capacity:
        expected = f"1 to {capacity}" if capacity else "bound buffers"
        raise EngineError(mismatch(f"launch of {spec.name}", count, expected, "bind larger buffers"))


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
