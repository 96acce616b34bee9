"""What a robot runs: `Session` turns frames of an RGB-D camera into one `Track` per object; see `open_session`.

The names are loaded when they are first used, so that configurations can be read without Warp and ONNX Runtime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storm_edge.live.config import StormConfig
    from storm_edge.live.factory import open_session
    from storm_edge.live.frame_gate import SkipReason
    from storm_edge.live.object_session import ObjectSession
    from storm_edge.live.session import Session
    from storm_edge.live.track_report import FrameResult, Track, TrackState

_MODULES = {
    "FrameResult": "track_report",
    "ObjectSession": "object_session",
    "Session": "session",
    "SkipReason": "frame_gate",
    "StormConfig": "config",
    "Track": "track_report",
    "TrackState": "track_report",
    "open_session": "factory",
}

__all__ = [
    "FrameResult",
    "ObjectSession",
    "Session",
    "SkipReason",
    "StormConfig",
    "Track",
    "TrackState",
    "open_session",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
