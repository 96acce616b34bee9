"""Poses that searches scored, with what is known of each: what `fit_presence` fits to, in memory and in files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import RECORDS
from storm_edge.pipeline.detect.pose_features import CandidateFeatures
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

RIGHT_IOU, WRONG_IOU = 0.6, 0.3
"""Overlap with the truth from which a pose is right, and below which it is wrong; between them it is neither."""
MOST_OCCLUDED = 0.85
"""Poses of which more is hidden are left out: they are never believed."""
WITHOUT = ("outline", "sectors", "goes_on", "colour_shift", "darkness", "stands")
"""Evidence that the presence probability has from the open outline instead, and what no fit gives a weight."""
FEATURES = (
    *(
        field.name
        for kind in (CandidateFeatures, ShapeEvidence)
        for field in fields(kind)
        if field.name not in WITHOUT
    ),
    "network",
)
KNOWN = ("scene", "search", "is_real", "is_there", "kind")
"""Columns before the features; the kind is 1 of a right pose, 0 of a wrong one, -1 of one that is neither."""
_PER_LINE = 12


@dataclass(frozen=True, kw_only=True)
class Poses:
    """N poses."""

    scene: NDArray[np.int64]
    """Number of the image or recording ``(N,)``."""
    search: NDArray[np.int64]
    """Number of the search ``(N,)``."""
    is_real: Bool
    """Whether it was of a recording ``(N,)``."""
    is_there: Bool
    """Whether the object is in the image ``(N,)``."""
    kind: NDArray[np.int64]
    """See `KNOWN` ``(N,)``."""
    features: Float64
    """In the order of `FEATURES` ``(N, F)``."""

    @property
    def is_right(self) -> Bool:
        """Whether the object is at the pose ``(N,)``."""
        return np.asarray(self.kind == 1)

    @property
    def is_wrong(self) -> Bool:
        """Whether it is not there ``(N,)``."""
        return np.asarray(self.kind == 0)

    @classmethod
    def of(cls, rows: Iterable[Sequence[float]]) -> Poses:
        """Of rows in the order of `KNOWN` and `FEATURES`."""
        table = np.array(list(rows), dtype=np.float64).reshape(-1, len(KNOWN) + len(FEATURES))
        scene, search, real, there, kind = table[:, : len(KNOWN)].T.astype(np.int64)
        return cls(
            scene=scene,
            search=search,
            is_real=real > 0,
            is_there=there > 0,
            kind=kind,
            features=table[:, len(KNOWN) :],
        )

    def among(self, which: Bool) -> Poses:
        """Those of a mask ``(N,)``."""
        return Poses(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def rounded(self) -> Poses:
        """With features in whole hundredths, as the record has them."""
        return Poses(**{**vars(self), "features": np.round(self.features, 2)})

    def written(self) -> dict[str, Any]:
        """Columns and rows of a record; features in hundredths, some poses to a line."""
        known = [getattr(self, name).astype(np.int64) for name in KNOWN]
        table = np.column_stack([*known, np.round(100.0 * self.features).astype(np.int64)])
        lines = [" ".join(str(value) for value in row) for row in table.tolist()]
        packed = ["; ".join(lines[start : start + _PER_LINE]) for start in range(0, len(lines), _PER_LINE)]
        return {"columns": " ".join((*KNOWN, *FEATURES)), "rows": packed}


def pose_rows(searches: Iterable[dict[str, Any]]) -> list[list[float]]:
    """Rows of `Poses` of the rows of a benchmark that searches; ``side`` 0 is another side of a painted object."""
    found: list[list[float]] = []
    for number, search in enumerate(searches):
        for one in search["scored"]:
            if one["occluded"] > MOST_OCCLUDED:
                continue
            kind = 1 if one["iou"] > RIGHT_IOU and one.get("side", 1) else 0 if one["iou"] < WRONG_IOU else -1
            known = [search["scene"], number, int(search.get("real", False)), int(search["there"]), kind]
            found.append([*known, *(float(one[name]) for name in FEATURES)])
    return found


def save_rows(path: Path, rows: Iterable[Sequence[float]]) -> None:
    """Keep rows of `Poses`, one JSON list per line."""
    path.write_text("".join(json.dumps(list(row)) + "\n" for row in rows), encoding="utf-8")


def read_rows(path: Path) -> list[list[float]]:
    """What `save_rows` kept."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def recorded_poses(name: str) -> Poses:
    """The poses of a record of `fit_presence`."""
    results = json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))["results"]
    poses = Poses.of([float(value) for value in row.split()] for line in results["rows"] for row in line.split("; "))
    return Poses(**{**vars(poses), "features": poses.features / 100.0})
