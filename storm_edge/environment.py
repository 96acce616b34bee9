"""Where a result was made: the versions of what decides speed and accuracy."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from storm_edge import __version__

_LIBRARIES = ("numpy", "warp-lang", "onnxruntime", "opencv-python-headless")


def versions() -> dict[str, str]:
    """Versions of what decides speed and results; a library that is not installed is left out."""
    found = {name: _version(name) for name in _LIBRARIES}
    known = {name: text for name, text in found.items() if text is not None}
    return {"storm-edge": __version__, "python": platform.python_version()} | known


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
