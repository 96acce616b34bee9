"""How the time of `storm-edge train all` is shared among the networks, and what has been used of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from storm_edge.choices import Network
from storm_edge.errors import CheckpointError, ConfigError, OutputError, mismatch
from storm_edge.files import write_atomically
from storm_edge.result_kind import MADE_BY, ResultKind

PLAN = "all.json"
TRAIN_ALL = ResultKind(command="storm-edge train all", marker=PLAN, keys=frozenset({"minutes", "slices"}))
"""Of `train all`; each network's folder is a result of `train`."""


@dataclass(frozen=True, kw_only=True)
class TimeShares:
    """Shares of the time; they are divided by their sum. The runs behind the first bundle took 52, 34, 66, 22 min."""

    refine: float = 0.30
    """RefineNet learns the finest thing, and its errors still fell when its run ended."""
    score: float = 0.20
    """ScoreNet begins with RefineNet's trunk, which knows the crops; its order flattened after half an hour."""
    som: float = 0.35
    """An item of the segmenter costs most, and it has most to learn: shapes of objects it never saw."""
    tom: float = 0.15
    """The verifier reached nine tenths of its last AUROC in its first evaluation."""

    def of(self, network: Network) -> float:
        """The share of one network."""
        return float(getattr(self, network.value))


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One network's time."""

    minutes: float | None = None
    """What it was given when it began [min]; None before."""
    spent_s: float = 0.0
    """What it took, when it has ended [s]."""
    is_finished: bool = False
    """Whether it has ended."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All networks' time; what is over or begun stays as it is, the rest is shared among the others."""

    minutes: float
    """Time of all together [min]."""
    slices: Mapping[Network, Slice] = field(default_factory=lambda: {network: Slice() for network in Network})
    """By network, in the order in which they are trained."""

    def begin(self, network: Network, shares: TimeShares) -> Plan:
        """The plan with a slice for ``network``; one that it has been given before stays."""
        if self.slices[network].minutes is not None:
            return self
        left_min = self.minutes - sum(done.spent_s for done in self.slices.values()) / 60.0
        waiting = [n for n, part in self.slices.items() if not part.is_finished]
        share = shares.of(network) / sum(shares.of(n) for n in waiting)
        # Where others took more than they were given, half of its own is left to each all the same.
        own_min = self.minutes * shares.of(network) / sum(shares.of(n) for n in self.slices)
        return self._with(network, Slice(minutes=max(left_min * share, 0.5 * own_min)))

    def finish(self, network: Network, spent_s: float) -> Plan:
        """The plan with ``network`` finished."""
        return self._with(network, replace(self.slices[network], spent_s=spent_s, is_finished=True))

    def _with(self, network: Network, part: Slice) -> Plan:
        return replace(self, slices={**self.slices, network: part})

    def write(self, out: Path) -> None:
        """Write it to a folder.

        Raises:
            OutputError: It cannot be written; an older one is as it was.
        """
        slices = {network.value: asdict(part) for network, part in self.slices.items()}
        content = {MADE_BY: TRAIN_ALL.made_by, "minutes": self.minutes, "slices": slices}
        write_atomically(out / PLAN, (json.dumps(content, indent=2) + "\n").encode())


def open_plan(out: Path, minutes: float | None, *, resume: bool) -> Plan:
    """The plan of a folder, or a new one.

    Args:
        out: Folder of all networks.
        minutes: Time of all together [min]; may be left out to go on.
        resume: Whether the plan of the folder goes on.

    Raises:
        ConfigError: No time, or another than the plan has.
        CheckpointError: There is no plan to go on with.
        OutputError: There is one, and it is not to go on.
    """
    if minutes is not None and not minutes > 0.0:
        raise ConfigError(mismatch("--minutes", f"{minutes:g}", "more than 0", "raise it"))
    if not resume:
        if (out / PLAN).exists():
            remedy = "add --resume or choose another --out"
            raise OutputError(mismatch(out, "a run of all networks", "an empty folder", remedy))
        if minutes is None:
            raise ConfigError(mismatch("--minutes", "nothing", "the time of all networks together", "give it"))
        return Plan(minutes=minutes)
    plan = _read(out)
    if minutes is not None and minutes != plan.minutes:
        raise ConfigError(mismatch("--minutes", f"{minutes:g}", f"{plan.minutes:g}, as begun", "leave it out"))
    return plan


def _read(out: Path) -> Plan:
    content = TRAIN_ALL.content(out)
    try:
        if content is None:
            raise ValueError(f"no {PLAN} of {TRAIN_ALL.command}")
        slices = {network: Slice(**content["slices"][network.value]) for network in Network}
        return Plan(minutes=float(content["minutes"]), slices=slices)
    except (ValueError, TypeError, KeyError) as error:
        remedy = "leave out --resume, or choose the --out of that run"
        raise CheckpointError(mismatch(out, error, "a run of all networks to go on with", remedy)) from error
