"""Frames without a pose, kept from the one that a search looks at on: what it finds is propagated over them.

A search of the whole image takes a second or two, on a busy machine many. Were only the newest frames kept, the first
step after a long search would be as long as what is missing, to wherever the object was not, or to another thing that
is there. So when there are too many every other one goes, and the steps grow evenly.
"""

from __future__ import annotations

from storm_edge.frame import Frame


class KeptFrames:
    """At most so many frames, evenly spaced from a first one to the newest.

    One thread adds frames; others may read, and say where to begin.

    Args:
        capacity: Most frames, at least 2.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = max(capacity, 2)  # fixed: a first one and the newest
        self._frames: tuple[tuple[int, Frame], ...] = ()  # numbered from the first one on
        self._stride = 1  # numbers that are no multiples of it go
        self._first_index: int | None = None

    @property
    def newest(self) -> Frame:
        """The frame that was added last."""
        return self._frames[-1][1]

    def begin_at(self, frame: Frame) -> None:
        """Older frames are needed no more."""
        self._first_index = frame.index

    def add(self, frame: Frame) -> None:
        """One more frame."""
        frames = self._frames
        if self._first_index is not None:
            left = [kept for _, kept in frames if kept.index >= self._first_index]
            frames = tuple(enumerate(left))
            self._stride, self._first_index = 1, None
        newest = (frames[-1][0] + 1 if frames else 0, frame)
        frames = self._on_stride(frames)
        while len(frames) >= self._capacity:
            self._stride *= 2
            frames = self._on_stride(frames)
        self._frames = (*frames, newest)

    def next_after(self, frame: Frame) -> Frame | None:
        """The first kept frame that is newer; None where there is none."""
        return next((kept for _, kept in self._frames if kept.index > frame.index), None)

    def clear(self) -> None:
        """Keep nothing."""
        self._frames, self._stride, self._first_index = (), 1, None

    def _on_stride(self, frames: tuple[tuple[int, Frame], ...]) -> tuple[tuple[int, Frame], ...]:
        return tuple((number, kept) for number, kept in frames if number % self._stride == 0)
