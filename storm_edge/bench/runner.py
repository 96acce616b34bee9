"""Time a recording in one of the modes; what `storm-edge bench run` calls.

What came out is checked against labels or the loop's own state before a number leaves this module: a fast wrong run
is an error. `storm_edge.bench.report` writes down what was measured, `storm_edge.bench.compare` compares two records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from storm_edge.bench import modes
from storm_edge.bench.checks import Checked, check_output
from storm_edge.bench.memory import Memory, device_memory_mib, peak_mib, resident_mib
from storm_edge.bench.modes import ModeResult, Setup
from storm_edge.bench.plan import BenchPlan
from storm_edge.bench.player import FramePlayer, Phase
from storm_edge.bench.recording import Recording
from storm_edge.choices import BenchMode
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.live.factory import streams_of
from storm_edge.objects.bundle import ObjectBundle

_MODES: Mapping[BenchMode, Callable[[Setup], ModeResult]] = {
    BenchMode.TRACK: modes.time_tracking,
    BenchMode.REGISTER: modes.time_registration,
    BenchMode.LOCATE: modes.time_search,
    BenchMode.RECOVER: modes.time_recovery,
    BenchMode.TRACK_WHILE_LOCATING: modes.time_tracking_while_searching,
}


@dataclass(frozen=True, kw_only=True)
class BenchRun:
    """All that was measured, and of what."""

    plan: BenchPlan
    """What was asked for."""
    recording: Recording
    """What was played."""
    bundle: ObjectBundle
    """The object in it."""
    networks: NetworkBundle | None
    """The network bundle."""
    phases: tuple[Phase, ...]
    """One, or two that are to be compared."""
    memory: Memory
    """Of host and device."""
    checked: Checked
    """Why the numbers mean something."""
    counts: Mapping[str, int]
    """What happened how often: searches, losses."""
    start: str
    """Where the first pose came from: label, mask, or search."""
    tracker: Mapping[str, object]
    """How the object was followed, as in `summary.json`; empty where it was not."""


def run_bench(
    recording: Recording,
    bundle: ObjectBundle,
    networks: NetworkBundle | None,
    plan: BenchPlan,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> BenchRun:
    """Do what ``plan`` says.

    Args:
        recording: What is played.
        bundle: The object in it.
        networks: The network bundle; None runs on geometry and colours alone.
        plan: What is timed.
        progress: Called with frames done and frames in all.

    Raises:
        InputError: What came out is wrong, so that its times mean nothing; or the recording does not have what the
            mode needs.
        ConfigError: The bundle cannot search and the mode needs it.
        StormEdgeError: As the session.
    """
    total = modes.phase_count(plan.mode) * plan.frame_count + modes.pass_count(plan.mode) * plan.warm_up_count
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    streams = streams_of(plan.device, networks)
    player = FramePlayer(recording, plan, stream=streams.track, progress=count)
    setup = Setup(recording=recording, bundle=bundle, networks=networks, plan=plan, streams=streams, player=player)
    result = _MODES[plan.mode](setup)
    return BenchRun(
        plan=plan,
        recording=recording,
        bundle=bundle,
        networks=networks,
        phases=tuple(player.phases.values()),
        memory=_memory(plan.device, player.host_begin_mib),
        checked=check_output(player.timed, bundle, plan.mode),
        counts=result.counts,
        start=result.start,
        tracker=result.tracker,
    )


def _memory(device: str, host_begin_mib: float | None) -> Memory:
    used_mib, total_mib = device_memory_mib(device)
    end_mib = resident_mib()
    return Memory(
        host_begin_mib=host_begin_mib,
        host_end_mib=end_mib,
        # The kernel brings its highest mark up to date late, so it may be below what is there now.
        host_peak_mib=max((mib for mib in (peak_mib(), end_mib) if mib is not None), default=None),
        device_used_mib=used_mib,
        device_total_mib=total_mib,
    )
