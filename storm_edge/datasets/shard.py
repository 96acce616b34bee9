"""Which part of some work one of several processes does; they need not know of each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from storm_edge.errors import ConfigError, mismatch

_FORM = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``count``, from 1 on."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, units: Sequence[str]) -> list[str]:
        """Every ``count``-th unit: the same split wherever and whenever it is asked for."""
        return list(units[self.number - 1 :: self.count])


def parse_shard(text: str | None) -> Shard:
    """The shard that ``I/N`` names; all of the work for None.

    Raises:
        ConfigError: It names none.
    """
    if text is None:
        return Shard()
    match = _FORM.fullmatch(text)
    shard = Shard(int(match.group(1)), int(match.group(2))) if match else Shard(0, 0)
    if not 1 <= shard.number <= shard.count:
        remedy = "give each of N processes its own, such as 1/2 and 2/2"
        raise ConfigError(mismatch("--shard", text, "I/N with I from 1 to N", remedy))
    return shard
