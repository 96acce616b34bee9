"""`storm-edge doctor`: what this machine can run, and what is missing."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def command(
    bundle: Annotated[
        str | None,
        typer.Option(
            help="Network bundle, a name or a folder: open its networks, and say which ones each schedule would ask.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what this machine can run, and what is missing. Exit status 1 if the robot's part cannot run."""
    from storm_edge.cli.checkup import examine, examine_bundle
    from storm_edge.cli.logging_setup import colours_wanted

    findings = examine() if bundle is None else examine_bundle(bundle)
    healthy = all(finding.passed for finding in findings if finding.required)
    if as_json:
        typer.echo(json.dumps({"healthy": healthy, "findings": [vars(f) for f in findings]}, indent=2))
    else:
        for finding in findings:
            mark, colour = ("ok", typer.colors.GREEN) if finding.passed else ("-", None)
            if finding.required and not finding.passed:
                mark, colour = "MISSING", typer.colors.RED
            shown = f"{mark:>8}"
            if colour is not None and colours_wanted():
                shown = typer.style(shown, fg=colour)
            typer.echo(f"{shown}  {finding.name:<24} {finding.detail}")
    raise typer.Exit(0 if healthy else 1)
