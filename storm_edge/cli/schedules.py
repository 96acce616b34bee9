"""Schedules on the command line: what is refused, and what is said of them at the start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from storm_edge.cli.console import say
from storm_edge.cli.logging_setup import COMMANDS

if TYPE_CHECKING:
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.live.config import StormConfig

_LOG = logging.getLogger(COMMANDS)


def check_and_say(config: StormConfig, networks: NetworkBundle | None, *, device: str, tracks: bool = True) -> None:
    """Refuse a configuration that asks networks which are not there; say which ones of the bundle lie idle.

    Args:
        config: The configuration.
        networks: What is there.
        device: Where it runs.
        tracks: Whether objects are followed; they are found alone otherwise.

    Raises:
        EngineError: It asks some.
    """
    from storm_edge.live.schedules import check_schedule, idle_networks, schedule_name

    check_schedule(config, networks, device=device, tracks=tracks)
    idle = [] if networks is None or not tracks else idle_networks(config, networks, device=device)
    if networks is None or not idle:
        return
    note = f"bundle {networks.name}: schedule {schedule_name(config)} does not ask {', '.join(idle)}"
    if networks.tier == "full":
        say(note)
    else:  # our own networks are small, and left out with reason
        _LOG.info("%s", note)
