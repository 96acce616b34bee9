from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest

from storm_edge.errors import BackendError, OutputError
from storm_edge.live.sinks.queue import SinkCounts
from storm_edge.live.sources import SourceState, SourceStatus
from storm_edge.live.track_report import TrackState
from storm_edge.service import health
from storm_edge.service.beside_sections import HealthSection
from storm_edge.service.health import HealthServer
from storm_edge.service.loss_recorder import RecorderCounts
from storm_edge.service.state import ObjectStatus, Phase, ServiceState, Snapshot

parser = pytest.importorskip("prometheus_client.parser")

RUNNING = Snapshot(
    phase=Phase.RUNNING,
    frames=10,
    rate_hz=30.0,
    step_ms={"p50": 12.0},
    objects=(ObjectStatus(name='mug "a"', state=TrackState.SUSPECT, confidence=0.4, pose_age_ms=5.0),),
    source=SourceStatus(state=SourceState.RUNNING, counts={"restarts": 2}, readings={"temperature_c": 41.5}),
    sinks=(SinkCounts(name="stdout", sent=7, dropped=2, failed=1, waiting=3, details={"cut_off": 5}),),
    faults={"frames": {"repeated": 4}, "non_finite": {"tom_compare": 1}, "stalls": 0},
)


@pytest.fixture
def state() -> ServiceState:
    made = ServiceState()
    made.publish(RUNNING)
    return made


@pytest.fixture
def server(state: ServiceState) -> Iterator[HealthServer]:
    counts = RecorderCounts(written=3, disk_mib=2.0)
    made = HealthServer(HealthSection(port=0), state, lambda: counts)
    yield made
    made.close(20.0)


def page(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=20.0) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_say_how_the_service_is(server: HealthServer) -> None:
    status, text = page(server, "/metrics")
    assert status == 200
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    expected = {
        ("storm_edge_frames_total",): 10.0,
        ("storm_edge_rate_hertz",): 30.0,
        ("storm_edge_step_seconds", "p50"): 0.012,
        ("storm_edge_object_state", 'mug "a"', "SUSPECT"): 1.0,
        ("storm_edge_object_state", 'mug "a"', "TRACKING"): 0.0,
        ("storm_edge_object_pose_age_seconds", 'mug "a"'): 0.005,
        ("storm_edge_source_state", "running"): 1.0,
        ("storm_edge_source_events_total", "restarts"): 2.0,
        ("storm_edge_source_reading", "temperature_c"): 41.5,
        ("storm_edge_sink_reports_total", "dropped", "stdout"): 2.0,
        ("storm_edge_sink_detail", "stdout", "cut_off"): 5.0,
        ("storm_edge_frame_faults_total", "repeated"): 4.0,
        ("storm_edge_non_finite_total", "tom_compare"): 1.0,
        ("storm_edge_losses_total", "written"): 3.0,
        ("storm_edge_losses_disk_bytes",): 2.0 * 2**20,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found[("process_resident_memory_bytes",)] > 0.0


def test_it_is_healthy_while_frames_come(
    server: HealthServer, state: ServiceState, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert page(server, "/healthz")[0] == 200
    stalled = SourceStatus(state=SourceState.STALLED, detail="no frame for 3 s")
    for snapshot, said in (
        (Snapshot(), "starting"),
        (replace(RUNNING, source=stalled), "source stalled (no frame for 3 s)"),
    ):
        state.publish(snapshot)
        assert page(server, "/healthz") == (503, f"{said}\n")
    state.publish(RUNNING)
    monkeypatch.setattr(health, "OLD_AFTER_S", -1.0)
    status, said = page(server, "/healthz")
    assert status == 503
    assert "the loop has told nothing" in said


def test_another_page_is_not_found(server: HealthServer) -> None:
    assert page(server, "/")[0] == 404


def test_clients_that_ask_nothing_keep_nobody_out(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health._Handler, "timeout", 0.2)
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    try:
        for client in clients:
            client.settimeout(20.0)
            assert client.recv(10) == b""  # cut off, or turned away
        assert page(server, "/healthz")[0] == 200
    finally:
        for client in clients:
            client.close()


def test_a_port_in_use_is_one_line(server: HealthServer, state: ServiceState) -> None:
    with pytest.raises(OutputError, match=r"health 127\.0\.0\.1:\d+: got Address already in use") as raised:
        HealthServer(HealthSection(port=server.port), state)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("address", ["203.0.113.9", "nonsense address"])
def test_an_address_of_another_machine_is_one_line(state: ServiceState, address: str) -> None:
    with pytest.raises(OutputError, match="a free port of this machine"):
        HealthServer(HealthSection(address=address, port=0), state)


def test_an_open_address_is_warned_of(state: ServiceState, caplog: pytest.LogCaptureFixture) -> None:
    HealthServer(HealthSection(address="0.0.0.0", port=0), state).close(20.0)
    assert "whoever reaches this machine by network" in caplog.text


def test_a_missing_package_is_one_line_that_names_the_extra(
    state: ServiceState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(BackendError, match=r"storm-edge\[robot\]"):
        HealthServer(HealthSection(port=0), state)
