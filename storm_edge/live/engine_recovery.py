"""Opens engines anew after a fault: each lane once in a run, the second fault ends the run.

A CUDA error, a device out of memory, an engine that refuses to run (`faults`): the engines of the lane are opened
anew (`ReopenableNetworks.reopen`), the work is done again or counts as in vain, and what was learned of the object
stays. `LaneHealth` keeps count per lane, over all objects.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Buffers, Engine, EngineOptions, EngineSpec
from storm_edge.engines.launch_counts import engine_kind, note_launches
from storm_edge.errors import EngineError, RunFault, mismatch
from storm_edge.live.faults import first_line, is_device_fault
from storm_edge.live.lanes.scheduler import Lane

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_REMEDY = "see what else uses the device and its memory, and start again"


class LaneHealth:
    """Which lanes were rebuilt, and why; one for all objects of a run, used by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[Lane, str] = {}

    @property
    def rebuild_reasons(self) -> dict[str, str]:
        """Why each lane was rebuilt that was, by its name."""
        with self._lock:
            return {lane.name.lower(): reason for lane, reason in self._reasons.items()}

    def recover(self, lane: Lane, error: Exception, rebuild: Callable[[], None]) -> None:
        """Rebuild a lane after a fault; returns when the work may be tried again.

        Args:
            lane: Whose work failed.
            error: How.
            rebuild: Opens its engines anew.

        Raises:
            RunFault: The lane was rebuilt before, or cannot be.
            Exception: ``error`` itself, if it is no fault of a device or engine.
        """
        if not is_device_fault(error):
            raise error
        reason = first_line(error)
        with self._lock:
            before = self._reasons.get(lane)
            self._reasons.setdefault(lane, reason)
        what = f"{lane.name.lower()} lane"
        _log.warning("%s: %s", what, reason)
        if before is not None:
            got = f"'{reason}' after it was rebuilt for '{before}'"
            raise RunFault(mismatch(what, got, "one fault at most", _REMEDY)) from error
        try:
            rebuild()
        except Exception as again:  # of any kind: the device is gone
            got = f"'{first_line(again)}' when it was rebuilt for '{reason}'"
            raise RunFault(mismatch(what, got, "engines that open", _REMEDY)) from again
        _log.info("%s: its engines were opened anew, the run goes on", what)


class Reopenable(Protocol):
    """What holds engines that can be opened anew."""

    def reopen(self) -> None:
        """Do it; raises what opening raises."""


@dataclass(frozen=True, kw_only=True)
class ReopenableNetworks(NetworkBundle):
    """A bundle whose engines can be opened anew while others hold them."""

    inner: NetworkBundle
    """Where they come from."""
    engines: list[_ReopenableEngine] = field(default_factory=list, repr=False, compare=False)
    """All that were opened."""

    @classmethod
    def around(cls, bundle: NetworkBundle) -> ReopenableNetworks:
        """The same bundle, reopenable."""
        return cls(**bundle.fields(), inner=bundle)

    def open(self, network: str, options: EngineOptions | None = None) -> Engine:
        """See `NetworkBundle.open`."""
        engine = _ReopenableEngine(partial(self.inner.open, network, options))  # not of self: that would be a cycle
        self.engines.append(engine)
        return engine

    def reopen(self) -> None:
        """Open all engines anew, on the buffers they were bound to; the old ones are let go of first.

        Raises:
            EngineError: A network is gone, or cannot be loaded any more.
            BackendError: The device is.
        """
        for engine in self.engines:
            engine.let_go()
        for engine in self.engines:
            engine.open()


class _ReopenableEngine:
    """Stands for an engine that may be replaced; see `Engine`."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._engine: Engine | None = make()
        self._spec = self._engine.spec
        self._buffers: Buffers | None = None

    @property
    def spec(self) -> EngineSpec:
        return self._spec

    @property
    def capturable(self) -> bool:
        return bool(getattr(self._engine, "capturable", False))

    @property
    def kind(self) -> str:
        return "no engine" if self._engine is None else engine_kind(self._engine)

    def note_launches(self, count: int) -> None:
        note_launches(self._open_one(), count)

    def let_go(self) -> None:
        self._engine = None

    def open(self) -> None:
        engine = self._make()
        if self._buffers is not None:
            engine.bind(self._buffers)
        self._engine = engine

    def bind(self, buffers: Buffers) -> None:
        self._open_one().bind(buffers)
        self._buffers = dict(buffers)

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        self._open_one().launch(count, stream)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return self._open_one().run(inputs)

    def _open_one(self) -> Engine:
        if self._engine is None:  # a rebuild that failed half-way
            raise EngineError(mismatch(self._spec.name, "no engine", "one that opens", _REMEDY))
        return self._engine


@dataclass(frozen=True, kw_only=True)
class EngineRecovery:
    """How the lanes of one object are rebuilt."""

    health: LaneHealth = field(default_factory=LaneHealth)
    """Shared by all objects of a run."""
    own: ReopenableNetworks | None = None
    """Engines that only this object uses."""
    shared: ReopenableNetworks | None = None
    """Engines that the searches of all objects use; on a lane they are used by its thread alone."""
    group: Reopenable | None = None
    """What tracks this object together with others."""

    def recover(self, lane: Lane, error: Exception) -> None:
        """See `LaneHealth.recover`. Call it on the thread that did the work."""
        self.health.recover(lane, error, lambda: self._reopen(lane))

    def run(self, lane: Lane, work: Callable[[], Result]) -> Result:
        """Do work of a lane; after a fault once more, on engines that were opened anew.

        Raises:
            RunFault: The lane was rebuilt before, or cannot be.
            Exception: What the work raised, if it is no fault of a device or engine.
        """
        while True:
            try:
                return work()
            except Exception as error:
                self.recover(lane, error)

    def _reopen(self, lane: Lane) -> None:
        for networks in (self.own, self.shared if lane is Lane.LOCATE else None):
            if networks is not None:
                networks.reopen()
        if lane is Lane.TRACK and self.group is not None:
            self.group.reopen()
