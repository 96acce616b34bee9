"""The newest snapshot of the service as Prometheus metrics, in a registry of their own; units are Prometheus's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from storm_edge import __version__
from storm_edge.live.sources import SourceState
from storm_edge.live.track_report import TrackState
from storm_edge.service.state import Phase, ServiceState, Snapshot
from storm_edge.service.status import Recorded

_MS_PER_S = 1e3
_BYTES_PER_MIB = 1 << 20


def make_registry(state: ServiceState, recorded: Recorded | None) -> CollectorRegistry:
    """A registry that reads the service when it is asked.

    Args:
        state: Of the service.
        recorded: Gives what became of losses; None where they are not recorded.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_ServiceCollector(state, recorded))
    return registry


class _ServiceCollector(Collector):
    def __init__(self, state: ServiceState, recorded: Recorded | None) -> None:
        self._state, self._recorded = state, recorded

    def collect(self) -> Iterator[Metric]:
        now = self._state.snapshot
        yield _gauges("info", "1, with the version", ("version",), {(__version__,): 1.0})
        yield _gauge("snapshot_age_seconds", "Since the loop told something", self._state.age_s)
        yield from _of_loop(now)
        yield from _of_objects(now)
        yield from _of_source(now)
        yield from _of_sinks(now)
        yield from _of_faults(now)
        if self._recorded is not None:
            counts = self._recorded()
            files = {"written": counts.written, "failed": counts.failed, "given_up": counts.given_up}
            yield _counters("losses", "Recordings of losses by what became of them", "outcome", files)
            yield _counter("losses_dropped_frames", "Frames that are missing in them", counts.dropped_frames)
            yield _gauge("losses_disk_bytes", "What they take", counts.disk_mib * _BYTES_PER_MIB)


def _of_loop(now: Snapshot) -> Iterator[Metric]:
    phases = {(phase.value,): float(phase is now.phase) for phase in Phase}
    yield _gauges("phase", "1 for what it is doing", ("phase",), phases)
    yield _gauge("uptime_seconds", "Since it began", now.uptime_s)
    yield _counter("frames", "Frames that were used", now.frames)
    yield _counter("skipped_frames", "Frames that were not", now.skipped_frames)
    yield _gauge("rate_hertz", "Frames per second lately", now.rate_hz)
    steps = {(key,): value / _MS_PER_S for key, value in now.step_ms.items()}
    yield _gauges("step_seconds", "Time of a frame lately", ("percentile",), steps)


def _of_objects(now: Snapshot) -> Iterator[Metric]:
    states = {(item.name, state.value): float(item.state is state) for item in now.objects for state in TrackState}
    yield _gauges("object_state", "1 for the state of an object", ("object", "state"), states)
    confidences = {(item.name,): item.confidence for item in now.objects}
    yield _gauges("object_confidence", "How far its pose is to be believed", ("object",), confidences)
    ages = {(item.name,): item.pose_age_ms / _MS_PER_S for item in now.objects if item.pose_age_ms is not None}
    yield _gauges("object_pose_age_seconds", "Age of its pose, where it has one", ("object",), ages)


def _of_source(now: Snapshot) -> Iterator[Metric]:
    states = {(state.value,): float(state is now.source.state) for state in SourceState}
    yield _gauges("source_state", "1 for how the source is", ("state",), states)
    yield _counters("source_events", "What happened to the source", "event", now.source.counts)
    readings = {(key,): float(value) for key, value in now.source.readings.items()}
    yield _gauges("source_reading", "What the camera says of itself", ("reading",), readings)


def _of_sinks(now: Snapshot) -> Iterator[Metric]:
    about = "Reports by what became of them"
    family = CounterMetricFamily("storm_edge_sink_reports", about, labels=["sink", "outcome"])
    for counts in now.sinks:
        for outcome in ("sent", "dropped", "failed"):
            family.add_metric([counts.name, outcome], getattr(counts, outcome))
    yield family
    details = {(counts.name, what): float(n) for counts in now.sinks for what, n in counts.details.items()}
    yield _gauges("sink_detail", "What else a sink counts, such as clients", ("sink", "what"), details)
    waiting = {(counts.name,): float(counts.waiting) for counts in now.sinks}
    yield _gauges("sink_waiting", "Reports in its queue", ("sink",), waiting)


def _of_faults(now: Snapshot) -> Iterator[Metric]:
    faults = now.faults
    yield _counters("frame_faults", "Frames out of the ordinary", "kind", faults.get("frames", {}))
    yield _counters("non_finite", "Answers of networks that were not used", "network", faults.get("non_finite", {}))
    yield _counter("stalls", "Times that a stage hung", faults.get("stalls", 0))


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"storm_edge_{name}", about, value=value)


def _gauges(name: str, about: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    """A gauge by the values of its labels, a tuple each."""
    family = GaugeMetricFamily(f"storm_edge_{name}", about, labels=list(labels))
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"storm_edge_{name}", about, value=value)


def _counters(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    """A counter by a label."""
    family = CounterMetricFamily(f"storm_edge_{name}", about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
