"""What the service tracks: the objects of its profile, those that were added since, and how they change meanwhile.

An object is made ready on a thread beside the loop where nothing else of it uses the same networks (on a CPU, with
searches beside the frames), and added between two frames. A reload reads the profile again and changes only what
changed there: an object whose files and name are the same is left alone, with its track; one that was added by a
command stays until it is removed by one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from storm_edge.errors import ConfigError, StormEdgeError, mismatch
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.session import Session
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.instances import name_instances
from storm_edge.service.memory import give_back_memory

_log = logging.getLogger(__name__)

Reply = Callable[[dict[str, Any] | None, StormEdgeError | None], None]
"""Takes the answer to a command, or the error that it ended with."""


@dataclass(frozen=True, kw_only=True)
class WantedObject:
    """An object that is to be tracked."""

    bundle: ObjectBundle
    """The object, under the name it is reported by."""
    path: Path
    """Where it came from."""


@dataclass(frozen=True, kw_only=True)
class _Pending:
    """An object that is being made ready."""

    wanted: WantedObject
    made: Future[ObjectSession]
    reply: Reply | None


def wanted_objects(bundles: Sequence[tuple[ObjectBundle, Path, str | None]]) -> list[WantedObject]:
    """Bundles with the path and the name that a profile gives each.

    Raises:
        ConfigError: Two objects of one name.
    """
    named = name_instances(
        [bundle if name is None else replace(bundle, object_id=name) for bundle, _, name in bundles]
    )
    return [WantedObject(bundle=bundle, path=path) for bundle, (_, path, _) in zip(named, bundles, strict=True)]


class TrackedObjects:
    """The objects of a session, as the service changes them; used by the loop alone.

    Args:
        session: Where they are tracked.
        is_beside: Whether objects are made ready on a thread beside the loop.
    """

    def __init__(self, session: Session, *, is_beside: bool) -> None:
        self._session = session
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="objects") if is_beside else None
        self._pending: list[_Pending] = []
        self._of_profile: dict[str, WantedObject] = {}

    @property
    def is_pending(self) -> bool:
        """Whether an object is being made ready."""
        return bool(self._pending)

    def start_with(self, wanted: Sequence[WantedObject]) -> None:
        """Track the objects of the profile; waits until all are ready."""
        for item in wanted:
            self._session.add(self._session.prepare_object(item.bundle, path=item.path))
            self._of_profile[item.bundle.object_id] = item

    def add(self, wanted: WantedObject, reply: Reply | None = None, *, of_profile: bool = False) -> None:
        """Track one more from a frame soon on.

        Raises:
            ConfigError: One of that name is there, or on its way.
        """
        name = wanted.bundle.object_id
        here = {item.bundle.object_id for item in self._session.objects}
        if name in here or any(item.wanted.bundle.object_id == name for item in self._pending):
            remedy = "give it another name, or remove the other one first"
            raise ConfigError(mismatch("objects", f"{name} twice", "each name once", remedy))
        if self._worker is not None:
            made = self._worker.submit(self._session.prepare_object, wanted.bundle, path=wanted.path)
        else:
            made = Future()
            try:
                made.set_result(self._session.prepare_object(wanted.bundle, path=wanted.path))
            except StormEdgeError as error:
                made.set_exception(error)
        self._pending.append(_Pending(wanted=wanted, made=made, reply=reply))
        if of_profile:
            self._of_profile[name] = wanted

    def remove(self, name: str) -> None:
        """Track an object no longer.

        Raises:
            ConfigError: No such object.
        """
        waiting = [item for item in self._pending if item.wanted.bundle.object_id == name]
        for item in waiting:
            self._pending.remove(item)
            item.made.cancel()
            if item.reply is not None:
                item.reply(None, ConfigError(f"{name} was removed before it was tracked"))
        if not waiting:
            self._session.remove(name)
            give_back_memory()
        self._of_profile.pop(name, None)

    def relocalise(self, name: str) -> None:
        """Search for an object anew.

        Raises:
            ConfigError: No such object.
        """
        self._session.relocalise(name)

    def reload(self, wanted: Sequence[WantedObject]) -> dict[str, list[str]]:
        """Track what the profile names now; returns the names that were ``removed``, ``added`` and ``kept``.

        Raises:
            ConfigError: A name of the profile's is that of an object that was added since; nothing was changed.
        """
        new = {item.bundle.object_id: item for item in wanted}
        here = {item.bundle.object_id for item in self._session.objects}
        taken = [name for name in new if name in here and name not in self._of_profile]
        if taken:
            remedy = "remove it first, or give the profile's another name"
            got = f"{taken[0]}, which a command has added"
            raise ConfigError(mismatch("objects of the profile", got, "names that are free", remedy))
        gone = [name for name, item in self._of_profile.items() if name not in new or not _is_same(item, new[name])]
        for name in gone:
            self.remove(name)
        added = [name for name in new if name not in self._of_profile]
        for name in added:
            self.add(new[name], of_profile=True)
        return {"removed": gone, "added": added, "kept": [name for name in new if name not in added]}

    def admit_ready(self) -> str | None:
        """Between frames: track what has become ready; returns an error's line, if there was one."""
        last_error = None
        for item in [item for item in self._pending if item.made.done()]:
            self._pending.remove(item)
            name = item.wanted.bundle.object_id
            try:
                self._session.add(item.made.result())
            except StormEdgeError as error:
                last_error = str(error)
                self._of_profile.pop(name, None)
                _log.warning("%s is not tracked: %s", name, error)
                if item.reply is not None:
                    item.reply(None, error)
                continue
            _log.info("%s is tracked from now on", name)
            if item.reply is not None:
                item.reply({"added": name}, None)
        return last_error

    def close(self) -> None:
        """Make nothing ready any more."""
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)


def _is_same(item: WantedObject, other: WantedObject) -> bool:
    """Whether both are one object from one model, onboarded alike."""
    a, b = item.bundle, other.bundle
    return (
        a.source == b.source
        and a.symmetries.tobytes() == b.symmetries.tobytes()
        and a.rotation_grid.shape == b.rotation_grid.shape
        and a.mesh.vertices.tobytes() == b.mesh.vertices.tobytes()
    )
