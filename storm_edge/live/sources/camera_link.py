"""What a camera process and its parent share: slots of shared memory for frames, and a socket for everything else.

A slot belongs to one side at a time, and changes hands by a message on the socket: the camera process writes only
into slots that it was given back, the parent reads only slots that it was told of. So no frame is read while it is
written. Each slot carries the number of the frame at both ends, which must be the one that the message names: a pair
of images that is torn or mixed by an error of ours is refused and counted, not used.

The memory has no name (a memory file): it is gone when both sides are, however they ended.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import BackendError, mismatch

_LONGEST_MESSAGE = 65536  # fixed: bytes; a message is one line of a few words
_ALIGNED = 64  # fixed: bytes of a cache line
_HEADER = np.dtype(
    [
        ("sequence", "<u8"),
        ("number", "<u8"),
        ("stamp_ns", "<i8"),
        ("depth_unit_m", "<f8"),
        ("K", "<f8", (3, 3)),  # fixed: a matrix of intrinsics
    ]
)


@dataclass(frozen=True, kw_only=True)
class CameraImage:
    """A colour and a depth image of one moment, as the camera has them; depth lies on colour."""

    rgb: NDArray[np.uint8]
    """Colour, RGB ``(H, W, 3)``."""
    depth: NDArray[np.uint16]
    """z-depth in steps of ``depth_unit_m``, 0 = no reading, ``(H, W)``."""
    K: NDArray[np.float64]
    """Intrinsics of both [px], ``(3, 3)``."""
    number: int
    """The colour frame's, as the camera counts."""
    stamp_ns: int
    """Time of exposure [ns]."""
    depth_unit_m: float
    """Metres per step of depth."""


class FrameSlots:
    """Frames in memory that two processes share.

    Args:
        file: The memory file.
        size_px: Height and width of the images [px].
        count: How many frames it holds.
    """

    def __init__(self, file: int, size_px: tuple[int, int], count: int) -> None:
        height, width = size_px
        self.size_px, self.count = size_px, count
        self._header, self._pixels = _rounded(_HEADER.itemsize), height * width
        self._slot = self._header + _rounded(5 * self._pixels) + _ALIGNED  # fixed: bytes of a pixel, 3 and 2
        self._memory = mmap.mmap(file, count * self._slot)

    @staticmethod
    def make(size_px: tuple[int, int], count: int) -> tuple[FrameSlots, BinaryIO]:
        """New memory, and its file, to be handed over and closed.

        Raises:
            BackendError: The system has no memory files.
        """
        if not hasattr(os, "memfd_create"):
            remedy = "use Linux, or hand in frames from a program of your own"
            raise BackendError(mismatch("camera process", "a system without memory files", "Linux", remedy))
        file = os.fdopen(os.memfd_create("storm-edge camera", os.MFD_CLOEXEC), "r+b")
        file.truncate(count * FrameSlots.slot_bytes(size_px))
        return FrameSlots(file.fileno(), size_px, count), file

    @staticmethod
    def slot_bytes(size_px: tuple[int, int]) -> int:
        """Memory of one frame [bytes]."""
        return _rounded(_HEADER.itemsize) + _rounded(5 * size_px[0] * size_px[1]) + _ALIGNED  # fixed: 3 and 2 bytes

    def write(self, slot: int, sequence: int, image: CameraImage) -> None:
        """Put a frame into a slot that is ours."""
        header, rgb, depth, end = self._parts(slot)
        end[0] = 0
        header["sequence"], header["number"], header["stamp_ns"] = sequence, image.number, image.stamp_ns
        header["depth_unit_m"], header["K"] = image.depth_unit_m, image.K
        rgb[...] = image.rgb
        depth[...] = image.depth
        end[0] = sequence

    def read(self, slot: int, sequence: int) -> CameraImage | None:
        """A copy of the frame in a slot that we were told of; None if it is not the one that was told."""
        header, rgb, depth, end = self._parts(slot)
        found = CameraImage(
            rgb=rgb.copy(),
            depth=depth.copy(),
            K=header["K"].copy(),
            number=int(header["number"]),
            stamp_ns=int(header["stamp_ns"]),
            depth_unit_m=float(header["depth_unit_m"]),
        )
        return found if int(header["sequence"]) == sequence == int(end[0]) else None

    def close(self) -> None:
        """Let the memory go. Closing twice is harmless."""
        self._memory.close()

    def _parts(self, slot: int) -> tuple[Any, NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint64]]:
        begin = slot * self._slot
        header = np.frombuffer(self._memory, _HEADER, 1, begin)[0:1].reshape(())
        at, pixels = begin + self._header, self._pixels
        rgb = np.frombuffer(self._memory, np.uint8, 3 * pixels, at)  # fixed: RGB
        depth = np.frombuffer(self._memory, np.uint16, pixels, at + 3 * pixels)  # fixed: RGB before it
        end = np.frombuffer(self._memory, np.uint64, 1, begin + self._slot - _ALIGNED)
        return header, rgb.reshape(*self.size_px, 3), depth.reshape(self.size_px), end


class Link:
    """Messages between the two sides, JSON objects, each whole or not at all.

    Args:
        end: A socket of type SEQPACKET.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    @staticmethod
    def pair() -> tuple[Link, socket.socket]:
        """Our side, and the socket of the other."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Link(ours), theirs

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def send(self, *, file: int | None = None, **message: Any) -> bool:
        """Whether the other side is there to get it; a file descriptor goes along as ``file``, a copy of its own."""
        try:
            socket.send_fds(self._socket, [json.dumps(message).encode()], [] if file is None else [file])
        except OSError:
            return False
        return True

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message; None where none came in time.

        Raises:
            EOFError: The other side has ended.
        """
        self._socket.settimeout(max(timeout_s, 1e-6))
        try:
            data, files, _, _ = socket.recv_fds(self._socket, _LONGEST_MESSAGE, 1)
        except (TimeoutError, BlockingIOError):
            return None
        except OSError as error:
            raise EOFError from error
        finally:
            self._socket.settimeout(None)
        if not data:
            raise EOFError
        message: dict[str, Any] = json.loads(data)
        return message | {"file": files[0]} if files else message

    def close(self) -> None:
        """Closing twice is harmless."""
        self._socket.close()


def _rounded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
