"""Reads the frames of an MCAP file that `writer` wrote.

Opening it reads the frames' numbers and times; images are read when asked for. A file that is cut short, or damaged
in what all frames need, is refused; damage in one frame costs that frame.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import FrameError, SceneError, mismatch
from storm_edge.frame import Frame, checked_frame
from storm_edge.mcap import ros_types
from storm_edge.mcap.packed_frame import DepthCoding, depth_of
from storm_edge.parsing import parse_json

_MOST_PX = 1 << 16
"""Of a side of an image; more is damage."""
_COME_TOO_LATE = ("repeated", "out_of_order")
"""Reasons for which a frame was skipped that lie in when it came: those frames are no part of the recording."""


@dataclass(frozen=True, kw_only=True)
class _Named:
    """A frame of the file."""

    stamp_ns: int
    """By the camera's clock [ns]."""
    arrived_ns: int
    """The time that all its messages have [ns]."""


class McapScene:
    """One recording in a file; a context manager. Without one it is closed when nothing holds it any more.

    Args:
        path: The file.

    Raises:
        SceneError: No such file, no MCAP file, or one without frames of ours.
        BackendError: A package is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise SceneError(mismatch(self.path, "no such file", "an MCAP recording", "check the path"))
        ros_types.require_packages(self.path)
        from rosbags.rosbag2.storage_mcap import McapReader

        self._reader = McapReader(self.path)
        self._closer = weakref.finalize(self, _close, self._reader)
        try:
            self._reader.open()
            self._topics: dict[str, Any] = {item.topic: item for item in self._reader.connections}
            found = list(self._named()) if ros_types.FRAME in self._topics else []
        except Exception as error:  # of damaged files the library raises nearly anything
            raise self._unreadable(error) from error
        if not found:
            got, expected = "no frames", f"a recording of storm-edge, with the topic {ros_types.FRAME}"
            raise SceneError(mismatch(self.path, got, expected, "give a file that storm-edge run recorded"))
        indices = [index for index, _ in found]
        rises = all(before < after for before, after in pairwise(indices))
        # A camera that was restarted counts anew, and numbers come again: then the place in the file is the number.
        self._frames = {index if rises else place: named for place, (index, named) in enumerate(found)}
        self.frame_ids: Sequence[int] = list(self._frames)

    def __enter__(self) -> McapScene:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.frame_ids)

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(frame_id) for frame_id in self.frame_ids)

    @property
    def stamps_ns(self) -> list[int]:
        """Times of exposure of all frames by the camera's clock [ns]."""
        return [named.stamp_ns for named in self._frames.values()]

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._closer()

    def image_name(self, frame_id: int) -> str:
        """What to call a frame in messages."""
        return f"{self.path} image {frame_id}"

    def frame(self, frame_id: int) -> Frame:
        """Read one frame.

        Raises:
            SceneError: Unknown number, or its messages are missing or unreadable.
            FrameError: Images of different sizes or types.
            DepthError: No pixel has a reading.
        """
        what = self.image_name(frame_id)
        if frame_id not in self._frames:
            expected = f"one of {len(self)} numbers, {self.frame_ids[0]} to {self.frame_ids[-1]}"
            raise SceneError(mismatch(what, "no such number", expected, "check the frame number"))
        named = self._frames[frame_id]
        try:
            messages = dict(self._messages(named.arrived_ns))
            rgb, depth_m = _colour(messages), _depth(messages[ros_types.DEPTH])
            K = np.array(messages[ros_types.CAMERA].k, dtype=np.float64).reshape(3, 3)
        except FrameError as error:
            raise FrameError(f"{what} {error}") from error
        except KeyError as error:
            expected, remedy = "colour, depth and camera of every frame", "record it again"
            raise SceneError(mismatch(what, f"no message on {error.args[0]}", expected, remedy)) from error
        except Exception as error:
            raise self._unreadable(error) from error
        return checked_frame(rgb, depth_m, K, stamp_ns=named.stamp_ns, index=frame_id, what=what)

    def lines(self) -> Iterator[str]:
        """The lines of `poses.jsonl` that were reported while it was recorded."""
        if ros_types.TRACKS in self._topics:
            for _, _, data in self._reader.messages([self._topics[ros_types.TRACKS]]):
                yield str(ros_types.decoded(ros_types.TRACKS, data).data)

    def about(self) -> dict[str, Any]:
        """What is to be known of the file: why it was written, and by what."""
        for _, _, data in self._reader.messages([self._topics[ros_types.ABOUT]]):
            return _object(ros_types.decoded(ros_types.ABOUT, data).data)
        return {}

    def _named(self) -> Iterator[tuple[int, _Named]]:
        last_ns = -1
        for _, arrived_ns, data in self._reader.messages([self._topics[ros_types.FRAME]]):
            content = _object(ros_types.decoded(ros_types.FRAME, data).data)
            index, stamp_ns = content["index"], content["stamp_ns"]
            if not (type(index) is int and type(stamp_ns) is int and arrived_ns > last_ns):
                raise ValueError(f"frame {index!r} without a number, a stamp or a time of its own")
            last_ns = arrived_ns
            if content["skipped"] not in _COME_TOO_LATE:
                yield index, _Named(stamp_ns=stamp_ns, arrived_ns=arrived_ns)

    def _messages(self, arrived_ns: int) -> Iterator[tuple[str, Any]]:
        wanted = (ros_types.CAMERA, ros_types.COLOUR, ros_types.COLOUR_JPEG, ros_types.DEPTH)
        connections = [self._topics[topic] for topic in wanted if topic in self._topics]
        for connection, _, data in self._reader.messages(connections, start=arrived_ns, stop=arrived_ns + 1):
            yield connection.topic, ros_types.decoded(connection.topic, data)

    def _unreadable(self, error: Exception) -> SceneError:
        got = f"a file that cannot be read ({error or type(error).__name__})"
        return SceneError(mismatch(self.path, got, "a whole MCAP file", "copy the file again"))


def _close(reader: Any) -> None:
    if reader.bio is not None:
        reader.close()


def _object(text: str) -> dict[str, Any]:
    content = parse_json(text)
    if not isinstance(content, dict):
        raise ValueError("a message that is no JSON object")
    return content


def _colour(messages: dict[str, Any]) -> NDArray[np.uint8]:
    """Colour, uint8 ``(H, W, 3)``."""
    if ros_types.COLOUR_JPEG not in messages:
        image = messages[ros_types.COLOUR]
        if image.encoding != "rgb8":
            remedy = "give a file that storm-edge run recorded"
            raise FrameError(mismatch(ros_types.COLOUR, image.encoding, "rgb8", remedy))
        return _pixels(image, np.dtype(np.uint8), channels=3)
    pixels = cv2.imdecode(messages[ros_types.COLOUR_JPEG].data, cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("colour that is no JPEG")
    return np.ascontiguousarray(pixels[..., ::-1])


def _depth(image: Any) -> NDArray[np.float32]:
    """Depth [m], float32 ``(H, W)``."""
    codings = {coding.value: coding for coding in DepthCoding}
    if image.encoding not in codings:
        expected, remedy = " or ".join(codings), "give a file that storm-edge run recorded"
        raise FrameError(mismatch(ros_types.DEPTH, image.encoding, expected, remedy))
    coding = codings[image.encoding]
    return depth_of(_pixels(image, coding.dtype, channels=1)[..., 0], coding)


def _pixels(image: Any, dtype: Any, *, channels: int) -> NDArray[Any]:
    """The pixels of an image message, ``(H, W, channels)``.

    Raises:
        ValueError: Its size and its bytes do not agree.
    """
    height, width = int(image.height), int(image.width)
    if not (0 < height <= _MOST_PX and 0 < width <= _MOST_PX):
        raise ValueError(f"an image of {width}x{height}")
    data = np.ascontiguousarray(image.data, dtype=np.uint8)
    if data.size != height * width * channels * dtype.itemsize:
        raise ValueError(f"{data.size} bytes for an image of {width}x{height}")
    pixels: NDArray[Any] = data.view(dtype).reshape(height, width, channels)
    return pixels
