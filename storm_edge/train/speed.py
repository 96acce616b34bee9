"""How fast a run goes: items drawn and trained on per second, and how much of the time the device computes."""

from __future__ import annotations

import time

from storm_edge.train.device_clock import DeviceClock


class SpeedMeter:
    """Speeds since the last reading, and over all readings.

    Args:
        clock: Of the device; it starts now.
    """

    def __init__(self, clock: DeviceClock) -> None:
        self._clock = clock
        self._began_s = self._read_s = time.monotonic()
        self._drawn = self._trained = 0
        self._first: tuple[int, int] | None = None
        self._sums: dict[str, float] = {}

    def start(self, drawn: int, trained: int) -> None:
        """Leave out what was before, such as the filling of the pool."""
        self._clock.read()
        self._began_s = self._read_s = time.monotonic()
        self._drawn, self._trained = drawn, trained
        self._first = drawn, trained

    def read(self, drawn: int, trained: int) -> dict[str, float]:
        """Since the last reading; waits for the device.

        Args:
            drawn: Items drawn so far.
            trained: Items trained on so far.

        Returns:
            ``drawn_per_s``, ``trained_per_s`` [items/s] and the shares of `DeviceClock.read`.
        """
        shares = self._clock.read()
        now_s = time.monotonic()
        passed_s = max(now_s - self._read_s, 1e-9)
        for name, share in shares.items():
            self._sums[name] = self._sums.get(name, 0.0) + share * passed_s
        speeds = {
            "drawn_per_s": (drawn - self._drawn) / passed_s,
            "trained_per_s": (trained - self._trained) / passed_s,
        }
        self._read_s, self._drawn, self._trained = now_s, drawn, trained
        return {**speeds, **shares}

    def total(self) -> dict[str, float]:
        """The same from `start` to the last reading; empty where nothing was read."""
        passed_s = self._read_s - self._began_s
        if self._first is None or passed_s <= 0.0 or not self._sums:
            return {}
        speeds = {
            "drawn_per_s": (self._drawn - self._first[0]) / passed_s,
            "trained_per_s": (self._trained - self._first[1]) / passed_s,
        }
        return {**speeds, **{name: value / passed_s for name, value in self._sums.items()}}
