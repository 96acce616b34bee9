"""Time that passes inside calls of some functions, while other code is timed around them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class CallClock:
    """Time that passes in what is timed, by the wall and of this thread; a call within another one counts once."""

    wall_s: float = 0.0
    thread_s: float = 0.0
    calls: int = 0
    depth: int = 0

    def reset(self) -> None:
        """Begin at nothing."""
        self.wall_s = self.thread_s = 0.0
        self.calls = 0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, timed."""

        def measured(*arguments: Any, **named: Any) -> Any:
            self.depth += 1
            thread_s, wall_s = time.thread_time(), time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.wall_s += time.perf_counter() - wall_s
                    self.thread_s += time.thread_time() - thread_s
                    self.calls += 1

        return measured


@contextmanager
def timed(clock: CallClock, *places: tuple[Any, str]) -> Iterator[None]:
    """While this is open calls of these attributes are timed."""
    before = [(owner, name, getattr(owner, name)) for owner, name in places]
    for owner, name, call in before:
        setattr(owner, name, clock.timed(call))
    try:
        yield
    finally:
        for owner, name, call in before:
            setattr(owner, name, call)


def cost_of_a_clock_ms() -> float:
    """What timing a call adds to the time around it [ms]: the least of some rounds."""
    nothing = CallClock().timed(lambda: None)
    rounds = []
    for _ in range(20):
        began = time.thread_time()
        for _ in range(1000):
            nothing()
        rounds.append(time.thread_time() - began)
    return min(rounds)  # of 1000 calls [s], so of one [ms]
