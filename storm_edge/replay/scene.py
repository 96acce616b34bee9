"""What a recording is to a replay, whatever it is stored in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from storm_edge.frame import Frame


class Scene(Protocol):
    """Numbered frames on disk: a BOP scene folder, or an MCAP file."""

    path: Path
    """The folder or the file."""
    frame_ids: Sequence[int]
    """Numbers of the frames in the order in which they came."""

    def __len__(self) -> int:
        """How many frames there are."""

    def image_name(self, frame_id: int) -> str:
        """What to call a frame in messages."""

    def frame(self, frame_id: int) -> Frame:
        """Read a frame.

        Raises:
            StormEdgeError: It cannot be read or used.
        """
