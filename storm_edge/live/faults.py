"""Which exceptions are faults of a device, its memory or an engine.

Such a fault is neither an answer about the image nor a mistake of the caller; `engine_recovery` says what is done
about it. Any other exception is a bug and is raised as it is.
"""

from __future__ import annotations

from storm_edge.errors import EngineError

_WORDS = ("cuda", "out of memory", "failed to allocate", "error launching kernel")


def is_device_fault(error: BaseException) -> bool:
    """Whether a device, its memory or an engine failed; Warp has no error of its own, so its words must do."""
    if isinstance(error, (MemoryError, EngineError)) or type(error).__module__.startswith("onnxruntime"):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def first_line(error: BaseException) -> str:
    """The first line of an error, or its name if it has none."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return line or type(error).__name__
