"""Makes a service of a profile: all that can be refused is refused here, before a camera is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storm_edge.engines.backend import require_backend
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import ConfigError, mismatch
from storm_edge.kernels.device import compile_kernels
from storm_edge.live.factory import open_session
from storm_edge.live.schedules import check_schedule
from storm_edge.live.sinks.queue import SinkQueue
from storm_edge.live.sources import LiveSource
from storm_edge.live.watchdog import Watchdog
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.mesh_io import FORMATS
from storm_edge.service.beside import open_beside
from storm_edge.service.notify import Notifier
from storm_edge.service.objects import TrackedObjects, WantedObject, wanted_objects
from storm_edge.service.parts import OnHang, ServiceParts, log_hang
from storm_edge.service.profile_sections import (
    ObjectSection,
    ServiceProfile,
    read_service_profile,
)
from storm_edge.service.run import Service
from storm_edge.service.sinks import make_sink
from storm_edge.service.sources import open_source

NO_NETWORKS = "none"
"""Bundle name of a profile that runs on geometry alone."""


def open_service(
    profile: ServiceProfile,
    *,
    state_folder: Path,
    runtime_folder: Path | None = None,
    source: LiveSource | None = None,
    sinks: Sequence[SinkQueue] | None = None,
    notifier: Notifier | None = None,
    watchdog: Watchdog | None = None,
    on_hang: OnHang = log_hang,
) -> Service:
    """A service that is ready to `run`.

    Args:
        profile: What it does.
        state_folder: Where files that it writes lie, unless their path is absolute.
        runtime_folder: Where its sockets lie, likewise; the state folder when None.
        source: Where frames come from; what the profile says when None.
        sinks: Where reports go, likewise.
        notifier: Who is told how it is; systemd when None.
        watchdog: Is told when a frame is worked on.
        on_hang: Told, on another thread, of what does not come back when the service ends.

    Raises:
        StormEdgeError: What it needs is missing or wrong; one line.
    """
    machine = profile.machine
    wanted = _read_objects(profile)
    networks = None
    if machine.bundle != NO_NETWORKS:
        require_backend(machine.backend, machine.device)
        networks = NetworkBundle.load(machine.bundle, backend=machine.backend, engine_folder=machine.engines)
    check_schedule(machine.config, networks, device=machine.device)
    source = open_source(profile) if source is None else source
    folders = {"state_folder": state_folder, "runtime_folder": runtime_folder or state_folder}
    with ExitStack() as undo:
        if sinks is None:
            sinks = []
            for item in profile.sinks:
                sinks.append(SinkQueue(make_sink(item, **folders), item.capacity))
                undo.callback(sinks[-1].close, 0.0)
        session = open_session(
            [], networks, config=machine.config, device=machine.device, background=machine.beside, watchdog=watchdog
        )
        undo.callback(session.close)
        objects = TrackedObjects(session, is_beside=machine.device == "cpu" and machine.beside)
        objects.start_with(wanted)
        service = Service(
            ServiceParts(
                session=session,
                source=source,
                objects=objects,
                sinks=sinks,
                rate_hz=machine.rate_hz,
                read_objects=lambda: _read_objects(read_service_profile(profile.path, profile.settings)),
                open_object=lambda arguments: open_object(profile, arguments),
                compile_kernels=lambda: compile_kernels(machine.device),
                on_hang=on_hang,
                notifier=Notifier() if notifier is None else notifier,
            )
        )
        open_beside(service, profile, **folders)
        undo.pop_all()
    return service


def open_object(profile: ServiceProfile, arguments: Mapping[str, Any]) -> WantedObject:
    """The object that a command names by ``path``, and perhaps ``name``.

    Raises:
        ConfigError: Other arguments.
        ObjectBundleError: There is no such object.
    """
    try:
        section = ObjectSection.model_validate(dict(arguments))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        remedy = "give path, and perhaps name"
        raise ConfigError(mismatch("command add", f"{where}: {first['msg']}", "an object", remedy)) from error
    (wanted,) = wanted_objects([_opened(profile, section)])
    return wanted


def _read_objects(profile: ServiceProfile) -> list[WantedObject]:
    return wanted_objects([_opened(profile, section) for section in profile.objects])


def _opened(profile: ServiceProfile, section: ObjectSection) -> tuple[ObjectBundle, Path, str | None]:
    path = profile.file(section.path)
    if path.suffix.lower() in FORMATS:
        remedy = "make one with storm-edge onboard and name its folder"
        raise ConfigError(mismatch(path, "a model file", "an object bundle", remedy))
    return ObjectBundle.load(path), path, section.name
