"""What `storm-edge bench run` leaves: `bench.json` with every sample, and `bench.png`.

The record says on what, with what and by which command it was made. `stored_record` reads it again.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storm_edge.bench.board import BoardState, events_between
from storm_edge.bench.player import END_TO_END, Phase
from storm_edge.bench.plot import plot_record
from storm_edge.bench.runner import BenchRun
from storm_edge.choices import BenchMode
from storm_edge.config.tree import differences
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.environment import command_line, machine, versions
from storm_edge.errors import OutputError, mismatch
from storm_edge.live.config import StormConfig
from storm_edge.live.profile import MachineProfile
from storm_edge.live.schedules import schedule_name
from storm_edge.percentiles import first_and_last, percentiles
from storm_edge.result_folder import atomic_folder
from storm_edge.result_kind import MADE_BY, ResultKind

BENCH = "bench.json"
PLOT = "bench.png"
FORMAT = 1
BENCHMARK = ResultKind(
    command="storm-edge bench",
    marker=BENCH,
    keys=frozenset({"format", "date", "command", "mode", "machine", "versions", "phases"}),
    names=frozenset({PLOT}),
)
"""Of `bench run`."""


def make_record(
    run: BenchRun,
    *,
    board: tuple[BoardState, BoardState],
    arguments: Sequence[str],
    profile: MachineProfile | None = None,
) -> dict[str, Any]:
    """The content of `bench.json`, JSON types only.

    Args:
        run: What was measured, and of what.
        board: Readings before and after.
        arguments: The command line, without the name of the program.
        profile: The machine profile, where one was used.
    """
    plan, bundle = run.plan, run.bundle
    before, after = board
    record = {
        "format": FORMAT,
        MADE_BY: BENCHMARK.made_by,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command_line("storm-edge", arguments),
        "mode": plan.mode.value,
        "rate_hz": plan.rate_hz,
        "locate": "beside" if plan.background_search else "between",
        "tracker": run.tracker,
        "schedule": schedule_name(plan.config),
        "config": {key: value for key, (value, _) in differences(plan.config, StormConfig()).items()},
        "device": describe_device(plan.device),
        "machine": machine(),
        "bundle": _describe_bundle(run.networks),
        "object": {
            "id": bundle.object_id,
            "diameter_m": round(bundle.diameter_m, 6),
            "face_count": len(bundle.mesh.faces),
        },
        "recording": {
            "name": run.recording.name,
            "frame_count": len(run.recording.frames),
            "size_px": list(run.recording.size_px),
            "start": run.start,
        },
        "profile": None if profile is None else _describe_profile(profile, run),
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
        jitter = float(np.abs(np.diff(samples)).mean()) if len(samples) > 1 else 0.0
        stages[stage] = percentiles(samples) | {"jitter": round(jitter, 3)} | first_and_last(samples)
    return stages


def write_bench(out: Path, record: Mapping[str, Any], *, force: bool = False) -> None:
    """Write `bench.json` and `bench.png` into folder ``out``, which appears when both are written.

    Args:
        out: The folder.
        record: What `make_record` gave.
        force: Whether files that are not ours may lie beside them.

    Raises:
        OutputError: The folder is something else than an older result, or cannot be written.
    """
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    with atomic_folder(out, BENCHMARK, force=force) as folder:
        try:
            (folder / BENCH).write_text(text, encoding="utf-8")
            plot_record(folder / PLOT, record)
        except OSError as error:
            got = error.strerror or error
            raise OutputError(mismatch(out, got, "a folder that can be written", "choose another one")) from error


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


def _describe_bundle(networks: NetworkBundle | None) -> dict[str, Any]:
    if networks is None:
        return {"name": "none", "tier": None, "backend": None, "networks": {}}
    hashes = {name: file.sha256 for name, file in networks.networks.items()}
    backend = networks.backend.value
    return {"name": networks.name, "tier": networks.tier, "backend": backend, "networks": hashes}


def _describe_profile(profile: MachineProfile, run: BenchRun) -> dict[str, Any]:
    """What the profile asked for, and whether it was kept."""
    peak_mib = run.memory.host_peak_mib
    estimate_ms = (
        profile.network_frame_ms if run.plan.mode in (BenchMode.TRACK, BenchMode.TRACK_WHILE_LOCATING) else None
    )
    return {
        "machine": profile.machine,
        "precision": profile.precision,
        "memory_mib": profile.memory_mib,
        "within_memory": None if peak_mib is None else peak_mib <= profile.memory_mib,
        "estimated_network_ms": estimate_ms,
    }


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
