"""The sinks that a profile names, made."""

from __future__ import annotations

import sys
from pathlib import Path

from storm_edge.live.sinks import Sink
from storm_edge.live.sinks.json_lines import JsonLinesFile, JsonLinesStream
from storm_edge.live.sinks.unix_socket import UnixSocketSink
from storm_edge.live.sinks.zeromq import ZeroMqSink
from storm_edge.service.profile_sections import JsonLinesSection, SinkSection, UnixSocketSection, ZeroMqSection


def make_sink(section: SinkSection, *, state_folder: Path, runtime_folder: Path) -> Sink:
    """The sink of a section.

    Args:
        section: What it is.
        state_folder: Where its files lie, unless their path is absolute.
        runtime_folder: Where its socket lies, likewise.

    Raises:
        OutputError: What it writes to cannot be written, or where it listens is in use.
        ConfigError: An endpoint that is none.
        BackendError: A package that it needs is not installed.
    """
    if isinstance(section, JsonLinesSection):
        if section.path is None:
            return JsonLinesStream(sys.stdout)
        most_bytes = round(section.most_mib * 2**20)
        return JsonLinesFile(state_folder / section.path, most_bytes=most_bytes, kept=section.kept)
    if isinstance(section, ZeroMqSection):
        return ZeroMqSink(section.endpoint, encoding=section.encoding, most_waiting=section.most_waiting)
    if isinstance(section, UnixSocketSection):
        return UnixSocketSink(
            runtime_folder / section.path,
            most_waiting_bytes=round(section.most_waiting_kib * 2**10),
            most_clients=section.most_clients,
        )
    raise TypeError(f"no sink is made of {type(section).__name__}")
