"""By which rules poses are scored: the direction of ADD-S, the rule of the AUC, and what a missing pose counts.

The defaults are exact and count everything. The others repeat what upstream's evaluations compute, so that figures
can stand beside theirs; a report says which were used (`PoseRules.sentences`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.choices import AddSFrom, AucRule, MissingPoses
from storm_edge.evaluate.metrics import AUC_LIMIT_M, RECALL_SHARE, auc

Float64 = NDArray[np.float64]

_STEP_M = 0.001  # fixed: FoundationPose's evaluation
_SAMPLES = 100  # fixed: STORM's evaluation
_ADD_S = {
    AddSFrom.TRUTH: "ADD-S from the true points to the nearest predicted ones",
    AddSFrom.PREDICTION: "ADD-S from the predicted points to the nearest true ones",
}
_AUC = {
    AucRule.EXACT: "exact AUC to 0.1 m",
    AucRule.FOUNDATIONPOSE: "AUC to 0.1 m by FoundationPose's rule",
    AucRule.STORM: "AUC to 0.1 d by STORM's rule",
}
_MISSING = {
    MissingPoses.COUNT: "labels without a pose count as misses",
    MissingPoses.LEAVE_OUT: "labels without a pose are left out",
}


@dataclass(frozen=True, kw_only=True)
class PoseRules:
    """The rules of one evaluation."""

    add_s_from: AddSFrom = AddSFrom.TRUTH
    """Whose points look for their nearest ones in ADD-S."""
    auc: AucRule = AucRule.EXACT
    """How the area under the accuracy curve is taken."""
    missing: MissingPoses = MissingPoses.COUNT
    """What a label without a pose counts."""

    def sentences(self) -> tuple[str, str, str]:
        """The rules in words, for reports."""
        return _ADD_S[self.add_s_from], _AUC[self.auc], _MISSING[self.missing]

    def report(self) -> dict[str, str]:
        """The rules for scripts; JSON types."""
        return {"add_s_from": self.add_s_from.value, "auc": self.auc.value, "missing": self.missing.value}

    def area(self, errors_m: Sequence[float], diameters_m: Sequence[float]) -> float:
        """The AUC of errors [m] of objects with these diameters [m], in percent; no errors give NaN."""
        errors = np.asarray(errors_m, dtype=np.float64)
        if self.auc is AucRule.EXACT or not len(errors):
            return auc(errors)
        errors = np.where(np.isfinite(errors), errors, np.inf)
        if self.auc is AucRule.FOUNDATIONPOSE:
            return stepped_auc(errors, np.arange(0.0, AUC_LIMIT_M + _STEP_M, _STEP_M))
        return stepped_auc(
            errors / np.asarray(diameters_m, dtype=np.float64), np.linspace(0.0, RECALL_SHARE, _SAMPLES)
        )


def stepped_auc(errors: Float64, thresholds: Float64) -> float:
    """Area under the accuracy curve sampled at ``thresholds``, by the trapezoid rule, in percent of the full area.

    Accuracy is the share of errors up to a threshold, the threshold itself included. Its steps become slopes, so that
    an error counts as if it lay half way between two thresholds. FoundationPose samples 0 to 0.1 m every millimetre,
    STORM 0 to 0.1 d at a hundred places: both are within half a point of the exact area.

    Args:
        errors: Not NaN, ``(N,)``.
        thresholds: Rising, ``(T,)``, in the unit of the errors.
    """
    accuracy = (errors[None] <= thresholds[:, None]).mean(axis=1)
    area = float((0.5 * (accuracy[1:] + accuracy[:-1]) * np.diff(thresholds)).sum())
    return 100.0 * area / float(thresholds[-1])
