"""The sections of a profile for what runs beside the loop: ``recording``, ``control`` and ``health``."""

from __future__ import annotations

from pydantic import Field

from storm_edge.mcap.packed_frame import ColourCoding
from storm_edge.strict_model import StrictModel


class LossSection(StrictModel):
    """``recording``: what is kept of losses."""

    path: str = Field(default="losses", min_length=1)
    """Folder of the files, from the state folder."""
    before_s: float = Field(default=5.0, ge=0.1, le=120.0)
    """How much of the time before a loss is kept [s]."""
    after_s: float = Field(default=3.0, ge=0.0, le=120.0)
    """How much of the time after it [s]."""
    longest_s: float = Field(default=30.0, ge=1.0, le=600.0)
    """Longest file; losses that follow one another share one [s]."""
    colour: ColourCoding = ColourCoding.JPEG
    """``jpeg``, or ``lossless``, which is four times as large and gives the same states again in a replay."""
    memory_mib: float = Field(default=160.0, ge=1.0, le=65536.0)
    """Memory of the frames before a loss, and again as much of those of one file; less time is kept where it does not
    suffice [MiB]."""
    disk_mib: float = Field(default=2048.0, ge=1.0, le=1e7)
    """What all files together may take; the oldest is removed [MiB]."""
    free_mib: float = Field(default=512.0, ge=0.0, le=1e7)
    """What is left free on that disk [MiB]."""


class ControlSection(StrictModel):
    """``control``: the socket for `storm-edge ctl`."""

    path: str = Field(default="control.sock", min_length=1)
    """The socket, from the runtime folder (/run/storm-edge under systemd)."""


class HealthSection(StrictModel):
    """``health``: metrics for Prometheus and /healthz."""

    address: str = Field(default="127.0.0.1", min_length=1)
    """Where it listens; anything but this machine itself is warned of."""
    port: int = Field(default=9108, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
