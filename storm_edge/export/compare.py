"""How far a reduced graph's outputs are from those in FP32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.export.recipe import TensorGate


@dataclass(frozen=True, kw_only=True)
class OutputDrift:
    """One output tensor."""

    cosine: float
    """Of the whole tensor with itself in FP32; 1 where both are zero."""
    max_error: float
    """Largest difference relative to the largest value in FP32."""
    rms_error: float
    """Root mean square of the difference relative to that in FP32."""

    def passes(self, gate: TensorGate) -> bool:
        """Whether the gate lets it through."""
        return self.cosine >= gate.cosine and self.max_error <= gate.max_error


def compare(fp32: Mapping[str, NDArray[Any]], reduced: Mapping[str, NDArray[Any]]) -> dict[str, OutputDrift]:
    """Compare outputs by name; a value that is not finite makes cosine 0 and errors infinite."""
    return {name: _output_error(fp32[name], reduced[name]) for name in fp32}


def worst_rms(errors: Mapping[str, OutputDrift]) -> float:
    """The largest root mean square over the outputs: what a sweep ranks layers by."""
    return max(error.rms_error for error in errors.values())


def _output_error(fp32: NDArray[Any], reduced: NDArray[Any]) -> OutputDrift:
    a, b = fp32.astype(np.float64).reshape(-1), reduced.astype(np.float64).reshape(-1)
    if not np.isfinite(b).all():
        return OutputDrift(cosine=0.0, max_error=float("inf"), rms_error=float("inf"))
    difference, norms = np.abs(a - b), float(np.linalg.norm(a) * np.linalg.norm(b))
    largest, size = max(float(np.abs(a).max()), 1e-12), max(float(np.linalg.norm(a)), 1e-12)
    both_zero = not a.any() and not b.any()
    return OutputDrift(
        cosine=1.0 if both_zero else float(a @ b) / max(norms, 1e-24),
        max_error=float(difference.max()) / largest,
        rms_error=float(np.linalg.norm(a - b)) / size,
    )
