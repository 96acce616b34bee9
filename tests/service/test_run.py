from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from storm_edge.errors import ConfigError, ObjectBundleError
from storm_edge.live.sinks import FrameReport
from storm_edge.live.sinks.queue import SinkQueue
from storm_edge.live.sources import SourceState
from storm_edge.live.track_report import TrackState
from storm_edge.service.state import Phase
from tests.service.conftest import LONG_S, Running, Site, run_service, wait_for
from tests.tiny_scene import pose


def test_an_object_is_found_tracked_and_reported(running: Running) -> None:
    assert running.snapshot.phase is Phase.STARTING
    assert "READY=1" not in running.told.messages
    running.hand_in()
    wait_for(lambda: running.snapshot.phase is Phase.RUNNING, "the first frame")
    assert running.told.messages.count("READY=1") == 1
    running.hand_in_until(lambda: running.state_of("box") == "TRACKING", "a track")
    report = running.sink.reports[-1]
    (track,) = report.tracks
    assert track.T_cam_obj is not None
    truth = pose(report.frame % len(running.frames))
    assert np.linalg.norm(track.T_cam_obj[:3, 3] - truth[:3, 3]) < 0.02
    wait_for(lambda: any("box TRACKING" in line for line in running.told.messages), "the status line")
    assert "WATCHDOG=1" in running.told.messages
    running.service.stop()
    wait_for(lambda: running.snapshot.phase is Phase.STOPPING, "the end")
    assert running.told.messages.count("STOPPING=1") == 1


def test_a_source_that_stalls_is_told_and_the_loop_goes_round(idle: Running) -> None:
    idle.hand_in()
    wait_for(lambda: idle.snapshot.source.state is SourceState.STALLED, "the stall")
    fed = idle.told.messages.count("WATCHDOG=1")
    wait_for(lambda: idle.told.messages.count("WATCHDOG=1") > fed + 3, "turns without frames")
    idle.hand_in_until(lambda: idle.snapshot.source.state is SourceState.RUNNING, "frames")


def test_a_source_that_ends_ends_the_run(idle: Running) -> None:
    idle.hand_in()
    idle.source.end()
    wait_for(lambda: "STOPPING=1" in idle.told.messages, "the end")
    assert not idle.error


def test_a_clock_that_goes_backwards_ends_nothing(running: Running) -> None:
    running.hand_in_until(lambda: running.state_of("box") == "TRACKING", "a track")
    running.hand_in(stamp_ns=5)
    running.hand_in_until(lambda: running.snapshot.faults.get("frames", {}).get("clock_jumps") == 2, "the count")
    states = {track.state for report in running.sink.reports[-3:] for track in report.tracks}
    assert states == {TrackState.TRACKING}


def test_objects_are_added_relocalised_and_removed_beside_a_track(running: Running) -> None:
    running.hand_in_until(lambda: running.state_of("box") == "TRACKING", "a track")
    begun = len(running.sink.reports)
    added = running.service.state.submit("add", {"path": "box", "name": "other"})
    running.hand_in_until(added.reply.done, "the other object")
    assert added.reply.result() == {"added": "other"}
    running.hand_in()
    # A report reaches the sinks a moment before the snapshot has it.
    wait_for(lambda: [item.name for item in running.snapshot.objects] == ["box", "other"], "both in the snapshot")
    assert running.ask("remove", name="other") == {"removed": "other"}
    running.hand_in()
    wait_for(lambda: [item.name for item in running.snapshot.objects] == ["box"], "the one that is left")
    assert all(report.tracks[0].state is TrackState.TRACKING for report in running.sink.reports[begun:])
    assert running.ask("relocalise", name="box") == {"relocalised": "box"}
    done = len(running.sink.reports)
    running.hand_in()
    running.hand_in_until(lambda: running.state_of("box") == "TRACKING", "another track")
    assert any("locate" in report.tracks[0].latency_ms for report in running.sink.reports[done:])


WRONG_COMMANDS: list[tuple[str, dict[str, object], type[Exception], str]] = [
    ("dance", {}, ConfigError, "command: got 'dance', expected one of add, reload, relocalise, remove"),
    ("remove", {"name": "cup"}, ConfigError, "got no cup, expected one of"),
    ("remove", {}, ConfigError, "expected the name of an object"),
    ("remove", {"name": 3}, ConfigError, "expected the name of an object"),
    ("relocalise", {"name": "cup"}, ConfigError, "got no cup"),
    ("add", {"path": "nowhere"}, ObjectBundleError, "nowhere"),
    ("add", {"path": "box", "name": "box"}, ConfigError, "got box twice"),
    ("add", {"name": "box"}, ConfigError, "path: Field required"),
    ("add", {"path": "box", "unit": "mm"}, ConfigError, "unit: Extra inputs"),
]


def test_a_wrong_command_is_answered_and_ends_nothing(running: Running) -> None:
    for name, arguments, error, words in WRONG_COMMANDS:
        command = running.service.state.submit(name, arguments)
        with pytest.raises(error) as raised:
            command.reply.result(LONG_S)
        assert words in str(raised.value)
    assert not running.error
    assert [item.bundle.object_id for item in running.service.parts.session.objects] == ["box"]


def test_a_reload_touches_only_what_changed(site: Site) -> None:
    with run_service(site) as running:
        running.hand_in_until(lambda: running.state_of("box") == "TRACKING", "a track")
        begun = len(running.sink.reports)
        site.write(objects=[{"path": "box", "name": "box"}, {"path": "box", "name": "second"}])
        running.service.reload()
        running.hand_in_until(lambda: running.state_of("second") is not None, "the second object")
        site.write()
        assert running.ask("reload") == {"removed": ["second"], "added": [], "kept": ["box"]}
        running.hand_in()
        assert [item.name for item in running.snapshot.objects] == ["box"]
        assert all(report.tracks[0].state is TrackState.TRACKING for report in running.sink.reports[begun:])
        assert running.told.messages.count("RELOADING=1") == 2
        assert running.told.messages.count("READY=1") == 3


def test_a_reload_of_a_wrong_profile_changes_nothing(site: Site) -> None:
    site.write(objects=[])
    with run_service(site) as running:
        running.hand_in()
        site.write(objects=[{"path": "nowhere"}])
        with pytest.raises(ObjectBundleError, match="nowhere"):
            running.ask("reload")
        site.profile.write_text("version: [")
        running.service.reload()
        wait_for(lambda: running.told.messages.count("RELOADING=1") == 2, "the second reload")
        running.hand_in_until(lambda: "YAML" in (running.snapshot.last_error or ""), "the error")
        assert [item.bundle.object_id for item in running.service.parts.session.objects] == []
        assert running.told.messages.count("READY=1") == 3


@pytest.mark.parametrize("search", ["beside", "between"])
def test_an_object_of_a_command_outlives_a_reload(site: Site, search: str) -> None:
    """With searches beside the frames objects are made ready on another thread."""
    site.write(objects=[], search=search)
    with run_service(site) as running:
        running.hand_in()
        added = running.service.state.submit("add", {"path": "box", "name": "mine"})
        wait_for(added.reply.done, "the object")
        assert running.ask("reload") == {"removed": [], "added": [], "kept": []}
        assert [item.bundle.object_id for item in running.service.parts.session.objects] == ["mine"]


class Stuck:
    """A sink that does not come back."""

    name = "stuck"

    def __init__(self) -> None:
        self.gate = threading.Event()

    def send(self, report: FrameReport) -> None:
        self.gate.wait(LONG_S)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    sink = Stuck()
    yield sink
    sink.gate.set()


def test_a_stuck_sink_costs_the_others_nothing_and_does_not_keep_the_end(site: Site, stuck: Stuck) -> None:
    site.write(objects=[])
    with run_service(site, SinkQueue(stuck, 2)) as running:
        for _ in range(10):
            running.hand_in()
        assert [report.frame for report in running.sink.reports] == list(range(10))
        wait_for(lambda: running.snapshot.sinks[1].dropped >= 6, "the drops")
        running.service.stop()
    assert not running.error
