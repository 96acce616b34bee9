"""How much memory this process and the GPU hold."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory at the end of warm-up and of the run."""

    host_begin_mib: float | None
    """Resident memory of the process after warm-up [MiB]."""
    host_end_mib: float | None
    """Resident memory at the end [MiB]."""
    host_peak_mib: float | None
    """The most it ever was [MiB], loading and set-up included."""
    device_used_mib: float | None
    """Of the GPU, all processes together, at the end [MiB]; None without one."""
    device_total_mib: float | None
    """That the GPU has [MiB]; None without one."""


def resident_mib() -> float | None:
    """Resident memory of this process [MiB]; None where the system has no `/proc`."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except OSError:
        return None
    import resource

    return round(pages * resource.getpagesize() / 2**20, 1)


def peak_mib() -> float | None:
    """The most that resident memory ever was [MiB]; None where the system does not say."""
    try:
        import resource
    except ModuleNotFoundError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


def device_memory_mib(name: str) -> tuple[float | None, float | None]:
    """Used and whole memory of a GPU [MiB]; None for the CPU."""
    from storm_edge.kernels.device import require_device

    device = require_device(name)
    if device.is_cpu:
        return None, None
    return round((device.total_memory - device.free_memory) / 2**20, 1), round(device.total_memory / 2**20, 1)
