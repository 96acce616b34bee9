"""The camera process: `python -m storm_edge.live.sources.camera_process`, started by `realsense.RealSenseSource`.

The library may hang for good in any call, and then holds the interpreter: a process can be killed, a thread cannot.
This one opens the camera, writes frames into shared memory, tells how it is, and does as it is told: ``restart`` and
``reset``. It ends when its parent does.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from storm_edge.errors import StormEdgeError
from storm_edge.live.sources.camera_link import CameraImage, FrameSlots, Link
from storm_edge.live.sources.config import CameraConfig

_PR_SET_PDEATHSIG = 1  # fixed: linux/prctl.h


class Camera(Protocol):
    """What the process needs of a camera; `realsense_device.RealSenseCamera` is one."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What it left out."""

    @property
    def serial(self) -> str:
        """Its serial number."""

    @property
    def lock(self) -> socket.socket | None:
        """What keeps it to this service while somebody has it open; None where it needs none, or is kept already."""

    @property
    def words(self) -> str:
        """Which camera."""

    @property
    def readings(self) -> Mapping[str, float]:
        """What it says of itself."""

    @property
    def has_ended(self) -> bool:
        """Whether there are no more images to come."""

    def start(self) -> None:
        """Start it."""

    def stop(self) -> None:
        """Stop it."""

    def reset(self) -> None:
        """Have it reset itself."""

    def wait(self, timeout_s: float) -> CameraImage | None:
        """The next pair of images."""


def open_realsense(options: Mapping[str, Any]) -> Camera:
    """The camera that ``options`` name: ``serial``, ``file``, ``usb2``, ``size_px``, ``rate_hz``, ``pair_within``,
    ``queue``; ``locked`` is the one that the service keeps already.

    Raises:
        BackendError: It is not there, in use, or not as it must be.
    """
    from storm_edge.live.sources.realsense_device import RealSenseCamera, Streams, claim, find_device, load_library

    rs = load_library()
    file = options["file"]
    device = find_device(rs, serial=options["serial"], file=None if file is None else Path(file))
    camera = RealSenseCamera(rs, device, Streams.of(options))
    if file is None and camera.serial != options["locked"]:
        camera.lock = claim(camera.serial)
    return camera


class CameraLoop:
    """Frames into slots, messages both ways.

    Args:
        link: To the parent.
        slots: Where frames are put; all are ours at the beginning.
        options: What the parent said at the start.
        config: Times.
    """

    def __init__(self, link: Link, slots: FrameSlots, options: Mapping[str, Any], config: CameraConfig) -> None:
        self._link, self._slots, self._options, self._config = link, slots, dict(options), config
        self._free = deque(range(slots.count))
        self._sequence = self._no_slot = 0
        self._told_s = -config.tell_every_s
        self._is_end_told = False
        module, _, name = options["opener"].partition(":")
        self._opener = getattr(importlib.import_module(module), name)
        self._camera = self._open()

    def run(self) -> None:
        """Until the parent has ended.

        Raises:
            StormEdgeError: The camera does not work.
        """
        self._camera.start()
        try:
            while True:
                image = self._camera.wait(self._config.wait_s)
                if image is not None:
                    self._pass_on(image)
                elif self._camera.has_ended and not self._is_end_told:
                    self._is_end_told = self._link.send(ended=True)
                self._tell()
                while (message := self._link.receive(0.0)) is not None:
                    self._obey(message)
        except EOFError:
            self._camera.stop()

    def _open(self) -> Camera:
        """Open it; the parent keeps it from then on, so that it is ours while this process is started anew."""
        camera: Camera = self._opener(self._options)
        if camera.lock is not None:
            self._link.send(file=camera.lock.fileno(), locked=camera.serial)
            self._options["locked"] = camera.serial
        return camera

    def _pass_on(self, image: CameraImage) -> None:
        if not self._free:
            self._no_slot += 1
            return
        slot = self._free.popleft()
        self._sequence += 1
        self._slots.write(slot, self._sequence, image)
        self._link.send(frame=slot, sequence=self._sequence)

    def _tell(self) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= self._config.tell_every_s:
            self._told_s = now_s
            counts = {**self._camera.counts, "not_taken": self._no_slot}
            self._link.send(camera=self._camera.words, readings=dict(self._camera.readings), counts=counts)

    def _obey(self, message: Mapping[str, Any]) -> None:
        if "free" in message:
            self._free.append(message["free"])
        elif message["do"] == "restart":
            self._camera.stop()
            self._camera.start()
        elif message["do"] == "reset":
            self._reset()

    def _reset(self) -> None:
        """Reset the camera and open it when it is there again; how long that may take is the parent's to say."""
        self._camera.stop()
        self._camera.reset()
        while True:
            time.sleep(self._config.wait_s)
            try:
                self._camera = self._open()
                self._camera.start()
            except StormEdgeError:
                continue
            return


def main() -> None:
    """Serve the parent whose socket and memory file were handed over."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    options = json.loads(sys.argv[1])
    link = Link(socket.socket(fileno=options["socket"]))
    config = CameraConfig(**options["config"])
    slots = FrameSlots(options["memory"], tuple(options["size_px"]), config.slots)
    os.close(options["memory"])
    try:
        CameraLoop(link, slots, options, config).run()
    except StormEdgeError as error:
        link.send(error=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
