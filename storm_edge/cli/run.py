"""`storm-edge run`: the robot service of a machine profile."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from storm_edge.cli.console import end_at_once, end_now
from storm_edge.cli.inputs import open_profile
from storm_edge.cli.options import SetOption
from storm_edge.errors import ConfigError, mismatch


def command(
    profile: Annotated[
        Path, typer.Argument(help="Machine profile with a source, as in runtime/cpu.yaml.", show_default=False)
    ],
    state: Annotated[
        Path,
        typer.Option(
            envvar="STATE_DIRECTORY", help="Folder for files that it writes; systemd names one.", show_default="here"
        ),
    ] = Path(),
    runtime: Annotated[
        Path | None,
        typer.Option(
            envvar="RUNTIME_DIRECTORY",
            help="Folder for its sockets; systemd names one.",
            show_default="that of --state",
        ),
    ] = None,
    settings: SetOption = None,
) -> None:
    """Track objects of a live source until it ends or SIGTERM comes; SIGHUP reads the profile's objects again."""
    from storm_edge.live.watchdog import Watchdog
    from storm_edge.service.build import open_service
    from storm_edge.service.profile_sections import ExternalSection, read_service_profile

    read = read_service_profile(profile, settings or ())
    if isinstance(read.source, ExternalSection):
        remedy = "open the service in Python with storm_edge.service.build.open_service, or name another source"
        raise ConfigError(mismatch(profile, "source.kind: external", "a source that the command can open", remedy))
    open_profile(profile, settings or [])
    with ExitStack() as stack:
        watchdog = stack.enter_context(Watchdog(end_now, read.machine.config.watchdog))
        service = open_service(read, state_folder=state, runtime_folder=runtime, watchdog=watchdog, on_hang=end_now)
        service.run()
    end_at_once()
