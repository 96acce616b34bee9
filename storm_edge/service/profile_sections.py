"""The sections of a machine profile that the service reads: where frames come from, what is tracked, where poses go.

Profiles without them serve `storm-edge bench` as before. What is wrong is refused in one line, with the nearest known
key. Files that a profile names are looked for from its own folder; files that the service writes, from its state
folder (`build`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from storm_edge.errors import ConfigError, mismatch
from storm_edge.live.profile import MachineProfile, read_profile
from storm_edge.service.beside_sections import ControlSection, HealthSection, LossSection
from storm_edge.strict_model import StrictModel
from storm_edge.yaml_file import check_content


class SourceSection(StrictModel):
    """What every ``source`` has."""

    stall_s: float = Field(default=1.0, ge=0.1, le=60.0)
    """Silence after which the source is reported as stalled [s]."""


class RealSenseSection(SourceSection):
    """``source`` of kind ``realsense``: a RealSense camera, in a process of its own."""

    kind: Literal["realsense"]
    serial: str | None = Field(default=None, min_length=1)
    """Of the camera; none takes the only one that is there."""
    file: str | None = Field(default=None, min_length=1)
    """A recording of librealsense (.db3) in place of a camera."""
    usb2: Literal["refuse", "accept"] = "refuse"
    """What to do with a camera on a USB 2 port, which has too little bandwidth for 640x480 at 30 Hz."""
    open_s: float = Field(default=20.0, ge=1.0, le=120.0)
    """Longest time from the start of the camera process to its first frame [s]."""
    rung_s: float = Field(default=5.0, ge=0.5, le=60.0)
    """Longest time that one attempt to recover may take before the next, stronger one [s]."""
    give_up_s: float = Field(default=60.0, ge=1.0, le=3600.0)
    """Silence after which the service ends with an error [s]."""


class RecordingSection(SourceSection):
    """``source`` of kind ``recording``: a BOP scene folder or an MCAP file, played at true pace."""

    kind: Literal["recording"]
    path: str = Field(min_length=1)
    """The folder or file."""
    camera: str | None = None
    """Which of a scene's cameras; none where there is one."""
    play: Literal["once", "again", "back-and-forth"] = "once"
    """What comes after the last frame: nothing, the first one, or all of them backwards."""


class SyntheticSection(SourceSection):
    """``source`` of kind ``synthetic``: the scene of `storm-edge demo`, rendered at the start and played."""

    kind: Literal["synthetic"]
    seed: int = Field(default=5, ge=0, le=2**31 - 1)
    """Of the scene."""
    frame_count: int = Field(default=60, ge=2, le=150)
    """Frames that are rendered and kept in memory, 2 MiB each."""
    play: Literal["once", "again", "back-and-forth"] = "back-and-forth"
    """What comes after the last frame."""


class ExternalSection(SourceSection):
    """``source`` of kind ``external``: frames that a program of the user's hands in through Python."""

    kind: Literal["external"]


class ObjectSection(StrictModel):
    """One of ``objects``."""

    path: str = Field(min_length=1)
    """Folder of the object bundle."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.#-]{1,64}$")
    """Name in reports; none takes the bundle's."""


class SinkSection(StrictModel):
    """What every sink has."""

    capacity: int = Field(default=64, ge=1, le=10_000)
    """Reports that wait for it at most; the oldest is dropped where there are more."""


class JsonLinesSection(SinkSection):
    """A sink of kind ``json_lines``: stdout, or a file that is rotated."""

    kind: Literal["json_lines"]
    path: str | None = Field(default=None, min_length=1)
    """File, from the state folder; none writes to stdout."""
    most_mib: float = Field(default=64.0, gt=0.0, le=1e6)
    """Size from which on the file is rotated [MiB]."""
    kept: int = Field(default=4, ge=0, le=1000)
    """Older files that are kept beside it."""


class ZeroMqSection(SinkSection):
    """A sink of kind ``zeromq``: a PUB socket."""

    kind: Literal["zeromq"]
    endpoint: str = "tcp://127.0.0.1:5556"
    """Where it is bound; ``tcp://ADDRESS:PORT`` or ``ipc://PATH``."""
    encoding: Literal["msgpack", "json"] = "msgpack"
    """How a message is packed."""
    most_waiting: int = Field(default=256, ge=1, le=100_000)
    """Messages that are kept for a subscriber that does not keep up."""


class UnixSocketSection(SinkSection):
    """A sink of kind ``unix_socket``: a stream of JSON lines."""

    kind: Literal["unix_socket"]
    path: str = Field(default="poses.sock", min_length=1)
    """The socket, from the runtime folder."""
    most_waiting_kib: float = Field(default=1024.0, ge=1.0, le=1e6)
    """What is kept for a client that does not read; then it is cut off [KiB]."""
    most_clients: int = Field(default=16, ge=1, le=1000)
    """Clients at a time."""


SOURCES: dict[str, type[SourceSection]] = {
    "realsense": RealSenseSection,
    "recording": RecordingSection,
    "synthetic": SyntheticSection,
    "external": ExternalSection,
}
SINKS: dict[str, type[SinkSection]] = {
    "json_lines": JsonLinesSection,
    "zeromq": ZeroMqSection,
    "unix_socket": UnixSocketSection,
}


@dataclass(frozen=True, kw_only=True)
class ServiceProfile:
    """A profile as the service reads it."""

    WHAT: ClassVar[str] = "a profile"

    path: Path
    """The file."""
    settings: tuple[str, ...]
    """Values that go before those of the file, as ``KEY=VALUE`` each."""
    machine: MachineProfile
    """How the loop runs on this machine."""
    source: SourceSection
    """Where frames come from."""
    objects: tuple[ObjectSection, ...]
    """What is tracked from the start."""
    sinks: tuple[SinkSection, ...]
    """Where reports go."""
    recording: LossSection | None
    """What is kept of losses; None keeps nothing."""
    control: ControlSection | None
    """The control socket; None for none."""
    health: HealthSection | None
    """Metrics and /healthz; None for none."""

    @property
    def words(self) -> str:
        """What it does in one line."""
        kinds = ", ".join(getattr(item, "kind", "?") for item in self.sinks) or "none"
        names = ", ".join(item.name or Path(item.path).name for item in self.objects) or "none"
        parts = {"recording": self.recording, "control": self.control, "health": self.health}
        beside = "".join(f"; {name}" for name, part in parts.items() if part is not None)
        return f"source {getattr(self.source, 'kind', '?')}; objects {names}; sinks {kinds}{beside}"

    def file(self, name: str) -> Path:
        """A file that the profile names."""
        return self.path.parent / name


def read_service_profile(path: Path, settings: Sequence[str] = ()) -> ServiceProfile:
    """Read a profile with its sections; arguments as for `read_profile`.

    Raises:
        ConfigError: As `read_profile`, no source, or a key or value of a section that is not understood.
    """
    machine = read_profile(path, settings)
    sections = machine.sections
    if sections.source is None:
        remedy = "add one, as in 'source: {kind: recording, path: FOLDER}'; runtime/cpu.yaml has all kinds"
        raise ConfigError(mismatch(path, "no source", "where frames come from", remedy))
    return ServiceProfile(
        path=path,
        settings=tuple(settings),
        machine=machine,
        source=_one_of(path, "source", sections.source, SOURCES),
        objects=tuple(
            check_content(path, item, ObjectSection, what=ServiceProfile.WHAT, prefix=f"objects.{number}.")
            for number, item in enumerate(sections.objects)
        ),
        sinks=tuple(_one_of(path, f"sinks.{n}", item, SINKS) for n, item in enumerate(sections.sinks)),
        recording=_beside(path, "recording", sections.recording, LossSection),
        control=_beside(path, "control", sections.control, ControlSection),
        health=_beside(path, "health", sections.health, HealthSection),
    )


def check_sections(path: Path, settings: Sequence[str] = ()) -> ServiceProfile | None:
    """The same for a profile that may have no sections at all: None then."""
    if read_profile(path, settings).sections.is_empty:
        return None
    return read_service_profile(path, settings)


def _beside(path: Path, key: str, content: dict[str, Any] | None, model: type[Any]) -> Any:
    """A section that may be missing."""
    if content is None:
        return None
    return check_content(path, content, model, what=ServiceProfile.WHAT, prefix=f"{key}.")


def _one_of(path: Path, key: str, content: Mapping[str, Any], models: Mapping[str, type[Any]]) -> Any:
    """The section of the kind that it says it is."""
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in models:
        got = f"{key}.kind: {kind!r}" if "kind" in content else f"no {key}.kind"
        raise ConfigError(mismatch(path, got, f"one of {', '.join(models)}", "correct that value"))
    return check_content(path, dict(content), models[kind], what=ServiceProfile.WHAT, prefix=f"{key}.")
