"""What a Jetson says of itself in files: power mode, clocks, temperatures, throttling, over-current.

NVML does not answer on Orin (docs/platform.md), so sysfs is read, by the places that Linux and L4T document. A file
that is not there, not readable without root, or holds no number is None: nothing is guessed, and on another machine
most of it is None. `read_board` takes the root folder, so that a made-up tree can be read in tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_GPU_NAMES = ("gpu", "ga10b", "gv11b", "gp10b", "gm20b")  # as devfreq has them, on L4T 32 to 39
_MODE = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """One clock domain."""

    now_mhz: float | None
    """Its rate when it was read [MHz]."""
    limit_mhz: float | None
    """The highest rate that the power mode allows [MHz]."""
    governor: str | None
    """Who sets it."""


@dataclass(frozen=True, kw_only=True)
class BoardState:
    """One reading. Whole fields are None where the machine has nothing of the kind."""

    model: str | None
    """Name of the board, by its device tree."""
    release: str | None
    """First line of L4T's release file."""
    power_mode: str | None
    """Name of the `nvpmodel` mode, or its number where the modes are not described."""
    clocks: Mapping[str, Clock] | None
    """By domain: ``cpu0`` ..., the GPU under its device's name, ``emc`` (memory; needs root)."""
    temperatures_c: Mapping[str, float | None] | None
    """By thermal zone [degrees Celsius]; None for a zone that is switched off."""
    throttles: Mapping[str, int | None] | None
    """State of each throttling device, 0 = not throttled."""
    throttle_events: Mapping[str, int | None] | None
    """Changes of that state since the board was started, where the kernel counts them."""
    over_current_events: Mapping[str, int | None] | None
    """Over-current events since the board was started, by counter."""
    power_mw: Mapping[str, float | None] | None
    """By rail of the INA3221 [mW]."""

    @property
    def is_jetson(self) -> bool:
        """Whether this is one of NVIDIA's boards."""
        return self.release is not None or "jetson" in (self.model or "").lower()


def read_board(root: Path | str = "/") -> BoardState:
    """Read all of it; never raises for what cannot be read."""
    root = Path(root)
    release = _text(root / "etc" / "nv_tegra_release")
    return BoardState(
        model=_text(root / "proc" / "device-tree" / "model"),
        release=release.splitlines()[0] if release else None,
        power_mode=_power_mode(root),
        clocks=_clocks(root) or None,
        temperatures_c=_temperatures(root) or None,
        throttles=_throttles(root, "cur_state") or None,
        throttle_events=_throttles(root, "stats/total_trans") or None,
        over_current_events=_over_current(root) or None,
        power_mw=_power(root) or None,
    )


def events_between(
    before: Mapping[str, int | None] | None, after: Mapping[str, int | None] | None
) -> dict[str, int | None] | None:
    """How far each counter went on; None where either reading lacks it."""
    if before is None or after is None:
        return None
    counts: dict[str, int | None] = {}
    for name, end in after.items():
        start = before.get(name)
        counts[name] = None if start is None or end is None else end - start
    return counts


def _text(path: Path) -> str | None:
    """The text of a small file without blanks and the zero byte of device trees; None if there is none to be had."""
    try:
        text = path.read_bytes().decode("utf-8", errors="replace").strip("\0 \n\t")
    except OSError:  # absent, for root alone, or a sensor that is off (EAGAIN)
        return None
    return text or None


def _number(path: Path) -> int | None:
    text = _text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _scaled(path: Path, scale: float) -> float | None:
    number = _number(path)
    return None if number is None else round(number * scale, 3)


def _folders(parent: Path, pattern: str) -> list[Path]:
    """Matching folders, ``x2`` before ``x10``."""
    found = parent.glob(pattern) if parent.is_dir() else ()
    return sorted(found, key=lambda path: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", path.name)])


def _power_mode(root: Path) -> str | None:
    """`nvpmodel` keeps ``pmode:0002`` in its status file; the configuration names the modes."""
    status = _text(root / "var" / "lib" / "nvpmodel" / "status")
    number = re.search(r"pmode:(\d+)", status or "")
    if number is None:
        return None
    identity = int(number.group(1))
    described = _text(root / "etc" / "nvpmodel.conf") or ""
    names = {int(found.group(1)): found.group(2) for found in _MODE.finditer(described)}
    return names.get(identity, str(identity))


def _clocks(root: Path) -> dict[str, Clock]:
    clocks: dict[str, Clock] = {}
    for folder in _folders(root / "sys" / "devices" / "system" / "cpu", "cpu[0-9]*"):
        frequency = folder / "cpufreq"
        if frequency.is_dir():
            clocks[folder.name] = Clock(
                now_mhz=_scaled(frequency / "scaling_cur_freq", 1e-3),
                limit_mhz=_scaled(frequency / "scaling_max_freq", 1e-3),
                governor=_text(frequency / "scaling_governor"),
            )
    for folder in _folders(root / "sys" / "class" / "devfreq", "*"):
        if any(name in folder.name for name in _GPU_NAMES):
            clocks[folder.name] = Clock(
                now_mhz=_scaled(folder / "cur_freq", 1e-6),
                limit_mhz=_scaled(folder / "max_freq", 1e-6),
                governor=_text(folder / "governor"),
            )
    emc = root / "sys" / "kernel" / "debug" / "bpmp" / "debug" / "clk" / "emc"
    rate_mhz, limit_mhz = _scaled(emc / "rate", 1e-6), _scaled(emc / "max_rate", 1e-6)
    if rate_mhz is not None:
        clocks["emc"] = Clock(now_mhz=rate_mhz, limit_mhz=limit_mhz, governor=None)
    return clocks


def _temperatures(root: Path) -> dict[str, float | None]:
    zones = _folders(root / "sys" / "class" / "thermal", "thermal_zone[0-9]*")
    return {_text(zone / "type") or zone.name: _scaled(zone / "temp", 1e-3) for zone in zones}


def _throttles(root: Path, file: str) -> dict[str, int | None]:
    """L4T has ``cpu-throttle-alert``, ``gpu-throttle-alert``, ``hot-surface-alert`` and the like; fans are none."""
    states: dict[str, int | None] = {}
    for device in _folders(root / "sys" / "class" / "thermal", "cooling_device[0-9]*"):
        kind = _text(device / "type") or ""
        if "alert" in kind or "throttle" in kind:
            states[kind] = _number(device / file)
    return states


def _over_current(root: Path) -> dict[str, int | None]:
    counts: dict[str, int | None] = {}
    for monitor in _folders(root / "sys" / "class" / "hwmon", "hwmon[0-9]*"):
        for counter in _folders(monitor, "oc[0-9]*_event_cnt"):
            counts[counter.name.removesuffix("_event_cnt")] = _number(counter)
    return counts


def _power(root: Path) -> dict[str, float | None]:
    """Volts times amperes of every labelled channel."""
    rails: dict[str, float | None] = {}
    for monitor in _folders(root / "sys" / "class" / "hwmon", "hwmon[0-9]*"):
        if _text(monitor / "name") != "ina3221":
            continue
        for label in _folders(monitor, "in[0-9]*_label"):
            channel = label.name.removeprefix("in").removesuffix("_label")
            millivolts = _number(monitor / f"in{channel}_input")
            milliamperes = _number(monitor / f"curr{channel}_input")
            name = _text(label)
            if name is not None and (monitor / f"curr{channel}_input").exists():
                known = millivolts is not None and milliamperes is not None
                rails[name] = round(millivolts * milliamperes * 1e-3, 1) if known else None  # type: ignore[operator]
    return rails
