"""When a camera is silent, and how much is tried before its service gives up."""

from __future__ import annotations

from dataclasses import dataclass

from storm_edge.config.base import Config, tuned


@dataclass(frozen=True, kw_only=True)
class CameraConfig(Config):
    """Times and limits of a camera in a process of its own."""

    stall_s: float = tuned(1.0, unit="s", low=0.1, high=60.0)
    """Silence after which it is started anew, gently at first."""
    rung_s: float = tuned(5.0, unit="s", low=0.5, high=60.0)
    """So long an attempt may take before the next, stronger one. A camera is back 3 to 5 s after its reset."""
    open_s: float = tuned(20.0, unit="s", low=1.0, high=120.0)
    """From the start of its process to the first frame; opening a camera that is not there takes 15 s."""
    give_up_s: float = tuned(60.0, unit="s", low=1.0, high=3600.0)
    """Silence after which there is an error."""
    pair_within: float = tuned(0.5, unit="periods", low=0.0, high=1.0)
    """Colour and depth are of one frame if their stamps differ by less than this; the next frame's by a whole one."""
    slots: int = tuned(4, unit="frames", low=2, high=64)
    """Frames in shared memory: one is being written, one read, and two wait."""
    wait_s: float = tuned(0.1, unit="s", low=0.001, high=1.0)
    """Longest wait of the camera process for a frame before it looks for what it is told."""
    tell_every_s: float = tuned(1.0, unit="s", low=0.01, high=60.0)
    """How often it tells temperature and counts."""
    end_s: float = tuned(0.5, unit="s", low=0.01, high=10.0)
    """So long it may take to end by itself before it is killed."""
