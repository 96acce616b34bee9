"""A tensor as its file declares it, and as we see it: named by us, with at most the first size left open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.backends.array_view import view_of
from storm_edge.engines.contract import EngineSpec, TensorSpec
from storm_edge.errors import EngineError, mismatch


@dataclass(frozen=True)
class FileTensor:
    """A tensor as the file has it; ``None`` in ``shape`` is the one size that may vary."""

    name: str
    """What the file calls it."""
    shape: tuple[int | None, ...]
    """Sizes in the file."""
    spec: TensorSpec
    """The same memory as we see it."""

    def sized(self, count: int) -> list[int]:
        """The file's sizes for ``count`` rows."""
        return [count if n is None else n for n in self.shape]


def file_tensor(
    what: str, name: str, dtype: np.dtype[Any], shape: Sequence[int | None], names: Mapping[str, str]
) -> FileTensor:
    """A declaration as a `FileTensor`; a score ``(1, N)`` or ``(N, 1)`` is the vector ``(N,)``, the same memory.

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


def checked_inputs(
    spec: EngineSpec, tensors: Sequence[FileTensor], inputs: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """What was given to `Engine.run`, contiguous, by our names.

    Raises:
        EngineError: An input is missing, unknown, or of another type or shape.
    """
    wanted = {tensor.spec.name: tensor for tensor in tensors}
    if inputs.keys() != wanted.keys():
        raise EngineError(mismatch(f"inputs of {spec.name}", sorted(inputs), sorted(wanted), "give every input"))
    arrays = {name: np.ascontiguousarray(inputs[name]) for name in wanted}
    for name, tensor in wanted.items():
        view_of(arrays[name], tensor.spec, what=f"{spec.name}.{name}")
    return arrays
