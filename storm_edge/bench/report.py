"""What `storm-edge bench` leaves: `bench.json` with every sample, `bench.png`, and a table for people.

The record says on what, with what and by which command it was made. `bench_compare` reads it again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from storm_edge.bench.board import BoardState, events_between
from storm_edge.bench.recording import Recording
from storm_edge.bench.runner import END_TO_END, OTHER, UPLOAD, WAIT, BenchPlan, BenchRun, Phase
from storm_edge.choices import BenchMode
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.environment import versions
from storm_edge.errors import OutputError, mismatch
from storm_edge.files import atomic_folder
from storm_edge.live.profile import MachineProfile
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.percentiles import percentiles
from storm_edge.replay.outputs import describe_tracker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

BENCH = "bench.json"
PLOT = "bench.png"
FORMAT = 1
_WINDOWS = 10
_INK, _FAINT = "#2b2f36", "#8a919c"
_LINES = ("#2f6fde", "#e07b27", "#7a4fd0", "#159a8c", "#c2417c")


def make_record(
    run: BenchRun,
    plan: BenchPlan,
    recording: Recording,
    bundle: ObjectBundle,
    networks: NetworkBundle | None,
    *,
    board: tuple[BoardState, BoardState],
    arguments: Sequence[str],
    profile: MachineProfile | None = None,
) -> dict[str, Any]:
    """The content of `bench.json`, JSON types only.

    Args:
        run: What was measured.
        plan: What was asked for.
        recording: What was played.
        bundle: The object.
        networks: The network bundle.
        board: Readings before and after.
        arguments: The command line, without the name of the program.
        profile: The machine profile, where one was used.
    """
    before, after = board
    record = {
        "format": FORMAT,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": " ".join(["storm-edge", *(shlex.quote(_without_place(text)) for text in arguments)]),
        "mode": plan.mode.value,
        "rate_hz": plan.rate_hz,
        "locate": "beside" if plan.beside else "between",
        "tracker": run.tracker,
        "device": describe_device(plan.device),
        "machine": describe_machine(),
        "bundle": _describe_bundle(networks),
        "object": {
            "id": bundle.object_id,
            "diameter_m": round(bundle.diameter_m, 6),
            "face_count": len(bundle.mesh.faces),
        },
        "recording": {
            "name": recording.name,
            "frame_count": len(recording.shots),
            "size_px": list(recording.size_px),
            "start": run.start,
        },
        "profile": None if profile is None else _describe_profile(profile, run, plan),
        "versions": versions(),
        "checked": run.checked,
        "counts": run.counts,
        "memory": run.memory,
        "board": {
            "before": before,
            "after": after,
            "throttle_events": events_between(before.throttle_events, after.throttle_events),
            "over_current_events": events_between(before.over_current_events, after.over_current_events),
        },
        "phases": [_phase_entry(phase) for phase in run.phases],
    }
    plain: dict[str, Any] = _plain(record)
    return plain


def describe_machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory, system, and how busy the machine is."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "usable_cores": usable_cores(),
        "memory_mib": physical_memory_mib(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_memory_mib() -> int | None:
    """Memory of the machine [MiB]; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):
        return None


def describe_device(name: str) -> dict[str, Any]:
    """The device that kernels ran on, as Warp names it."""
    from storm_edge.kernels.device import require_device

    device = require_device(name)
    return {
        "kind": "cpu" if device.is_cpu else "cuda",
        "name": device.name,
        "compute_capability": None if device.is_cpu else device.arch,
    }


def phase_statistics(samples_ms: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """By stage: percentiles, jitter (mean change from one sample to the next), first and last tenth's median [ms]."""
    stages = {}
    for stage, samples in samples_ms.items():
        values = np.asarray(samples, dtype=np.float64)
        window = max(1, len(values) // _WINDOWS)
        jitter = float(np.abs(np.diff(values)).mean()) if len(values) > 1 else 0.0
        stages[stage] = percentiles(samples) | {
            "jitter": round(jitter, 3),
            "first_p50": round(float(np.median(values[:window])), 3),
            "last_p50": round(float(np.median(values[-window:])), 3),
        }
    return stages


def write_bench(out: Path, record: Mapping[str, Any]) -> None:
    """Write `bench.json` and `bench.png` into folder ``out``, which appears when both are written.

    Raises:
        OutputError: The folder is something else than an older result, or cannot be written.
    """
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    with atomic_folder(out, marker=BENCH) as folder:
        try:
            (folder / BENCH).write_text(text, encoding="utf-8")
            _plot(folder / PLOT, record)
        except OSError as error:
            got = error.strerror or error
            raise OutputError(mismatch(out, got, "a folder that can be written", "choose another one")) from error


def bench_table(record: Mapping[str, Any]) -> Table:
    """A row per phase and stage, the whole way last."""
    from rich.table import Table

    rate = "as fast as it can" if record["rate_hz"] is None else f"at {record['rate_hz']:g} Hz"
    size = "x".join(map(str, reversed(record["recording"]["size_px"])))
    title = f"storm-edge bench {record['mode']}, {rate}: bundle {record['bundle']['name']}, {size}, "
    table = Table(title=title + record["device"]["kind"], title_justify="left")
    for heading in ("", "stage [ms]"):
        table.add_column(heading)
    for heading in ("samples", "p50", "p90", "p99", "max", "jitter", "first tenth", "last tenth"):
        table.add_column(heading, justify="right")
    for phase in record["phases"]:
        for row, (stage, s) in enumerate(_ordered(phase["stages"])):
            numbers = [f"{s[key]:.2f}" for key in ("p50", "p90", "p99", "max", "jitter", "first_p50", "last_p50")]
            style = "bold" if stage == END_TO_END else None
            table.add_row("" if row else phase["name"], stage, str(s["count"]), *numbers, style=style)
    return table


def bench_sentences(record: Mapping[str, Any]) -> list[str]:
    """What the table does not say, a line each."""
    lines = []
    for phase in record["phases"]:
        if phase["late_count"] is not None:
            late = f"{phase['late_count']} of {phase['frame_count']} poses came after the next frame was due"
            lines.append(f"{phase['name']}: {late}; {phase['skipped_count']} frames were skipped")
        warm = phase["warm_up"]
        if warm:
            lines.append(
                f"{phase['name']}: warm-up p50 {warm['p50']:.2f} ms, max {warm['max']:.2f} ms, not counted above"
            )
    if len(record["phases"]) == 2:
        alone, beside = (phase["stages"][END_TO_END]["p99"] for phase in record["phases"])
        lines.append(
            f"p99 {record['phases'][1]['name']} is {beside / alone:.2f} times p99 {record['phases'][0]['name']}"
        )
    if record["counts"]:
        lines.append(", ".join(f"{what}: {count}" for what, count in record["counts"].items()))
    memory, checked = record["memory"], record["checked"]
    if memory["host_end_mib"] is not None:
        peak = "" if memory["host_peak_mib"] is None else f", at most {memory['host_peak_mib']:.0f}"
        begin, end = memory["host_begin_mib"], memory["host_end_mib"]
        line = f"host memory {begin:.0f} MiB after warm-up, {end:.0f} at the end{peak}"
        if memory["device_used_mib"] is not None:
            line += f"; device {memory['device_used_mib']:.0f} of {memory['device_total_mib']:.0f} MiB in use"
        lines.append(line)
    right = "" if checked["right_share"] is None else f", {checked['right_share']:.0%} of them right"
    lines.append(f"checked: followed in {checked['followed_share']:.0%} of the frames{right} ({checked['against']})")
    if record["tracker"]:
        lines.append(describe_tracker(record["tracker"]))
    profile = record["profile"]
    if profile is not None:
        kept = {True: "kept", False: "EXCEEDED", None: "not known"}[profile["within_memory"]]
        line = f"profile {profile['machine']}: memory budget of {profile['memory_mib']} MiB {kept}"
        if profile["estimated_network_ms"] is not None:
            line += f"; networks estimated at {profile['estimated_network_ms']:.1f} ms a frame (docs/budgets.md)"
        lines.append(line)
    mode = record["board"]["after"]["power_mode"]
    if mode is not None:
        lines.append(f"board: {record['board']['after']['model']}, power mode {mode}")
    return lines


def _phase_entry(phase: Phase) -> dict[str, Any]:
    samples = {stage: [round(ms, 3) for ms in values] for stage, values in phase.samples_ms.items()}
    return {
        "name": phase.name,
        "frame_count": len(phase.samples_ms[END_TO_END]),
        "late_count": phase.late_count,
        "skipped_count": phase.skipped_count,
        "states": phase.states,
        "warm_up": percentiles(phase.warm_up_ms),
        "stages": phase_statistics(phase.samples_ms),
        "samples_ms": samples,
    }


def _ordered(stages: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """In the order a frame goes through them."""
    place = {WAIT: -2, UPLOAD: -1, OTHER: 1, END_TO_END: 2}
    return sorted(stages.items(), key=lambda item: place.get(item[0], 0))


def _describe_bundle(networks: NetworkBundle | None) -> dict[str, Any]:
    if networks is None:
        return {"name": "none", "tier": None, "backend": None, "networks": {}}
    hashes = {name: file.sha256 for name, file in networks.networks.items()}
    backend = networks.backend.value
    return {"name": networks.name, "tier": networks.tier, "backend": backend, "networks": hashes}


def _describe_profile(profile: MachineProfile, run: BenchRun, plan: BenchPlan) -> dict[str, Any]:
    """What the profile asked for, and whether it was kept."""
    peak_mib = run.memory.host_peak_mib
    estimate_ms = profile.network_frame_ms if plan.mode in (BenchMode.TRACK, BenchMode.TRACK_WHILE_LOCATING) else None
    return {
        "machine": profile.machine,
        "precision": profile.precision,
        "memory_mib": profile.memory_mib,
        "within_memory": None if peak_mib is None else peak_mib <= profile.memory_mib,
        "estimated_network_ms": estimate_ms,
        "config": profile.config,
    }


def _without_place(text: str) -> str:
    """An argument as the record shows it: of an absolute path only the last name, the rest is one machine's."""
    return Path(text).name if Path(text).is_absolute() else text


def _plain(value: Any) -> Any:
    """JSON types only."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def _plot(path: Path, record: Mapping[str, Any]) -> None:
    """Above, the whole way of every frame; below, how often a stage takes longer than a time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 7.0), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    rate = "" if record["rate_hz"] is None else f" at {record['rate_hz']:g} Hz"
    title = f"storm-edge bench {record['mode']}{rate}: {record['bundle']['name']} on {record['machine']['cpu']}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=_INK)
    above, below = figure.subplots(2, 1)
    for colour, phase in zip(_LINES, record["phases"], strict=False):
        values = phase["samples_ms"][END_TO_END]
        s = phase["stages"][END_TO_END]
        label = f"{phase['name']}: p50 {s['p50']:.1f}, p99 {s['p99']:.1f} ms"
        above.plot(range(len(values)), values, ".", ms=2.5, color=colour, label=label)
    if record["rate_hz"] is not None:
        above.axhline(1e3 / record["rate_hz"], color=_FAINT, lw=1.0, ls=(0, (5, 4)), label="next frame is due")
    above.set_ylim(bottom=0.0)
    _dress(above, "frame", "end to end [ms]")
    styles = ("-", "--")
    for style, phase in zip(styles, record["phases"], strict=False):
        stages = [(stage, v) for stage, v in phase["samples_ms"].items() if stage != OTHER]
        for colour, (stage, values) in zip(_LINES * 2, stages, strict=False):
            ordered = np.sort(values)
            longer = 1.0 - np.arange(len(ordered)) / len(ordered)
            ink = _INK if stage == END_TO_END else colour
            label = stage if len(record["phases"]) == 1 else f"{phase['name']}: {stage}"
            below.step(np.maximum(ordered, 1e-3), longer, where="pre", color=ink, ls=style, lw=1.3, label=label)
    below.set_xscale("log")
    below.set_yscale("log")
    _dress(below, "time [ms]", "share of frames at least as slow")
    figure.savefig(path)


def _dress(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, color=_INK)
    axes.set_ylabel(y_label, color=_INK)
    axes.grid(color="#e6e8ec", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(colors=_FAINT, labelsize=9)
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK, ncols=2)
