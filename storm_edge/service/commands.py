"""What the loop is told to do between frames: objects added, removed and searched for anew, the profile read again.

Whoever asks waits for an answer with a future (`state.Command`); what was wrong is told there, in one line, and ends
nothing. Parts of the service register commands of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from storm_edge.errors import ConfigError, StormEdgeError, mismatch
from storm_edge.service.parts import ServiceParts
from storm_edge.service.state import Command

_log = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Executes a command between frames: arguments in, the answer out, JSON types; raises a `StormEdgeError`."""


class Commands:
    """Executes commands; used by the loop alone.

    Args:
        parts: What they are done with.

    Attributes:
        is_ready: Whether systemd was told that the service is ready; a reload tells it again.
        last_error: The newest error of a reload, one line.
    """

    def __init__(self, parts: ServiceParts) -> None:
        self._parts = parts
        self._handlers: dict[str, Handler] = {
            "reload": lambda arguments: self.reload(),
            "remove": self._remove,
            "relocalise": self._relocalise,
        }
        self.is_ready = False
        self.last_error: str | None = None

    def register(self, name: str, handler: Handler) -> None:
        """Have commands of that name executed."""
        self._handlers[name] = handler

    def do_next(self) -> None:
        """Track what has become ready, and execute the oldest command that waits."""
        self.last_error = self._parts.objects.admit_ready() or self.last_error
        command = self._parts.state.next_command()
        if command is not None:
            self._execute(command)

    def _execute(self, command: Command) -> None:
        if not command.reply.set_running_or_notify_cancel():
            return
        try:
            if command.name == "add":  # answered when the object is ready
                self._parts.objects.add(self._parts.open_object(command.arguments), _replying(command))
                return
            if command.name not in self._handlers:
                known = ", ".join(sorted({"add", *self._handlers}))
                raise ConfigError(mismatch("command", repr(command.name), f"one of {known}", "name one of these"))
            answer = self._handlers[command.name](command.arguments)
        except StormEdgeError as error:
            command.reply.set_exception(error)
        else:
            command.reply.set_result(answer)

    def reload(self) -> dict[str, Any]:
        """Track what the profile names now.

        Raises:
            StormEdgeError: The profile or an object is wrong; nothing was changed.
        """
        self._parts.notifier.reloading()
        try:
            changed: dict[str, Any] = dict(self._parts.objects.reload(self._parts.read_objects()))
        except StormEdgeError as error:
            self.last_error = str(error)
            raise
        finally:
            if self.is_ready:
                self._parts.notifier.ready()
        _log.warning("objects of the profile: %s", ", ".join(f"{what} {names}" for what, names in changed.items()))
        return changed

    def _remove(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        name = _name(arguments)
        self._parts.objects.remove(name)
        return {"removed": name}

    def _relocalise(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        name = _name(arguments)
        self._parts.objects.relocalise(name)
        return {"relocalised": name}


def _name(arguments: Mapping[str, Any]) -> str:
    name = arguments.get("name")
    if not isinstance(name, str) or set(arguments) != {"name"}:
        got = f"arguments {sorted(arguments)}"
        raise ConfigError(mismatch("command", got, "the name of an object", "give name and nothing else"))
    return name


def _replying(command: Command) -> Callable[[dict[str, Any] | None, StormEdgeError | None], None]:
    def reply(answer: dict[str, Any] | None, error: StormEdgeError | None) -> None:
        if error is not None:
            command.reply.set_exception(error)
        else:
            command.reply.set_result(answer or {})

    return reply
