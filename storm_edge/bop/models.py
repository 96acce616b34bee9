"""What `models_info.json` says about models: diameters and symmetries, in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.json_file import MM_PER_M, read_numbered
from storm_edge.errors import SceneError, mismatch
from storm_edge.geometry.se3 import is_rigid
from storm_edge.geometry.symmetry import ContinuousSymmetry

Float64 = NDArray[np.float64]

_RIGID_TOLERANCE = 1e-2  # files hold rotations with few digits; anything worse is not a rotation


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What `models_info.json` says about one model."""

    diameter_m: float
    """Largest distance between two vertices [m]."""
    symmetries_discrete: tuple[Float64, ...] = ()
    """Motions ``(4, 4)`` [m] that map the object onto itself, without the identity."""
    symmetries_continuous: tuple[ContinuousSymmetry, ...] = ()
    """Axes of revolution."""


def read_models_info(path: str | Path) -> dict[int, ModelInfo]:
    """Read a `models_info.json`: diameters and symmetries by object id, in metres.

    Raises:
        SceneError: The file is missing, is not JSON, or an entry has no usable diameter or symmetry.
    """
    path = Path(path)
    return {key: _model_info(entry, what=f"{path} object {key}") for key, entry in read_numbered(path).items()}


def _model_info(entry: dict[str, Any], *, what: str) -> ModelInfo:
    try:
        info = ModelInfo(
            diameter_m=float(entry["diameter"]) / MM_PER_M,
            symmetries_discrete=tuple(_symmetry_motion(values) for values in entry.get("symmetries_discrete", ())),
            symmetries_continuous=tuple(
                ContinuousSymmetry(axis=_vector(item["axis"]), offset_m=_vector(item["offset"], 1.0 / MM_PER_M))
                for item in entry.get("symmetries_continuous", ())
            ),
        )
        if not (np.isfinite(info.diameter_m) and info.diameter_m > 0.0):
            raise ValueError(f"diameter {entry['diameter']}")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        got = f"{type(error).__name__} {error}"
        raise SceneError(mismatch(what, got, "diameter [mm] and BOP symmetries", "repair this entry")) from error
    return info


def _symmetry_motion(values: Sequence[float]) -> Float64:
    T = np.array(values, dtype=np.float64).reshape(4, 4)
    T[:3, 3] /= MM_PER_M
    if not is_rigid(T, tolerance=_RIGID_TOLERANCE):
        raise ValueError("a discrete symmetry that is not a rigid motion")
    return T


def _vector(values: Sequence[float], factor: float = 1.0) -> tuple[float, float, float]:
    x, y, z = (float(value) * factor for value in values)
    return x, y, z
