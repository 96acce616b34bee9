"""A profile's ``source`` to what gives frames: a camera, a recording at true pace, rendered pictures, handed in.

What is played comes at the camera's rate whether or not the loop is ready, as from a camera; frames that came while
it was busy are passed over and counted. Stamps are the present: the time at which playing began, and how far it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from storm_edge.errors import ConfigError, mismatch
from storm_edge.frame import Frame
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.profile import check_camera
from storm_edge.live.sources import LiveSource, SourceState, SourceStatus
from storm_edge.live.sources.config import CameraConfig
from storm_edge.live.sources.handed_in import HandedIn
from storm_edge.live.sources.realsense import RealSenseOptions, RealSenseSource
from storm_edge.mcap.writer import SUFFIX
from storm_edge.replay.pacing import Pacer, ping_pong_index
from storm_edge.replay.scene import Scene
from storm_edge.service.profile_sections import (
    ExternalSection,
    RealSenseSection,
    RecordingSection,
    ServiceProfile,
    SyntheticSection,
)


class Played:
    """A `LiveSource` over frames that can be read by their place.

    Args:
        read: A frame by its place, or why it cannot be used.
        count: How many there are.
        rate_hz: Of the camera that they stand for [Hz].
        play: What comes after the last: ``once``, ``again``, ``back-and-forth``.
        what: What is played, for people.
        at_end: Called when all were played once and there are no more.
        pacer: When frames are due; one of that rate when None.
    """

    def __init__(
        self,
        read: Callable[[int], Frame | SkipReason],
        count: int,
        *,
        rate_hz: float,
        play: str,
        what: str,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self._read, self._count, self._play, self._what = read, count, play, what
        self._at_end = at_end
        self._pacer = Pacer(rate_hz, count=count if play == "once" else None)
        self._began_ns = 0
        self._state = SourceState.OPENING

    def open(self) -> None:
        """Playing begins with the first `poll`."""
        self._began_ns = time.time_ns()

    def poll(self, timeout_s: float) -> Frame | SkipReason | None:
        """The newest frame that is due; see `LiveSource.poll`."""
        if self._state is SourceState.ENDED:
            return None
        if self._pacer.wait_s() > timeout_s:
            time.sleep(timeout_s)
            return None
        due = self._pacer.next()
        if self._play == "once" and due.number >= self._count:
            self._state = SourceState.ENDED
            if self._at_end is not None:
                self._at_end()
            return None
        place = due.number % self._count
        if self._play == "back-and-forth":
            place = ping_pong_index(due.number, self._count)
        frame = self._read(place)
        self._state = SourceState.RUNNING
        if isinstance(frame, SkipReason):
            return frame
        index = frame.index if self._play == "once" else due.number
        return replace(frame, index=index, stamp_ns=self._began_ns + due.stamp_ns)

    @property
    def status(self) -> SourceStatus:
        """How it is."""
        return SourceStatus(state=self._state, detail=self._what, counts={"passed_over": self._pacer.skipped})

    def close(self, timeout_s: float) -> None:
        """Nothing is to be ended."""


def open_source(profile: ServiceProfile) -> LiveSource:
    """The source that a profile names; not open yet.

    Raises:
        ConfigError: Its images are of another size than the profile's camera gives.
        SceneError: The recording cannot be read.
        BackendError: A package that it needs is not installed.
    """
    section, machine = profile.source, profile.machine
    if isinstance(section, ExternalSection):
        return HandedIn(section.stall_s)
    if isinstance(section, RecordingSection):
        return _recording(profile, section)
    if isinstance(section, SyntheticSection):
        return _synthetic(section, machine.rate_hz)
    assert isinstance(section, RealSenseSection)
    options = RealSenseOptions(
        serial=section.serial,
        file=None if section.file is None else str(profile.file(section.file)),
        usb2=section.usb2,
        size_px=machine.size_px,
        rate_hz=machine.rate_hz,
    )
    times = {name: getattr(section, name) for name in ("stall_s", "rung_s", "open_s", "give_up_s")}
    return RealSenseSource(options, CameraConfig(**times))


def _recording(profile: ServiceProfile, section: RecordingSection) -> Played:
    from storm_edge.replay.frame_reader import FrameReader

    path = profile.file(section.path)
    scene = _scene(path, section)
    reader = FrameReader(scene, profile.machine.config.frame_gate)
    first = reader.read(scene.frame_ids[0])
    if isinstance(first, Frame):
        check_camera(profile.machine, first.size_px)
    return Played(
        lambda place: reader.read(scene.frame_ids[place]),
        len(scene),
        rate_hz=profile.machine.rate_hz,
        play=section.play,
        what=f"recording {_named(path)}",
        at_end=reader.check_used,
    )


def _scene(path: Path, section: RecordingSection) -> Scene:
    if path.suffix.lower() != SUFFIX:
        from storm_edge.bop.scene import BopScene

        return BopScene(path, camera=section.camera)
    from storm_edge.mcap.reader import McapScene

    if section.camera is not None:
        expected = f"none for {path.name}, which has one camera"
        raise ConfigError(mismatch("source.camera", section.camera, expected, "leave it out"))
    return McapScene(path)


def _synthetic(section: SyntheticSection, rate_hz: float) -> Played:
    from storm_edge.synthetic.demo import demo_script
    from storm_edge.synthetic.scene_renderer import SceneRenderer

    script = replace(demo_script(section.seed), frame_count=section.frame_count)
    frames = [item.frame for item in SceneRenderer(script)]
    return Played(frames.__getitem__, len(frames), rate_hz=rate_hz, play=section.play, what="synthetic scene")


def _named(path: Path) -> str:
    return path.resolve().name
