"""Machine profiles: one YAML file in ``runtime/`` per machine, turned into values once and held against the machine.

A profile says which networks run in which precision, what the camera gives, how the work is cut, and how much memory
it may take. Unknown keys are refused with the nearest known one; a profile that asks for more than the machine has is
refused before anything is loaded. What the networks would take per frame is estimated from their published sizes,
where the profile says how much the board sustains (docs/budgets.md); an estimate is no measurement.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storm_edge.choices import TrackerKind
from storm_edge.engines.backend import Backend
from storm_edge.errors import ConfigError, mismatch
from storm_edge.live.config import SessionConfig, StormConfig
from storm_edge.pipeline.config import TrackConfig
from storm_edge.pipeline.track.batched import BatchedTrackConfig
from storm_edge.pipeline.track.stepwise import StepwiseTrackConfig

REFINE_GMAC = 11.97
"""RefineNet, one pose and iteration (reference-networks, section 0)."""
VERIFY_GMAC = 6.13
"""TOM with the memory's embedding kept (reference-networks, section 0)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Camera(_Strict):
    """``camera``."""

    width_px: int = Field(ge=16, le=8192)
    height_px: int = Field(ge=16, le=8192)
    rate_hz: float = Field(gt=0.0, le=1000.0)


class _Lanes(_Strict):
    """``lanes``."""

    locate: Literal["beside", "between"]
    chunks_per_frame: int = Field(default=5, ge=1)
    frames_per_chunk: int = Field(default=3, ge=1)
    register_chunk: int | None = Field(default=None, ge=1, le=252)
    verify_every: int = Field(default=3, ge=1)


class _Track(_Strict):
    """``track``."""

    tracker: Literal["batched", "stepwise"] | None = None
    ask_network: Literal["in doubt", "always", "never"] = "in doubt"
    network_iterations: int = Field(default=2, ge=1, le=10)
    zero_copy: bool = False


class _File(_Strict):
    """A profile file."""

    machine: str = Field(min_length=1)
    device: str = Field(pattern=r"^(cpu|cuda(:\d+)?)$")
    cores: int = Field(ge=1)
    memory_mib: int = Field(ge=1)
    bundle: str = Field(min_length=1)
    precision: Literal["fp32", "fp16", "int8", "int8-fp16"]
    backend: Literal["onnxruntime", "tensorrt", "tensorrt_rtx"] = "onnxruntime"
    engines: str = "../engines"
    camera: _Camera
    lanes: _Lanes
    track: _Track = _Track()
    sustained_gmac_s: float | None = Field(default=None, gt=0.0)


_MODELS = (_File, _Camera, _Lanes, _Track)


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
    """Whether lost objects are looked for on a lane beside the frames."""
    config: StormConfig
    """Every tuned number."""
    network_frame_ms: float | None
    """Estimate of what the full tier's RefineNet and TOM take per frame [ms]; None where it is not to be had."""

    @property
    def period_ms(self) -> float:
        """Time between two frames [ms]."""
        return 1e3 / self.rate_hz


def read_profile(path: Path) -> MachineProfile:
    """Read a profile. A bundle that is a folder, and the engines, are looked for from the profile's folder.

    Raises:
        ConfigError: No such file, not YAML, a key that is not known, or a value that is not allowed.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(mismatch(path, error.strerror, "a profile that can be read", "check --profile")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(mismatch(path, "bytes that are no text", "YAML", "correct the file")) from error
    except yaml.YAMLError as error:
        raise ConfigError(mismatch(path, str(error).splitlines()[0], "YAML", "correct the file")) from error
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_worded(path, error)) from error
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
        beside=file.lanes.locate == "beside",
        config=StormConfig(
            track=TrackConfig(
                batched=BatchedTrackConfig(
                    network_iterations=file.track.network_iterations, zero_copy=file.track.zero_copy
                ),
                stepwise=StepwiseTrackConfig(
                    ask_network=file.track.ask_network, network_iterations=file.track.network_iterations
                ),
            ),
            loop=SessionConfig(
                tracker=None if file.track.tracker is None else TrackerKind(file.track.tracker),
                register_chunk=file.lanes.register_chunk,
                chunks_per_frame=file.lanes.chunks_per_frame,
                frames_per_chunk=file.lanes.frames_per_chunk,
                verify_every=file.lanes.verify_every,
            ),
        ),
        network_frame_ms=_network_frame_ms(file),
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


def _network_frame_ms(file: _File) -> float | None:
    if file.sustained_gmac_s is None or file.track.ask_network == "never":
        return None
    gmac = file.track.network_iterations * REFINE_GMAC + VERIFY_GMAC / file.lanes.verify_every
    return round(1e3 * gmac / file.sustained_gmac_s, 2)


def _worded(path: Path, error: ValidationError) -> str:
    # A misspelt key is also a missing one; the former says more.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        known = sorted({name for model in _MODELS for name in model.model_fields})
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else f"known keys are {known}"
        return mismatch(path, f"unknown key '{where}'", "a key of a profile", remedy)
    if first["type"] == "missing":
        return mismatch(path, f"no {where}", "every key that has no default", f"add {where}")
    return mismatch(path, f"{where}: {first['input']!r}", first["msg"], "correct that value")
