"""The ROS 2 messages of our files: which topic has which, and their CDR form.

All are standard messages, so that Foxglove, RViz and `ros2 bag` show a file without anything of ours. What has no
standard message (the frame's number, states, confidence) is JSON in a `std_msgs/String`.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from storm_edge.errors import BackendError, mismatch

FRAME = "/storm_edge/frame"
"""String: a JSON object with index, stamp_ns and skipped of the frame; begins every frame's messages."""
TRACKS = "/storm_edge/tracks"
"""String: a line of `poses.jsonl` per object."""
ABOUT = "/storm_edge/recording"
"""String: a JSON object, once: why the file was written, and by which version."""
CAMERA = "/camera/color/camera_info"
"""CameraInfo of colour and of depth, which is aligned to it."""
COLOUR = "/camera/color/image_raw"
"""Image, rgb8."""
COLOUR_JPEG = "/camera/color/image_raw/compressed"
"""CompressedImage, jpeg."""
DEPTH = "/camera/aligned_depth_to_color/image_raw"
"""Image, 16UC1 [mm] or 32FC1 [m]."""
TRANSFORMS = "/tf"
"""TFMessage: the poses of objects that are TRACKING, camera to object."""

TYPES = {
    FRAME: "std_msgs/msg/String",
    TRACKS: "std_msgs/msg/String",
    ABOUT: "std_msgs/msg/String",
    CAMERA: "sensor_msgs/msg/CameraInfo",
    COLOUR: "sensor_msgs/msg/Image",
    COLOUR_JPEG: "sensor_msgs/msg/CompressedImage",
    DEPTH: "sensor_msgs/msg/Image",
    TRANSFORMS: "tf2_msgs/msg/TFMessage",
}
"""Message type by topic."""

CAMERA_FRAME = "camera_color_optical_frame"
"""Name of the camera's frame in headers and transforms; OpenCV axes."""
_MOST_S, _NS = 2**31 - 1, 1_000_000_000


def require_packages(what: object) -> None:
    """Refuse work with MCAP files where the packages for it are missing.

    Args:
        what: What needs them, for the message.

    Raises:
        BackendError: One is missing.
    """
    try:
        for package in ("rosbags.rosbag2", "zstandard"):
            importlib.import_module(package)
    except ImportError as error:
        remedy = "install the extra: pip install 'storm-edge[robot]'"
        raise BackendError(mismatch(what, f"no package {error.name}", "rosbags and zstandard", remedy)) from error


@cache
def typestore() -> Any:
    """The message types of ROS 2 Jazzy; those that we use are the same in Humble."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)


def make(name: str, **values: Any) -> Any:
    """A message of a type such as ``std_msgs/msg/String``."""
    return typestore().types[name](**values)


def encoded(topic: str, message: Any) -> bytes:
    """CDR of a message of a topic."""
    return bytes(typestore().serialize_cdr(message, TYPES[topic]))


def decoded(topic: str, data: bytes) -> Any:
    """The message of a topic; raises anything where the bytes are none."""
    return typestore().deserialize_cdr(data, TYPES[topic])


def header(stamp_ns: int, frame_id: str = CAMERA_FRAME) -> Any:
    """A header; a stamp that ROS cannot hold (before 1970, after 2038) becomes the nearest one that it can."""
    held_ns = min(max(stamp_ns, 0), _MOST_S * _NS + _NS - 1)
    time = make("builtin_interfaces/msg/Time", sec=held_ns // _NS, nanosec=held_ns % _NS)
    return make("std_msgs/msg/Header", stamp=time, frame_id=frame_id)
