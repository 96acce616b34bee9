"""Writes packed frames to an MCAP file that appears whole or not at all.

The file is written in a folder ``.NAME.part-PID`` beside its place, brought to the disk, and then given its name.
What a killed process left there is removed by `remove_unfinished`. Chunks are compressed by zstd, as MCAP readers
expect.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storm_edge.errors import OutputError, mismatch
from storm_edge.mcap import ros_types
from storm_edge.mcap.packed_frame import ColourCoding, Float64, PackedFrame

SUFFIX = ".mcap"
_PART = re.compile(r"\.(?P<name>.+)\.part-(?P<pid>\d+)")


def write_mcap(path: Path, frames: Sequence[PackedFrame], about: Mapping[str, Any]) -> Path:
    """Write a file of frames.

    Args:
        path: The file; it must not be there.
        frames: In the order of their arrival, at least one.
        about: What is to be known of the file, JSON types.

    Raises:
        OutputError: It cannot be written, or is there already; nothing is left.
        BackendError: A package is missing.
    """
    ros_types.require_packages(path)
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)  # of a process of our number that was killed
        _write_bag(part, frames, about)
        made = part / f"{part.name}{SUFFIX}"
        with made.open("rb+") as stream:
            os.fsync(stream.fileno())
        _give_name(made, path)
    except OSError as error:
        expected, remedy = "a new file that can be written", "free some room, or choose another folder"
        raise OutputError(mismatch(path, error.strerror or error, expected, remedy)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def remove_unfinished(folder: Path) -> list[Path]:
    """Remove what processes that are no more left half-written; returns what it was."""
    removed = []
    for part in folder.glob(".*.part-*"):
        found = _PART.fullmatch(part.name)
        if found is None or not found["name"].endswith(SUFFIX) or not part.is_dir() or part.is_symlink():
            continue
        if _is_alive(int(found["pid"])):
            continue
        shutil.rmtree(part, ignore_errors=True)
        removed.append(part)
    return removed


def _give_name(made: Path, path: Path) -> None:
    """Unlike a rename a link replaces nothing; file systems of memory sticks have none."""
    try:
        os.link(made, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK) or path.exists():
            raise
        made.rename(path)


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # a file that we write ourselves has no folder before `remove_unfinished` is called
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write_bag(folder: Path, frames: Sequence[PackedFrame], about: Mapping[str, Any]) -> None:
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

    writer = Writer(folder, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=ros_types.typestore())
            for topic, kind in ros_types.TYPES.items()
        }
        messages = [(ros_types.ABOUT, _text(dict(about)))]
        for frame in frames:
            for topic, message in (*messages, *_messages(frame)):
                writer.write(connections[topic], frame.arrived_ns, ros_types.encoded(topic, message))
            messages = []


def _messages(frame: PackedFrame) -> list[tuple[str, Any]]:
    """All messages of a frame; the one that names it comes first."""
    header = ros_types.header(frame.stamp_ns)
    named = {"index": frame.index, "stamp_ns": frame.stamp_ns, "skipped": frame.skipped}
    return [
        (ros_types.FRAME, _text(named)),
        (ros_types.CAMERA, _camera_info(frame, header)),
        _colour(frame, header),
        (ros_types.DEPTH, _image(frame, header, frame.depth_coding.value, frame.depth_bytes())),
        *((ros_types.TRACKS, ros_types.make("std_msgs/msg/String", data=line)) for line in frame.lines),
        *([(ros_types.TRANSFORMS, _transforms(frame, header))] if frame.poses else []),
    ]


def _text(content: Mapping[str, Any]) -> Any:
    return ros_types.make("std_msgs/msg/String", data=json.dumps(content))


def _colour(frame: PackedFrame, header: Any) -> tuple[str, Any]:
    if frame.colour_coding is ColourCoding.LOSSLESS:
        return ros_types.COLOUR, _image(frame, header, "rgb8", frame.rgb().tobytes())
    data = np.frombuffer(frame.colour, dtype=np.uint8)
    image = ros_types.make("sensor_msgs/msg/CompressedImage", header=header, format="jpeg", data=data)
    return ros_types.COLOUR_JPEG, image


def _image(frame: PackedFrame, header: Any, encoding: str, data: bytes) -> Any:
    height, width = frame.size_px
    return ros_types.make(
        "sensor_msgs/msg/Image",
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=len(data) // height,
        data=np.frombuffer(data, dtype=np.uint8),
    )


def _camera_info(frame: PackedFrame, header: Any) -> Any:
    height, width = frame.size_px
    no_window = {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False}
    projection = np.hstack([frame.K, np.zeros((3, 1))])
    return ros_types.make(
        "sensor_msgs/msg/CameraInfo",
        header=header,
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=frame.K.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=ros_types.make("sensor_msgs/msg/RegionOfInterest", **no_window),
    )


def _transforms(frame: PackedFrame, header: Any) -> Any:
    transforms = [
        ros_types.make(
            "geometry_msgs/msg/TransformStamped",
            header=header,
            child_frame_id=name,
            transform=_transform(T_cam_obj),
        )
        for name, T_cam_obj in frame.poses
    ]
    return ros_types.make("tf2_msgs/msg/TFMessage", transforms=transforms)


def _transform(T_cam_obj: Float64) -> Any:
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(T_cam_obj[:3, :3]).as_quat()
    place = dict(zip("xyz", T_cam_obj[:3, 3].tolist(), strict=True))
    return ros_types.make(
        "geometry_msgs/msg/Transform",
        translation=ros_types.make("geometry_msgs/msg/Vector3", **place),
        rotation=ros_types.make("geometry_msgs/msg/Quaternion", x=float(x), y=float(y), z=float(z), w=float(w)),
    )
