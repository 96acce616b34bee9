"""How much of the time the device computes, and with what.

On CUDA: the time between events in the device's own stream around each part of the work, against the wall. What the
device waits for within a part, such as launches that come too slowly, counts as computing there; the driver's own
figure, the share of time in which some kernel ran, is stated beside it. On a CPU: processor time of this process
against the wall times its threads; processes that draw beside it are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch


class DeviceClock:
    """Measures from one `read` to the next.

    Args:
        device: What computes.
        threads: Threads that compute on a CPU.
    """

    def __init__(self, device: torch.device, threads: int) -> None:
        self._device, self._threads = device, threads
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds: dict[str, float] = {}
        self._restart()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Whatever is done in the block counts as ``name``."""
        if self._device.type == "cuda":
            first, last = _timed_event(), _timed_event()
            first.record(torch.cuda.current_stream(self._device))
            yield
            last.record(torch.cuda.current_stream(self._device))
            self._events.append((name, first, last))
            return
        began_s = time.process_time()
        yield
        self._seconds[name] = self._seconds.get(name, 0.0) + time.process_time() - began_s

    def read(self) -> dict[str, float]:
        """Shares of the time since the last reading; waits for the device.

        Returns:
            ``computing``; ``computing_NAME`` of each part; on CUDA, where the driver says it, ``kernels``: the share
            of its last sampling period in which some kernel ran.
        """
        on_gpu = self._device.type == "cuda"
        kernels = self._driver_share() if on_gpu else {}
        if on_gpu:
            torch.cuda.synchronize(self._device)
            for name, first, last in self._events:
                self._seconds[name] = self._seconds.get(name, 0.0) + first.elapsed_time(last) * 1e-3
        available_s = max(time.monotonic() - self._began_s, 1e-9) * (1 if on_gpu else self._threads)
        computed_s = sum(self._seconds.values()) if on_gpu else time.process_time() - self._computed_s
        shares = {f"computing_{name}": seconds / available_s for name, seconds in self._seconds.items()}
        self._restart()
        return {"computing": computed_s / available_s, **shares, **kernels}

    def _driver_share(self) -> dict[str, float]:
        with suppress(Exception):  # its Python module is not everywhere, and says so in many ways
            return {"kernels": torch.cuda.utilization(self._device) / 100.0}
        return {}

    def _restart(self) -> None:
        self._events, self._seconds = [], {}
        self._began_s, self._computed_s = time.monotonic(), time.process_time()


def _timed_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
