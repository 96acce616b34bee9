"""What a service is made of; `build.open_service` makes them of a profile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storm_edge.errors import RunFault
from storm_edge.live.session import Session
from storm_edge.live.sinks.queue import SinkQueue
from storm_edge.live.sources import LiveSource
from storm_edge.service.notify import Notifier
from storm_edge.service.objects import TrackedObjects, WantedObject
from storm_edge.service.state import ServiceState

OnHang = Callable[[RunFault], None]

_log = logging.getLogger(__name__)


def log_hang(fault: RunFault) -> None:
    """Do no more than to log it."""
    _log.error("%s", fault)


@dataclass(frozen=True, kw_only=True)
class ServiceParts:
    """What a service is made of."""

    session: Session
    """Finds and tracks."""
    source: LiveSource
    """Where frames come from; not open yet."""
    objects: TrackedObjects
    """What is tracked in the session."""
    sinks: Sequence[SinkQueue] = ()
    """Where reports go; not started yet."""
    rate_hz: float
    """Of the camera [Hz]."""
    read_objects: Callable[[], list[WantedObject]]
    """Reads the objects of the profile again."""
    open_object: Callable[[Mapping[str, Any]], WantedObject]
    """Reads the object that a command names by ``path``, and perhaps ``name``."""
    compile_kernels: Callable[[], None]
    """Compiles what is not in the kernel cache."""
    notifier: Notifier = field(default_factory=Notifier)
    """Tells systemd."""
    on_hang: OnHang = log_hang
    """Told, on another thread, of what does not come back when the service ends."""
    state: ServiceState = field(default_factory=ServiceState)
    """What others are told, and tell."""
