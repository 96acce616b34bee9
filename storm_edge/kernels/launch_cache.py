"""Launches whose arguments are packed once: on a CPU packing takes longer than small kernels do."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import warp as wp

from storm_edge.kernels.device import Device

_PLAIN = (int, float)
_CAPACITY = 64
"""Recorded launches kept; a caller that comes with new arrays every time must not fill the memory."""


class LaunchCache:
    """`wp.launch` that records what it launches. An owner of buffers keeps one and launches through it.

    Args:
        device: Where the kernels run.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._recorded: dict[Any, tuple[Any, list[Any]]] = {}

    def launch(
        self, kernel: Any, dim: int | tuple[int, ...], inputs: Sequence[Any], *, changing: Sequence[int] = ()
    ) -> None:
        """Launch on the current stream. Enqueues only.

        Args:
            kernel: The kernel.
            dim: Threads.
            inputs: All its arguments, outputs too: arrays and structs, compared by identity, and plain numbers.
            changing: Places of arguments that may be others every time, as the images of a frame are.
        """
        identities = [value if isinstance(value, _PLAIN) else id(value) for value in inputs]
        for i in changing:
            identities[i] = 0
        key = (kernel, dim, *identities)
        recorded = self._recorded.get(key)
        if recorded is None:
            if len(self._recorded) >= _CAPACITY:
                self._recorded.clear()
            command = wp.launch(kernel, dim=dim, inputs=inputs, device=self._device, record_cmd=True)
            # The arrays are kept with it: an identity says nothing once its owner is gone.
            recorded = self._recorded[key] = (command, list(inputs))
        command, packed = recorded
        for i in changing:
            if packed[i] is not inputs[i]:
                command.set_param_at_index(i, inputs[i])
                packed[i] = inputs[i]
        command.launch()


class RecordedLaunches:
    """Launches by name, whose arguments are listed the first time only: for those that change with nothing but it.

    Args:
        device: Where the kernels run.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._commands: dict[Hashable, Any] = {}

    def launch(
        self, name: Hashable, kernel: Any, dim: int | tuple[int, ...], inputs: Callable[[], Sequence[Any]]
    ) -> None:
        """Launch on the current stream. Enqueues only.

        Args:
            name: Says with ``dim`` which launch it is: the same name must mean the same arguments.
            kernel: The kernel.
            dim: Threads.
            inputs: Lists all its arguments, outputs too; called the first time.
        """
        key = (name, dim)
        command = self._commands.get(key)
        if command is None:
            command = wp.launch(kernel, dim=dim, inputs=inputs(), device=self._device, record_cmd=True)
            self._commands[key] = command
        command.launch()

    def clear(self) -> None:
        """Forget all: the arrays that they name are others now."""
        self._commands.clear()
