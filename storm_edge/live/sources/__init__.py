"""Where the frames of a live session come from.

**To add a camera**, write a module here with a class that fulfils `FrameSource`. What is particular to the camera
(BGR, millimetres, depth that is not aligned to colour, its clock) ends there: it yields `Frame`s and nothing else.

`arrays.ArraySource` is for programs that have the images already, from a driver or a middleware of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from storm_edge.frame import Frame


class FrameSource(Protocol):
    """A camera, or what stands for one."""

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order of their exposure; waits for the next one, ends when there is none to come."""
