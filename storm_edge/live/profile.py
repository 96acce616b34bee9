"""Machine profiles: one YAML file in ``runtime/`` per machine, turned into values once and held against the machine.

A profile says which networks run in which precision and by which schedule, what the camera gives, how much memory the
process may take, and which values of the configuration tree differ from those of the schedule (its section
``config``, any key of `storm_edge.live.config.StormConfig`). Sections that say what a service does with it
(`Sections`) may stand there, too; who runs one reads what is in them. Unknown keys are refused with the nearest known
one; a profile that asks for more than the machine has is refused before anything is loaded. What the networks would
take per frame is estimated from their published sizes, where the profile says how much the board sustains
(docs/budgets.md); an estimate is no measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from storm_edge.choices import Backend, Schedule, TrackerKind
from storm_edge.config.values import with_settings, with_values
from storm_edge.errors import ConfigError, mismatch
from storm_edge.live.config import StormConfig
from storm_edge.live.schedules import schedule_of_bundle, with_schedule
from storm_edge.strict_model import StrictModel
from storm_edge.yaml_file import check_content, load_yaml

VERSION = 2  # fixed: the profile format's number; files of another one are refused
REFINE_GMAC = 11.97  # fixed: RefineNet, one pose and iteration (reference-networks, section 0)
VERIFY_GMAC = 6.13  # fixed: TOM with the memory's embedding kept (reference-networks, section 0)


class _Camera(StrictModel):
    """``camera``."""

    width_px: int = Field(ge=16, le=8192)  # fixed: no camera gives less or more
    height_px: int = Field(ge=16, le=8192)  # fixed: no camera gives less or more
    rate_hz: float = Field(gt=0.0, le=1000.0)  # fixed: no camera is faster


class _File(StrictModel):
    """A profile file."""

    version: int
    machine: str = Field(min_length=1)
    device: str = Field(pattern=r"^(cpu|cuda(:\d+)?)$")
    cores: int = Field(ge=1)
    memory_mib: int = Field(ge=1)
    bundle: str = Field(min_length=1)
    precision: Literal["fp32", "fp16", "int8", "int8-fp16"]
    backend: Literal["onnxruntime", "tensorrt", "tensorrt_rtx"] = "onnxruntime"
    engines: str = "../engines"
    camera: _Camera
    search: Literal["beside", "between"]
    schedule: Schedule | None = None
    sustained_gmac_s: float | None = Field(default=None, gt=0.0)
    config: dict[str, Any] = Field(default_factory=dict)
    source: dict[str, Any] | None = None
    objects: list[dict[str, Any]] = Field(default_factory=list)
    sinks: list[dict[str, Any]] = Field(default_factory=list)
    health: dict[str, Any] | None = None
    control: dict[str, Any] | None = None
    recording: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Sections:
    """What a profile says of a service, as it stands in the file."""

    source: dict[str, Any] | None = None
    """Where frames come from."""
    objects: tuple[dict[str, Any], ...] = ()
    """What is tracked."""
    sinks: tuple[dict[str, Any], ...] = ()
    """Where poses go."""
    health: dict[str, Any] | None = None
    """How others see how it is."""
    control: dict[str, Any] | None = None
    """How others tell it what to do."""
    recording: dict[str, Any] | None = None
    """What it keeps of losses."""

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return self == Sections()


@dataclass(frozen=True, kw_only=True)
class MachineProfile:
    """How the loop is to run on one machine."""

    machine: str
    """Name of the machine."""
    device: str
    """``cpu``, ``cuda`` or ``cuda:<i>``."""
    cores: int
    """Processor cores that the loop needs."""
    memory_mib: int
    """Most memory that the process may hold [MiB]; host and GPU together where they share it."""
    bundle: str
    """Network bundle of that precision: a name, or a folder."""
    precision: str
    """Of the networks."""
    backend: Backend
    """What runs them."""
    engines: Path
    """Folder of all built engines, for backends that run those."""
    size_px: tuple[int, int]
    """Height and width of the camera's images [px]."""
    rate_hz: float
    """Frames per second."""
    beside: bool
    """Whether lost objects are searched for on a lane beside the frames, or in between them."""
    config: StormConfig
    """Every tuned number."""
    network_frame_ms: float | None
    """Estimate of what the full tier's RefineNet and TOM take per frame [ms]; None where it is not to be had."""
    sections: Sections = Sections()
    """What a service does on this machine."""

    @property
    def period_ms(self) -> float:
        """Time between two frames [ms]."""
        return 1e3 / self.rate_hz


def read_profile(
    path: Path,
    settings: Sequence[str] = (),
    *,
    schedule: Schedule | None = None,
    bundle: str | None = None,
) -> MachineProfile:
    """Read a profile. A bundle that is a folder, and the engines, are looked for from the profile's folder.

    Args:
        path: The file.
        settings: Values that go before those of the file, as ``KEY=VALUE`` each.
        schedule: Goes before the file's.
        bundle: Network bundle that is used, if not the file's; its schedule holds where neither names one.

    Raises:
        ConfigError: No such file, not YAML, of another version, a key that is not known, or a value that is not
            allowed.
    """
    content = load_yaml(path, what="a profile")
    if content.get("version") != VERSION:
        got = f"version: {content['version']!r}" if "version" in content else "no version"
        remedy = f"write 'version: {VERSION}' and what that has, as in runtime/cpu.yaml"
        raise ConfigError(mismatch(path, got, f"version: {VERSION}", remedy))
    for key in set(content) & {item.name for item in fields(StormConfig)}:
        remedy = f"write it inside config, as in 'config: {{{key}: ...}}'"
        raise ConfigError(mismatch(path, f"unknown key '{key}'", "a key of a profile", remedy))
    file = check_content(path, content, _File, what="a profile")
    scheduled = with_schedule(
        StormConfig(), schedule or file.schedule or schedule_of_bundle(bundle or _bundle(path.parent, file))
    )
    config = with_settings(with_values(scheduled, file.config, source=path), settings)
    return MachineProfile(
        machine=file.machine,
        device=file.device,
        cores=file.cores,
        memory_mib=file.memory_mib,
        bundle=_bundle(path.parent, file),
        precision=file.precision,
        backend=Backend(file.backend),
        engines=path.parent / file.engines,
        size_px=(file.camera.height_px, file.camera.width_px),
        rate_hz=file.camera.rate_hz,
        beside=file.search == "beside",
        config=config,
        network_frame_ms=_network_frame_ms(file.device, file.sustained_gmac_s, config),
        sections=Sections(
            source=file.source,
            objects=tuple(file.objects),
            sinks=tuple(file.sinks),
            health=file.health,
            control=file.control,
            recording=file.recording,
        ),
    )


def check_machine(
    profile: MachineProfile, *, usable_cores: int, memory_mib: float | None, device_memory_mib: float | None = None
) -> None:
    """Refuse a profile that asks for more than there is.

    Args:
        profile: What is asked for.
        usable_cores: Cores that this process may use.
        memory_mib: Memory of the machine [MiB]; None if that is not known.
        device_memory_mib: Memory of the GPU [MiB]; None on a CPU.

    Raises:
        ConfigError: Too many cores, or too much memory.
    """
    what = f"profile {profile.machine}"
    remedy = "use the profile of this machine, or correct it"
    if profile.cores > usable_cores:
        raise ConfigError(
            mismatch(f"{what}: cores", profile.cores, f"at most the {usable_cores} usable here", remedy)
        )
    for name, limit_mib in (("memory_mib", memory_mib), ("memory_mib on the GPU", device_memory_mib)):
        if limit_mib is not None and profile.memory_mib > limit_mib:
            expected = f"at most the {limit_mib:.0f} that this machine has"
            raise ConfigError(mismatch(f"{what}: {name}", profile.memory_mib, expected, remedy))


def check_camera(profile: MachineProfile, size_px: tuple[int, int]) -> None:
    """Refuse images of another size than the profile's camera gives.

    Raises:
        ConfigError: They are.
    """
    if size_px != profile.size_px:
        got, expected = ("{1}x{0}".format(*size) for size in (size_px, profile.size_px))
        remedy = "give a recording of that camera, or correct camera in the profile"
        raise ConfigError(mismatch(f"images for profile {profile.machine}", got, expected, remedy))


def _bundle(folder: Path, file: _File) -> str:
    """`storm-edge export` keeps each further precision of a bundle in a folder of its name inside it."""
    place = folder / file.bundle
    if not place.is_dir() and "/" not in file.bundle and file.precision == "fp32":
        return file.bundle  # a bundle of the package
    return str(place if file.precision == "fp32" else place / file.precision)


def _network_frame_ms(device: str, sustained_gmac_s: float | None, config: StormConfig) -> float | None:
    track = config.track
    if sustained_gmac_s is None or not track.stepwise.asks_network:
        return None
    is_batched = (config.session.tracker or TrackerKind.on(device)) is TrackerKind.BATCHED
    iterations = track.batched.network_iterations if is_batched else track.stepwise.network_iterations
    gmac = iterations * REFINE_GMAC + VERIFY_GMAC / config.session.verify_every
    return round(1e3 * gmac / sustained_gmac_s, 2)
