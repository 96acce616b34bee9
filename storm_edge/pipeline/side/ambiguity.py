"""What an image cannot tell of an object's turn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ambiguity:
    """Turns about one axis of the object that look as the pose does."""

    axis: tuple[float, float, float]
    """Unit vector along the axis, in the frame of the model's axes."""
    turns_deg: tuple[tuple[float, float], ...]
    """First and last turn of each range that cannot be told from the pose [deg], within -180 to 180."""

    @property
    def range_deg(self) -> float:
        """The turns together [deg]; a single opposite side counts as the spacing at which turns are compared."""
        return sum(last - first for first, last in self.turns_deg)

    def as_json(self) -> dict[str, object]:
        """JSON types."""
        return {
            "axis": [round(value, 4) for value in self.axis],
            "range_deg": round(self.range_deg, 1),
            "turns_deg": [[round(first, 1), round(last, 1)] for first, last in self.turns_deg],
        }
