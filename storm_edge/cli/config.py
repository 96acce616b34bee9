"""`storm-edge config`: every tuned number, and what a profile makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.choices import Schedule
from storm_edge.cli.options import NANO, NO_NETWORKS, ConfigOfProfileOption, ScheduleOption, SetOption
from storm_edge.errors import ConfigError, mismatch

if TYPE_CHECKING:
    from storm_edge.live.config import StormConfig
    from storm_edge.live.profile import MachineProfile

app = typer.Typer(
    help="Show the configuration: every tuned number of the program.", no_args_is_help=True, rich_markup_mode=None
)


def open_config(
    profile: Path | None,
    settings: Sequence[str] | None,
    *,
    schedule: Schedule | None = None,
    bundle: str | None = None,
) -> StormConfig:
    """The configuration of a profile, or the default one, with other values as ``KEY=VALUE``.

    Args:
        profile: The file.
        settings: Values that go before all others.
        schedule: Goes before the profile's schedule; the values of its ``config`` hold all the same.
        bundle: Network bundle, a name or a folder, whose schedule holds where none is named.

    Raises:
        ConfigError: The profile cannot be read, or a key or value is wrong.
    """
    from storm_edge.config.values import with_settings
    from storm_edge.live.config import StormConfig
    from storm_edge.live.profile import read_profile
    from storm_edge.live.schedules import schedule_of_bundle, with_schedule

    if profile is not None:
        return read_profile(profile, settings or (), schedule=schedule, bundle=bundle).config
    scheduled = with_schedule(StormConfig(), schedule or schedule_of_bundle(bundle or NANO))
    return with_settings(scheduled, settings or ())


@app.command("show")
def show(
    profile: ConfigOfProfileOption = None,
    schedule: ScheduleOption = None,
    settings: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/config.md of all defaults.")
    ] = False,
) -> None:
    """Print all keys with value, unit and range; a star marks what differs from the default."""
    from storm_edge.config.render import as_json as json_of
    from storm_edge.config.render import as_markdown, as_text
    from storm_edge.live.config import StormConfig

    if markdown:
        if as_json or profile is not None or schedule is not None or settings:
            raise ConfigError(mismatch("--markdown", "other options", "none beside it", "leave them out"))
        typer.echo(as_markdown(StormConfig()), nl=False)
        return
    config = open_config(profile, settings, schedule=schedule)
    typer.echo(json.dumps(json_of(config, StormConfig()), indent=1) if as_json else as_text(config, StormConfig()))


@app.command("check")
def check(profile: Annotated[Path, typer.Argument(help="Machine profile.", show_default=False)]) -> None:
    """Read a profile and say what it changes; a wrong one is refused in one line.

    So is a schedule that the bundle has no networks for, where the bundle is on this machine.
    """
    from storm_edge.config.render import changes
    from storm_edge.live.config import StormConfig
    from storm_edge.live.profile import read_profile
    from storm_edge.service.profile_sections import check_sections

    read = read_profile(profile)
    service = check_sections(profile)
    is_here = _check_bundle(read)
    for line in changes(read.config, StormConfig()):
        typer.echo(line)
    if service is not None:
        typer.echo(service.words)
    if not is_here:
        typer.echo(f"bundle {read.bundle}: not on this machine, so not held against the schedule")
    typer.echo(f"{profile}: right, for machine {read.machine}")


def _check_bundle(profile: MachineProfile) -> bool:
    """Whether the bundle of a profile is on this machine, which need not be the one that the profile is for.

    Raises:
        EngineError: It is, and cannot be read, or lacks networks that the profile's schedule asks.
    """
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.engines.manifest import PACKAGED
    from storm_edge.live.schedules import check_schedule

    networks = None
    if profile.bundle != NO_NETWORKS:
        if not Path(profile.bundle).is_dir() and not (PACKAGED / profile.bundle).is_dir():
            return False
        networks = NetworkBundle.load(profile.bundle)
    check_schedule(profile.config, networks, device=profile.device)
    return True
