"""Schedules by name: what they set, which one a bundle gets, what they ask of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from storm_edge.choices import Schedule
from storm_edge.config.values import with_value
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import EngineError
from storm_edge.live.config import StormConfig
from storm_edge.live.profile import read_profile
from storm_edge.live.schedules import (
    asked_networks,
    check_schedule,
    default_config,
    default_schedule,
    idle_networks,
    schedule_name,
    with_sam2,
    with_schedule,
)
from tests.full_tier import write_full_bundle

PROFILE = Path(__file__).parents[2] / "runtime" / "cpu.yaml"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> NetworkBundle:
    return NetworkBundle.load(write_full_bundle(tmp_path_factory.mktemp("full"), pose=True))


@pytest.mark.parametrize("schedule", list(Schedule))
def test_a_configuration_knows_its_schedule(schedule: Schedule) -> None:
    config = with_schedule(with_value(StormConfig(), "register.chunk", 7), schedule)
    assert schedule_name(config) == schedule.value
    assert config.register.chunk == 7
    assert schedule_name(with_value(config, "track.stepwise.network_iterations", 9)) == f"{schedule.value}, changed"


def test_the_plain_configuration_is_that_of_the_shipped_bundle() -> None:
    """What `nano` does is what it did before schedules had names."""
    assert with_schedule(StormConfig(), Schedule.GEOMETRY_FIRST) == StormConfig()
    assert default_config(NetworkBundle.load("nano")) == default_config(None) == StormConfig()


def test_a_full_bundle_is_asked_what_it_holds(full: NetworkBundle) -> None:
    assert schedule_name(default_config(full)) == "hybrid"
    assert default_schedule("full", ["refine", "score"]) is Schedule.HYBRID
    assert default_schedule("full", ["refine", "score_features"]) is Schedule.GEOMETRY_FIRST
    assert default_schedule("full", ["som_query", "score"]) is Schedule.GEOMETRY


def test_what_nothing_asks_is_named(full: NetworkBundle) -> None:
    pose, sam2 = ["refine", "score_features", "score_attention"], ["sam2_encoder", "sam2_decoder"]
    plain = StormConfig()
    assert idle_networks(with_schedule(plain, Schedule.GEOMETRY), full) == [*sam2, *pose]
    assert idle_networks(plain, full) == [*sam2, *pose[1:]]
    assert idle_networks(with_schedule(plain, Schedule.FOUNDATIONPOSE), full) == sam2
    assert idle_networks(with_sam2(with_schedule(plain, Schedule.HYBRID)), full) == []
    assert asked_networks(plain, full) == set(full.networks) - {*sam2, *pose[1:]}


def test_our_scorenet_is_asked_by_searches_under_every_schedule() -> None:
    """Which sides are scored and what is refined is its word where nothing is looked at closely, too."""
    nano, plain = NetworkBundle.load("nano"), StormConfig()
    assert idle_networks(plain, nano) == []
    unlooked = replace(plain.detect, full=replace(plain.detect.full, closer_look=False))
    assert idle_networks(replace(plain, detect=unlooked), nano) == []
    assert idle_networks(with_schedule(plain, Schedule.GEOMETRY), nano) == ["refine"]


def test_networks_that_are_asked_must_be_there(full: NetworkBundle) -> None:
    without = replace(full, networks={k: v for k, v in full.networks.items() if not k.startswith("score")})
    foundationpose = with_schedule(StormConfig(), Schedule.FOUNDATIONPOSE)
    check_schedule(foundationpose, full)
    check_schedule(StormConfig(), without)
    check_schedule(StormConfig(), None)
    lacks = (
        r"schedule foundationpose with bundle full: got no score_attention, score_features.*--schedule geometry-first"
    )
    with pytest.raises(EngineError, match=lacks):
        check_schedule(foundationpose, without)
    with pytest.raises(EngineError, match=r"hybrid with bundle none: got no refine, score.*--schedule geometry"):
        check_schedule(with_schedule(StormConfig(), Schedule.HYBRID), None)


def test_a_profile_names_a_schedule_and_changes_it(full: NetworkBundle, tmp_path: Path) -> None:
    path = tmp_path / "machine.yaml"
    path.write_text(PROFILE.read_text() + "schedule: foundationpose\n")
    assert schedule_name(read_profile(path).config) == "foundationpose, changed"
    assert schedule_name(read_profile(path, schedule=Schedule.HYBRID).config) == "hybrid, changed"
    config = read_profile(path, ["track.stepwise.network_iterations=3"]).config
    assert config.track.stepwise.network_iterations == 3
    assert config.register.network_weight == 1.0
    assert schedule_name(read_profile(PROFILE, bundle=str(full.folder)).config) == "hybrid, changed"


def test_parity_is_left_as_a_whole(full: NetworkBundle) -> None:
    """Another schedule takes back all that it set, and keeps what a user set elsewhere."""
    mine = with_value(StormConfig(), "register.chunk", 7)
    parity = with_schedule(mine, Schedule.PARITY)
    assert parity.as_upstream
    assert (parity.register.placement.rule, parity.detect.refined.placement.rule) == ("box", "box")
    assert (parity.verify.decided_by, parity.state_machine.lost_after) == ("network", 1)
    for schedule in (Schedule.FOUNDATIONPOSE, Schedule.GEOMETRY):
        assert with_schedule(parity, schedule) == with_schedule(mine, schedule)
    assert idle_networks(with_sam2(parity), full) == []


def test_parity_is_for_networks_that_take_upstreams_pictures(full: NetworkBundle) -> None:
    parity = with_schedule(StormConfig(), Schedule.PARITY)
    check_schedule(parity, replace(full, preset="parity"))
    with pytest.raises(EngineError, match=r"schedule parity with bundle full: got preset default, expected networks"):
        check_schedule(parity, full)
