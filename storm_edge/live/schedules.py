"""Schedules by name: how much networks and geometry each do for a pose, in registrations and from frame to frame.

A schedule is a choice of a few values of the configuration tree (`with_schedule`); a profile's or a user's own values
go before them. Which one a bundle gets by default follows what it holds. What a configuration asks of a bundle, and
which of its networks lie idle, is said here, too. Engines are opened elsewhere (`live.factory`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from storm_edge.choices import Schedule, TrackerKind
from storm_edge.config.tree import differences
from storm_edge.engines.bundle import NetworkBundle, find_manifest
from storm_edge.engines.manifest import Tier
from storm_edge.engines.scorers import SPLIT, scorer_of, scores_lone_poses
from storm_edge.errors import EngineError, mismatch
from storm_edge.live.config import StormConfig
from storm_edge.live.parity import with_parity
from storm_edge.pipeline.register.config import (
    DEFAULT,
    REFINE_FIRST,
    UPSTREAM,
    UPSTREAM_PRUNED,
    RegisterConfig,
)
from storm_edge.pipeline.segment.config import Source

CHANGED = ", changed"
"""What a report adds to the name of a schedule some of whose values are others."""
_REFINE = frozenset({"refine"})
_SOM = frozenset({"som_reference", "som_query", "som_head"})
_TOM = frozenset({"tom_encode", "tom_compare"})
_SIMILARITY = frozenset({"similarity"})
_SAM2 = frozenset({"sam2_encoder", "sam2_decoder"})


@dataclass(frozen=True, kw_only=True)
class _Values:
    """What a schedule sets."""

    registration: RegisterConfig
    """Whose stages and weights registrations from masks and refined ones of searches have."""
    chosen_by: Literal["alignment", "ranking"] = "alignment"
    """See `DetectConfig.chosen_by`."""
    stepwise: Mapping[str, Any]
    """Of `StepwiseTrackConfig`."""
    batched: Mapping[str, Any]
    """Of `BatchedTrackConfig`."""
    is_parity: bool = False
    """Whether upstream's inputs and decisions belong to it, see `live.parity`."""


def _hybrid_tracking(ask_network: str, iterations: int) -> dict[str, Any]:
    return {
        "stepwise": {"moved_by": "geometry", "ask_network": ask_network, "network_iterations": 2},
        "batched": {"network_iterations": iterations, "geometry_starts": 2, "polish": True},
    }


def _network_tracking(iterations: int) -> dict[str, Any]:
    return {
        "stepwise": {"moved_by": "network", "ask_network": "always", "network_iterations": iterations},
        "batched": {"network_iterations": iterations, "geometry_starts": 0, "polish": False},
    }


_FOUNDATIONPOSE = _Values(
    registration=UPSTREAM,
    chosen_by="ranking",
    **_network_tracking(5),  # fixed: STORM's evaluation has five
)
_SCHEDULES = {
    Schedule.GEOMETRY: _Values(registration=DEFAULT, **_hybrid_tracking("never", 0)),
    Schedule.GEOMETRY_FIRST: _Values(registration=DEFAULT, **_hybrid_tracking("in doubt", 1)),
    Schedule.HYBRID: _Values(registration=REFINE_FIRST, **_hybrid_tracking("always", 1)),
    Schedule.FOUNDATIONPOSE: _FOUNDATIONPOSE,
    Schedule.FOUNDATIONPOSE_PRUNED: _Values(
        registration=UPSTREAM_PRUNED, chosen_by="ranking", **_network_tracking(2)
    ),
    Schedule.PARITY: replace(_FOUNDATIONPOSE, is_parity=True),
}


def with_schedule(config: StormConfig, schedule: Schedule) -> StormConfig:
    """The same configuration with the values of a schedule."""
    values = _SCHEDULES[schedule]
    config = with_parity(config, values.is_parity)
    return replace(
        config,
        register=_like(config.register, values.registration),
        detect=replace(
            config.detect, refined=_like(config.detect.refined, values.registration), chosen_by=values.chosen_by
        ),
        track=replace(
            config.track,
            stepwise=replace(config.track.stepwise, **values.stepwise),
            batched=replace(config.track.batched, **values.batched),
        ),
    )


def _like(config: RegisterConfig, wanted: RegisterConfig) -> RegisterConfig:
    """The same registration with the stages and weights of another."""
    return replace(
        config, stages=wanted.stages, judge_weight=wanted.judge_weight, network_weight=wanted.network_weight
    )


def with_sam2(config: StormConfig) -> StormConfig:
    """The same configuration with SAM2 sharpening masks, which no schedule asks it to do."""
    sharpen = replace(config.segment.sharpen, enabled=True)
    return replace(config, segment=replace(config.segment, sharpen=sharpen))


def schedule_name(config: StormConfig) -> str:
    """Which schedule a configuration has, for reports; of one that was changed the nearest, with `CHANGED`."""
    apart = {one: len(differences(config, with_schedule(config, one))) for one in Schedule}
    nearest = min(apart, key=lambda one: apart[one])
    return nearest.value + (CHANGED if apart[nearest] else "")


def default_schedule(tier: Tier, networks: Collection[str]) -> Schedule:
    """What a bundle is asked where nobody says otherwise.

    The official networks (tier ``full``) are asked all the time, our small ones where geometry is in doubt. A full
    bundle that lacks RefineNet or ScoreNet leaves their work to geometry.
    """
    given = frozenset(networks)
    if tier == "full" and not given >= _REFINE:
        return Schedule.GEOMETRY
    if tier == "full" and scorer_of(given):
        return Schedule.HYBRID
    return Schedule.GEOMETRY_FIRST


def schedule_of_bundle(which: str) -> Schedule:
    """The default schedule of a bundle of that name or folder; that of our own networks where it cannot be read,
    which who opens it will say."""
    try:
        _, manifest = find_manifest(which)
    except EngineError:
        return Schedule.GEOMETRY_FIRST
    return default_schedule(manifest.tier, manifest.networks)


def default_config(networks: NetworkBundle | None) -> StormConfig:
    """The configuration with the default schedule of a bundle; without a bundle the plain one."""
    if networks is None:
        return StormConfig()
    return with_schedule(StormConfig(), default_schedule(networks.tier, networks.networks))


def check_schedule(
    config: StormConfig, networks: NetworkBundle | None, *, device: str = "cpu", tracks: bool = True
) -> None:
    """Refuse a configuration whose poses need networks that are not there.

    Without any bundle frames that geometry is not sure of are left to geometry, which is what no bundle means.

    Args:
        config: The configuration.
        networks: What is there.
        device: Where it runs.
        tracks: Whether objects are followed; they are found alone otherwise.

    Raises:
        EngineError: Some are not there, or parity is asked of networks that take other pictures than upstream's.
    """
    given = frozenset() if networks is None else frozenset(networks.networks)
    lacking: set[str] = set()
    stepwise = config.track.stepwise
    is_meant = stepwise.moved_by == "network" or stepwise.ask_network == "always" or networks is not None
    is_followed = tracks and is_meant and _tracks_by_network(config, device)
    if not given >= _REFINE and (_registers_by_network(config) or is_followed):
        lacking |= _REFINE
    if _scores_by_network(config) and not scorer_of(given):
        lacking |= set(SPLIT)
    if lacking:
        name = "none" if networks is None else networks.name
        what, lacks = f"schedule {schedule_name(config)} with bundle {name}", f"no {', '.join(sorted(lacking))}"
        works = Schedule.GEOMETRY_FIRST if given >= _REFINE else Schedule.GEOMETRY
        remedy = f"give a bundle that has them, or --schedule {works.value}"
        raise EngineError(mismatch(what, lacks, "the networks that it asks", remedy))
    if config.as_upstream and networks is not None and networks.preset != "parity":
        what = f"schedule {schedule_name(config)} with bundle {networks.name}"
        remedy = "give a bundle of the official weights, or --schedule foundationpose"
        expected = "networks that take upstream's pictures"
        raise EngineError(mismatch(what, f"preset {networks.preset}", expected, remedy))


def asked_networks(config: StormConfig, networks: NetworkBundle, *, device: str = "cpu") -> frozenset[str]:
    """Which networks of a bundle a configuration may ask while it finds and follows objects."""
    given = frozenset(networks.networks)
    asked: frozenset[str] = frozenset()
    if _registers_by_network(config) or _tracks_by_network(config, device):
        asked |= _REFINE
    if _scores_by_network(config) or scores_lone_poses(networks.tier, given):
        asked |= scorer_of(given)
    if config.segment.source is not Source.COLOUR:
        asked |= _SOM
    asked |= _TOM if given >= _TOM else _SIMILARITY
    if config.segment.sharpen.enabled:
        asked |= _SAM2
    return asked & given


def idle_networks(config: StormConfig, networks: NetworkBundle, *, device: str = "cpu") -> list[str]:
    """Which networks of a bundle nothing asks, in the order of its manifest."""
    asked = asked_networks(config, networks, device=device)
    return [name for name in networks.networks if name not in asked]


def engines_report(
    config: StormConfig,
    networks: NetworkBundle | None,
    *,
    device: str = "cpu",
    before: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Which engines a run launched how often, for reports; JSON types.

    Args:
        config: What it ran by.
        networks: What it could ask; None for nothing.
        device: Where it ran.
        before: Launches up to its beginning, as `LaunchCounts.by_network` had them.
    """
    return {
        "schedule": schedule_name(config),
        "launches": {} if networks is None else networks.launches_since(before or {}),
        "idle": [] if networks is None else idle_networks(config, networks, device=device),
    }


def _registers_by_network(config: StormConfig) -> bool:
    schedules = (config.register, config.detect.fast, config.detect.refined)
    return any(stage.network for schedule in schedules for stage in schedule.stages)


def _scores_by_network(config: StormConfig) -> bool:
    return any(s.network_weight for s in (config.register, config.detect.fast, config.detect.refined))


def _tracks_by_network(config: StormConfig, device: str) -> bool:
    """Whether RefineNet may be asked from frame to frame; a batched tracker has a stepwise one beside it."""
    is_batched = (config.session.tracker or TrackerKind.on(device)) is TrackerKind.BATCHED
    track = config.track
    return track.stepwise.asks_network and (
        track.stepwise.network_iterations > 0 or (is_batched and track.batched.network_iterations > 0)
    )
