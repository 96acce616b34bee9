"""Read `bench.json` again: what of it is compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storm_edge.bench.report import BENCH
from storm_edge.errors import InputError, mismatch
from storm_edge.parsing import parse_json

_Milliseconds = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    """A part of a record; what comparing does not need may stand beside it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Device(_Part):
    kind: str
    name: str
    compute_capability: int | None


class _Machine(_Part):
    cpu: str
    usable_cores: int


class _Bundle(_Part):
    name: str
    backend: str | None = "onnxruntime"  # older records had no other
    networks: dict[str, str]


class _Tracker(_Part):
    kind: str | None = "stepwise"  # older records had no other
    launches: str | None = None


class _Object(_Part):
    id: str
    face_count: int


class _Recording(_Part):
    name: str
    frame_count: int
    size_px: tuple[int, int]


class _Reading(_Part):
    power_mode: str | None


class _Board(_Part):
    after: _Reading


class _Phase(_Part):
    name: str
    samples_ms: dict[str, Annotated[list[_Milliseconds], Field(min_length=1)]]


class BenchRecord(_Part):
    """What of `bench.json` is compared."""

    format: Literal[1]
    mode: str
    rate_hz: float | None
    locate: str
    tracker: _Tracker = _Tracker()
    device: _Device
    machine: _Machine
    bundle: _Bundle
    object: _Object
    recording: _Recording
    board: _Board
    phases: Annotated[list[_Phase], Field(min_length=1)]


def read_record(path: Path) -> BenchRecord:
    """Read `bench.json`, or the one in a folder.

    Raises:
        InputError: There is none, or it is none.
    """
    path = path / BENCH if path.is_dir() else path
    remedy = "give a bench.json, or the folder that storm-edge bench wrote"
    try:
        content = parse_json(path.read_bytes())
        return BenchRecord.model_validate(content)
    except OSError as error:
        raise InputError(mismatch(path, error.strerror, "a record", remedy)) from error
    except ValidationError as error:  # before ValueError, which it is
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(mismatch(path, f"{where}: {first['msg']}", "a record of this version", remedy)) from error
    except ValueError as error:
        raise InputError(mismatch(path, "no JSON", "a record", remedy)) from error
