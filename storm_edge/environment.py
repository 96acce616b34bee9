"""Where a result was made: the machine, how busy it was, and the versions of what decides speed and accuracy."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from storm_edge import __version__

_LIBRARIES = ("numpy", "warp-lang", "onnxruntime", "opencv-python-headless")


def versions(*more: str) -> dict[str, str]:
    """Versions of what decides speed and results; a library that is not installed is left out.

    Args:
        more: Distributions to state beside those that every result depends on.
    """
    found = {name: _version(name) for name in (*_LIBRARIES, *more)}
    known = {name: text for name, text in found.items() if text is not None}
    return {"storm-edge": __version__, "python": platform.python_version()} | known


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory, system, and how busy the machine is."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "usable_cores": usable_cores(),
        "memory_mib": physical_memory_mib(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def command_line(program: str, arguments: Sequence[str]) -> str:
    """The command that makes a result again; of absolute paths only the last name, the rest is one machine's.

    Args:
        program: The program with what always follows it.
        arguments: As they were given.
    """
    shown = [Path(text).name if Path(text).is_absolute() else text for text in arguments]
    return " ".join([program, *map(shlex.quote, shown)])


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_memory_mib() -> int | None:
    """Memory of the machine [MiB]; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):
        return None


def load_per_core() -> float | None:
    """Load average of the last minute over the machine's cores; None where the system does not say.

    All cores count, not those alone that this process may use: the load is that of all of them.
    """
    if not hasattr(os, "getloadavg"):
        return None
    return round(os.getloadavg()[0] / (os.cpu_count() or 1), 3)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
