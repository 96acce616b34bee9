"""Launches whose arguments are packed once: on a CPU packing takes longer than small kernels do."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import warp as wp

from storm_edge.kernels.device import Device
from storm_edge.kernels.host_threads import run_at_once, slices

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
        self._command(kernel, dim, inputs, changing).launch()

    def launch_rows(
        self, kernel: Any, count: int, inputs: Sequence[Any], *, changing: Sequence[int] = (), least: int = 1
    ) -> None:
        """`launch` of a kernel that does a row per thread, by several threads of the host where they are allowed.

        Args:
            kernel: Its first argument is the first row; its threads count from there.
            count: Rows.
            inputs: The other arguments.
            changing: As for `launch`, of ``inputs``.
            least: Rows that are worth a thread of the host, see `kernels.host_threads`.
        """
        places = [i + 1 for i in changing]
        parts = row_slices(self._device, count, least)
        run_at_once([self._command(kernel, rows, [first, *inputs], places).launch for first, rows in parts])

    def _command(
        self, kernel: Any, dim: int | tuple[int, ...], inputs: Sequence[Any], changing: Sequence[int]
    ) -> Any:
        """The recorded launch with these arguments."""
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
        return command


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
        self._command((name, dim), kernel, dim, inputs).launch()

    def launch_rows(self, name: Hashable, kernel: Any, count: int, inputs: Callable[[], Sequence[Any]]) -> None:
        """`launch` of a kernel that does a row per thread, by several threads of the host where they are allowed.

        Args:
            name: See `launch`.
            kernel: Its first argument is the first row; its threads count from there.
            count: Rows.
            inputs: Lists the other arguments; called the first time.
        """
        parts = row_slices(self._device, count)
        if len(parts) == 1:  # as in tracking, which launches often and little
            self._command((name, 0, count), kernel, count, lambda: [0, *inputs()]).launch()
            return
        commands = [
            self._command((name, first, rows), kernel, rows, lambda first=first: [first, *inputs()])
            for first, rows in parts
        ]
        run_at_once([command.launch for command in commands])

    def _command(
        self, key: Hashable, kernel: Any, dim: int | tuple[int, ...], inputs: Callable[[], Sequence[Any]]
    ) -> Any:
        command = self._commands.get(key)
        if command is None:
            command = wp.launch(kernel, dim=dim, inputs=inputs(), device=self._device, record_cmd=True)
            self._commands[key] = command
        return command

    def clear(self) -> None:
        """Forget all: the arrays that they name are others now."""
        self._commands.clear()


def launch_rows(kernel: Any, count: int, inputs: Sequence[Any], *, device: Device, least: int) -> None:
    """`LaunchCache.launch_rows` once, of arguments that do not come again."""
    parts = row_slices(device, count, least)
    commands = [
        wp.launch(kernel, dim=rows, inputs=[first, *inputs], device=device, record_cmd=True) for first, rows in parts
    ]
    run_at_once([command.launch for command in commands])


def row_slices(device: Device, count: int, least: int = 1) -> list[tuple[int, int]]:
    """First rows and lengths of the launches of a kernel of ``count`` rows: one for all where no CPU runs it."""
    return slices(count, least) if device.is_cpu else [(0, count)]
