"""What engines are built for: a compute capability, and the very GPU where one is there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from storm_edge.engines.backends.tensorrt_api import TensorRt
from storm_edge.errors import BackendError, ConfigError, mismatch

_L4T = Path("/etc/nv_tegra_release")
_ANY = "any"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A GPU."""

    sm: str
    """Its compute capability: ``sm86``."""
    gpu: str
    """Its name; ``any`` for one that is not here."""
    system: str
    """CUDA driver and, on a Jetson, its L4T release; ``any`` likewise."""


def resolve_target(api: TensorRt, wanted: str | None) -> Target:
    """The target of a build.

    Args:
        api: TensorRT that will build.
        wanted: ``sm86`` or the like; the GPU that is here, if None.

    Raises:
        ConfigError: The name is not one of a compute capability.
        BackendError: This TensorRT cannot build for it here.
    """
    if wanted is not None and not re.fullmatch(r"sm\d{2,3}", wanted):
        raise ConfigError(mismatch("--target", wanted, "sm and a number, as in sm86", "correct it"))
    if api.builds_without_gpu and wanted is not None:
        known = sorted(n.lower() for n in dir(api.module.ComputeCapability) if n.startswith("SM"))
        if wanted not in known:
            remedy = "build on that board, with its own TensorRT"
            raise BackendError(mismatch(f"{api.flavour} {api.version}", wanted, f"one of {known}", remedy))
        return Target(sm=wanted, gpu=_ANY, system=_ANY)
    here = device_target()
    if here is None:
        remedy = "build on the machine with that GPU, or name a target of tensorrt_rtx"
        raise BackendError(mismatch("build", "no CUDA device", wanted or "one", remedy))
    if wanted is not None and wanted != here.sm:
        remedy = f"build on a machine with a GPU of {wanted}"
        raise BackendError(mismatch("--target", wanted, f"{here.sm}, the {here.gpu} of this machine", remedy))
    return here


def device_target(name: str = "cuda:0") -> Target | None:
    """A GPU of this machine, None without one."""
    import warp as wp

    wp.config.quiet = True
    wp.init()
    if not wp.is_cuda_available():
        return None
    device = wp.get_device(name)
    driver = ".".join(str(part) for part in wp.get_cuda_driver_version())
    l4t = _L4T.read_text(encoding="utf-8").splitlines()[0] if _L4T.is_file() else ""
    return Target(sm=f"sm{device.arch}", gpu=str(device.name), system=f"driver {driver} {l4t}".strip())
