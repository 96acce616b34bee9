"""What runs beside the loop of a service: control socket, metrics, recorder of losses, return of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from storm_edge.errors import ConfigError, mismatch
from storm_edge.service.control import ControlServer
from storm_edge.service.health import HealthServer
from storm_edge.service.loss_recorder import LossRecorder
from storm_edge.service.memory import MemoryReturn
from storm_edge.service.profile_sections import ServiceProfile
from storm_edge.service.run import Service
from storm_edge.service.status import status_of

Close = Callable[[float], object]
"""Ends a part within a time [s]."""


def open_beside(service: Service, profile: ServiceProfile, *, state_folder: Path, runtime_folder: Path) -> None:
    """Open what a profile names, and have the service close it at its end.

    Args:
        service: Is not running yet.
        profile: What there is to be.
        state_folder: Where recordings lie, unless their path is absolute.
        runtime_folder: Where the socket lies, likewise.

    Raises:
        OutputError: A port or a socket is in use, or a folder cannot be written; nothing is left open.
        BackendError: A package is missing, likewise.
    """
    opened: list[Close] = []
    try:
        recorder = None
        if profile.recording is not None:
            recorder = LossRecorder(state_folder / profile.recording.path, profile.recording)
            opened.append(recorder.close)
            service.watch(recorder.add)
            service.handle("record", _recording_on_demand(recorder, profile.recording.after_s))
        recorded = None if recorder is None else lambda: recorder.counts
        if profile.health is not None:
            opened.append(HealthServer(profile.health, service.state, recorded).close)
        if profile.control is not None:
            path = runtime_folder / profile.control.path
            opened.append(ControlServer(path, service.state, lambda: status_of(service.state, recorded)).close)
    except BaseException:
        for close in reversed(opened):
            close(0.0)
        raise
    for close in (*opened, MemoryReturn().close):
        service.at_end(close)


def _recording_on_demand(recorder: LossRecorder, after_s: float) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    def record(arguments: Mapping[str, Any]) -> dict[str, Any]:
        if arguments:
            got = f"arguments {sorted(arguments)}"
            raise ConfigError(mismatch("command record", got, "none", "leave them out"))
        recorder.record()
        return {"folder": str(recorder.folder), "written_in_s": after_s}

    return record
