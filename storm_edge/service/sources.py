"""A profile's ``source`` to what gives frames: a camera, a recording at true pace, rendered pictures, handed in.

A BOP folder has no times and is played at the profile's rate; an MCAP file at its own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from storm_edge.errors import ConfigError, mismatch
from storm_edge.frame import Frame
from storm_edge.live.profile import check_camera
from storm_edge.live.sources import LiveSource
from storm_edge.live.sources.config import CameraConfig
from storm_edge.live.sources.handed_in import HandedIn
from storm_edge.live.sources.realsense import RealSenseOptions, RealSenseSource
from storm_edge.mcap.writer import SUFFIX
from storm_edge.replay.scene import Scene
from storm_edge.service.played import Played, Timetable, paced_by
from storm_edge.service.profile_sections import (
    ExternalSection,
    RealSenseSection,
    RecordingSection,
    ServiceProfile,
    SyntheticSection,
)


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
    rate_hz = profile.machine.rate_hz
    stamps_ns = getattr(scene, "stamps_ns", None)  # BOP has none
    times_s = [place / rate_hz for place in range(len(scene))]
    if stamps_ns is not None:
        times_s = paced_by(stamps_ns, rate_hz, profile.machine.config.frame_gate.clock_leap_ns * 1e-9)
    return Played(
        lambda place: reader.read(scene.frame_ids[place]),
        Timetable(times_s, 1.0 / rate_hz, section.play),
        keeps_numbers=section.play == "once",
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
    timetable = Timetable([place / rate_hz for place in range(len(frames))], 1.0 / rate_hz, section.play)
    return Played(frames.__getitem__, timetable, keeps_numbers=section.play == "once", what="synthetic scene")


def _named(path: Path) -> str:
    return path.resolve().name
