"""Which GPU a build is for: the one that is here, or a compute capability that was named."""

from __future__ import annotations

import re

from storm_edge.engines.backends import gpu
from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt.api import TensorRt
from storm_edge.errors import BackendError, ConfigError, mismatch


def resolve_target(api: TensorRt, wanted: str | None) -> GpuTarget:
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
        return GpuTarget(sm=wanted, gpu="any", system="any")
    here = gpu.device_target()
    if here is None:
        remedy = "build on the machine with that GPU, or name a target of tensorrt_rtx"
        if api.builds_without_gpu:
            remedy = "name the GPU that the engines are for, as in --target sm89"
        raise BackendError(mismatch("build", "no CUDA device", wanted or "one", remedy))
    if wanted is not None and wanted != here.sm:
        remedy = f"build on a machine with a GPU of {wanted}"
        raise BackendError(mismatch("--target", wanted, f"{here.sm}, the {here.gpu} of this machine", remedy))
    return here
