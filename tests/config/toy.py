"""A tree of configurations with one of everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from storm_edge.config import Config, tuned
from storm_edge.errors import ConfigError


class Shape(Enum):
    ROUND = "round"
    FLAT = "flat"


@dataclass(frozen=True, kw_only=True)
class Step(Config):
    """One of several."""

    scale_px: int = tuned(unit="px", low=1, high=64)
    """How coarse."""
    every: int = tuned(1, unit="points", low=1)
    """Which points."""

    @classmethod
    def presets(cls) -> Mapping[str, Step]:
        """Two of them."""
        return {"coarse": cls(scale_px=4), "fine": cls(scale_px=2)}


@dataclass(frozen=True, kw_only=True)
class Search(Config):
    """A part."""

    reach_m: float = tuned(0.5, unit="m", low=0.0, high=2.0, record="reach")
    """How far,
    in every direction."""
    limit: int | None = tuned(None, unit="", low=1, high=9)
    """How many."""
    shape: Shape = tuned(Shape.ROUND, unit="")
    """Of what form."""
    mode: Literal["quick", "in doubt"] = tuned("quick", unit="")
    """When."""
    rates: tuple[float, float] = tuned((0.3, 0.03), unit="1", low=0.0, high=1.0)
    """Down and up."""
    steps: tuple[Step, ...] = field(default_factory=lambda: (Step(scale_px=4), Step(scale_px=2)))
    """In order."""
    thin: bool = tuned(False, unit="")
    """Whether."""

    @classmethod
    def presets(cls) -> Mapping[str, Search]:
        """Two of them."""
        return {"near": cls(), "far": cls(reach_m=2.0, steps=(Step(scale_px=8),))}


@dataclass(frozen=True, kw_only=True)
class Pair(Config):
    """Two values that belong together."""

    low: float = tuned(unit="1", low=0.0, high=1.0)
    """The less."""
    high: float = tuned(unit="1", low=0.0, high=1.0)
    """The more."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise ConfigError("low above high")


@dataclass(frozen=True, kw_only=True)
class Stage(Config):
    """A stage."""

    search: Search = field(default_factory=Search)
    """The search."""
    pair: Pair = field(default_factory=lambda: Pair(low=0.1, high=0.2))
    """The pair."""
    extra: Pair | None = None
    """One more."""


@dataclass(frozen=True, kw_only=True)
class Root(Stage):
    """What a stage has, and a value of its own."""

    count: int = tuned(3, unit="frames", low=0, high=100)
    """How often."""
