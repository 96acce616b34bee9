"""`storm-edge ctl`: ask a running service how it is, and tell it what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Talk to a running service: its profile must have the section control.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SocketOption = Annotated[
    Path,
    typer.Option("--socket", envvar="STORM_EDGE_CONTROL", help="Control socket of the service."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the object in reports.", show_default=False)]
SOCKET = Path("/run/storm-edge/control.sock")
"""Where it is under systemd."""


@app.command("status")
def status(socket: SocketOption = SOCKET, as_json: JsonOption = False) -> None:
    """Say what the service is doing."""
    answer = _ask(socket, "status")
    typer.echo(json.dumps(answer, indent=1) if as_json else describe(answer))


@app.command("add")
def add(
    path: Annotated[Path, typer.Argument(help="Object bundle that the service can read.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Name in reports; the bundle's by default.")] = None,
    socket: SocketOption = SOCKET,
    as_json: JsonOption = False,
) -> None:
    """Track one more object, until the service ends or reads its profile again."""
    _tell(socket, as_json, "add", path=str(path.absolute()), **({} if name is None else {"name": name}))


@app.command("remove")
def remove(name: NameArgument, socket: SocketOption = SOCKET, as_json: JsonOption = False) -> None:
    """Track an object no longer."""
    _tell(socket, as_json, "remove", name=name)


@app.command("relocalise")
def relocalise(name: NameArgument, socket: SocketOption = SOCKET, as_json: JsonOption = False) -> None:
    """Search for an object as if it had never been seen."""
    _tell(socket, as_json, "relocalise", name=name)


@app.command("record")
def record(socket: SocketOption = SOCKET, as_json: JsonOption = False) -> None:
    """Write the last seconds to a file, as after a loss; the profile must have the section recording."""
    _tell(socket, as_json, "record")


@app.command("reload")
def reload(socket: SocketOption = SOCKET, as_json: JsonOption = False) -> None:
    """Read the objects of the profile again; those that stay are tracked on."""
    _tell(socket, as_json, "reload")


def describe(answer: dict[str, Any]) -> str:
    """A status in a few lines for people."""
    lines = [f"{answer['words']}, {answer['frames']} frames in {answer['uptime_s']:.0f} s"]
    for item in answer["objects"]:
        age = "" if item["pose_age_ms"] is None else f", pose {item['pose_age_ms']:.0f} ms old"
        lines.append(f"object {item['name']}: {item['state']}, confidence {item['confidence']:.2f}{age}")
    lines += [
        f"sink {sink['name']}: {sink['sent']} sent, {sink['dropped']} dropped, {sink['failed']} failed"
        for sink in answer["sinks"]
    ]
    losses = answer["losses"]
    if losses is not None:
        last = "" if losses["last_file"] is None else f", the newest {losses['last_file']}"
        failed = "" if losses["last_error"] is None else f"; {losses['last_error']}"
        lines.append(f"losses: {losses['written']} recorded, {losses['disk_mib']:.1f} MiB{last}{failed}")
    lines += [f"remark: {remark}" for remark in answer["remarks"]]
    if answer["last_error"] is not None:
        lines.append(f"last error: {answer['last_error']}")
    return "\n".join(lines)


def _tell(socket: Path, as_json: bool, command: str, **arguments: str) -> None:
    answer = _ask(socket, command, **arguments)
    said = ", ".join(f"{key} {value}" for key, value in answer.items())
    typer.echo(json.dumps(answer) if as_json else said or "done")


def _ask(socket: Path, command: str, **arguments: str) -> dict[str, Any]:
    from storm_edge.service.control_client import ask

    return ask(socket, command, arguments)
