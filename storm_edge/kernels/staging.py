"""Named arrays that live twice, on the host and on the device, and cross over in one copy.

On CUDA the host's half is pinned, so that copies run beside the host and may be part of a CUDA graph. On a CPU both
halves are the same memory and nothing is copied. With ``zero_copy`` that is so on CUDA as well: kernels then read the
pinned memory itself, which pays where CPU and GPU share their memory (Jetson) and is slow everywhere else. Warp does
not say which of the two a GPU is, so the caller must.
"""

import math
from collections.abc import Mapping
from typing import Any

import warp as wp
from numpy.typing import NDArray

from storm_edge.kernels.device import Device, WpArray, host_form

_ALIGNMENT = 256


class Staging:
    """One block of memory on either side, seen as arrays.

    Args:
        fields: Warp dtype and shape of each array.
        device: The device's side.
        zero_copy: Whether the device reads and writes the host's memory, see the module.

    Attributes:
        host: The arrays on the host, NumPy; those of matrices and vectors have their sizes as last axes.
        there: The arrays on the device, Warp.
    """

    def __init__(
        self, fields: Mapping[str, tuple[Any, tuple[int, ...]]], device: Device, *, zero_copy: bool = False
    ) -> None:
        forms, size = {}, 0
        for name, (dtype, shape) in fields.items():
            scalar, axes = host_form(dtype)
            used = scalar.itemsize * math.prod((*shape, *axes))
            forms[name] = (scalar, (*shape, *axes), slice(size, size + used))
            size += -(-used // _ALIGNMENT) * _ALIGNMENT
        self._host_block: WpArray = wp.zeros(size, dtype=wp.uint8, device="cpu", pinned=device.is_cuda)
        self._is_shared = device.is_cpu or zero_copy
        self._block: WpArray = self._host_block
        if not self._is_shared:
            self._block = wp.zeros(size, dtype=wp.uint8, device=device)
        whole = self._host_block.numpy()
        self.host: dict[str, NDArray[Any]] = {}
        self.there: dict[str, WpArray] = {}
        for name, (dtype, shape) in fields.items():
            scalar, full, part = forms[name]
            self.host[name] = whole[part].view(scalar).reshape(full)
            self.there[name] = wp.array(
                ptr=self._block.ptr + part.start, dtype=dtype, shape=shape, device=device, copy=False
            )

    def send(self) -> None:
        """Host to device. Enqueues only; the host's half must stay as it is until the copy is done."""
        if not self._is_shared:
            wp.copy(self._block, self._host_block)

    def fetch(self) -> None:
        """Device to host. Enqueues only."""
        if not self._is_shared:
            wp.copy(self._host_block, self._block)
