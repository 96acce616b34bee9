"""The device kernels run on: start Warp quietly, name a device, refuse one that is not here.

Called by all code that allocates kernel buffers. Every kernel is one source for CPU and CUDA; what differs is how
much work one thread is given (`thread_span`): on a GPU a thread is cheap and takes one item, on a CPU Warp runs
threads one after the other on one core, so that a thread takes all items of a row and keeps its pose in registers.
"""

import functools
import os
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.errors import BackendError, mismatch
from storm_edge.native_stderr import without_lines

WpArray = Any
"""A ``wp.array``; its dtype and shape are given in the docstring, since type checkers cannot read Warp's."""

Device = Any
"""A ``wp.context.Device``."""


def require_device(name: str) -> Device:
    """The Warp device ``"cpu"``, ``"cuda"`` (the current one) or ``"cuda:<i>"``.

    Raises:
        BackendError: No such device on this machine, or not a device name.
    """
    _start_warp()
    if name == "cuda" and wp.is_cuda_available():
        return wp.get_device("cuda")
    available = [device.alias for device in wp.get_devices()]
    if name not in available:
        got, remedy = repr(name), "choose one of these (cpu always works)"
        if name.startswith("cuda") and not wp.is_cuda_available():
            cause, remedy = _no_cuda()
            got = f"{got}, but {cause}"
        raise BackendError(mismatch("device", got, "one of " + ", ".join(available), remedy))
    return wp.get_device(name)


def compile_kernels(name: str) -> None:
    """Compile the kernels of all modules that are imported, so that no launch has to; a cache keeps them on disk.

    Args:
        name: Device, as for `require_device`.
    """
    require_device(name)
    wp.load_module("storm_edge", device=name, recursive=True)


def _no_cuda() -> tuple[str, str]:
    """Why there is no CUDA device, and what to do about it."""
    toolkit, driver = wp.get_cuda_toolkit_version(), wp.get_cuda_driver_version()
    if toolkit is None:
        return "this warp-lang is built without CUDA", "install warp-lang for a platform with CUDA, or use cpu"
    if driver is None:
        return "no NVIDIA driver was found", "install the driver until nvidia-smi lists the GPU, or use cpu"
    versions = f"driver for CUDA {_version(driver)}, warp-lang built with CUDA {_version(toolkit)}"
    if driver[0] < toolkit[0]:
        return (
            f"the NVIDIA driver is too old ({versions})",
            "update it, install an older warp-lang, or use cpu",
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        remedy = "unset CUDA_VISIBLE_DEVICES or name a GPU in it, or use cpu"
        return f"the NVIDIA driver shows no GPU (CUDA_VISIBLE_DEVICES={hidden!r})", remedy
    return f"the NVIDIA driver shows no GPU ({versions})", "check that nvidia-smi lists it, or use cpu"


def _version(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)


@functools.cache
def _start_warp() -> None:
    """Start Warp without its greeting, and without the line its native part prints when there is no CUDA driver.

    That line goes to file descriptor 2 past any setting, on every start of a machine that never had a GPU.
    """
    wp.config.log_level = wp.LOG_ERROR
    with without_lines(containing="CUDA driver"):
        wp.init()


def thread_span(device: Device, item_count: int) -> int:
    """How many of ``item_count`` items one kernel thread works through on this device: 1 on CUDA, all on a CPU."""
    return max(item_count, 1) if device.is_cpu else 1


def host_form(dtype: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """NumPy's scalar type for a Warp dtype, and the axes a vector or a matrix adds to the shape."""
    scalar = getattr(dtype, "_wp_scalar_type_", dtype)
    return np.dtype(wp.dtype_to_numpy(scalar)), tuple(getattr(dtype, "_shape_", ()))


class HostSide:
    """A Warp array as the host reads and writes it: in place on a CPU, by copies elsewhere.

    Warp takes longer to make a NumPy view than small arrays take to be read, so it is made once.

    Args:
        array: It must stay where it is.
    """

    def __init__(self, array: WpArray) -> None:
        self._array = array
        self._view: NDArray[Any] | None = array.numpy() if array.device.is_cpu else None

    def read(self, count: int) -> NDArray[Any]:
        """The first ``count`` rows; on a CPU as they are in memory, to be copied by who keeps them. Waits."""
        view = self._array.numpy() if self._view is None else self._view
        return view[:count]

    def write(self, values: NDArray[Any]) -> None:
        """Fill the first rows."""
        if self._view is None:
            put(values, self._array)
        else:
            self._view[: len(values)] = values


class ZeroCopyView:
    """An array whose content is replaced from the host as a whole, without a copy where that can be.

    A copy of a VGA frame is 2 MB, of which tracking then reads a few per cent.

    Args:
        own: Memory for what must be copied: on another device, or in another form than kernels read.

    Attributes:
        address: Where the content is.
    """

    def __init__(self, own: WpArray) -> None:
        self._own, self._host = own, HostSide(own)
        self._dtype, shape = host_form(own.dtype)
        self._shape = (*own.shape, *shape)
        self._array: WpArray | None = own
        self._values: NDArray[Any] | None = None
        self.address: int = own.ptr

    def assign(self, values: NDArray[Any]) -> None:
        """Make ``values`` the content: on a CPU they are read where they lie, and kept alive until the next call."""
        flags = values.flags
        as_is = flags.c_contiguous and flags.aligned and values.dtype == self._dtype and values.shape == self._shape
        if as_is and self._own.device.is_cpu:
            self._values, self._array = values, None
            self.address = values.__array_interface__["data"][0]
        else:
            self._host.write(values)
            self._values, self._array, self.address = None, self._own, self._own.ptr

    @property
    def array(self) -> WpArray:
        """The content as a Warp array, which keeps the memory alive. Another array after each `assign`."""
        if self._array is None:
            own = self._own
            self._array = wp.array(ptr=self.address, dtype=own.dtype, shape=own.shape, device=own.device, copy=False)
            self._array.memory = self._values
        return self._array


def put(values: NDArray[Any], array: WpArray) -> None:
    """Copy host ``values`` into the first rows of ``array`` on any device; far quicker than `assign` on a CPU."""
    if array.device.is_cpu:
        array.numpy()[: len(values)] = values
    else:
        part = array[: len(values)]
        part.assign(np.ascontiguousarray(values, dtype=host_form(array.dtype)[0]))
