"""Which side of an object a pose shows, and whether it was told."""

from __future__ import annotations

import numpy as np

from benchmarks.cases.accuracy import SceneRun, sides
from storm_edge.evaluate.pose_evaluation import PoseEvaluation


def judged(frame: int, *, add: float, add_s: float, state: str | None = "TRACKING") -> PoseEvaluation:
    """Errors in diameters."""
    return PoseEvaluation(
        frame_id=frame,
        object_id="mug",
        diameter_m=0.2,
        quality=None,
        T_true=np.eye(4),
        T_pred=np.eye(4),
        state=state,
        add_m=add * 0.2,
        add_symmetric_m=add * 0.2,
        add_s_m=add_s * 0.2,
    )


def test_a_pose_is_right_shows_another_side_or_is_elsewhere() -> None:
    run = SceneRun(
        judged=[
            judged(0, add=0.09, add_s=0.01),
            judged(1, add=0.3, add_s=0.01),
            judged(2, add=0.3, add_s=0.01),
            judged(3, add=0.3, add_s=0.11),
            judged(4, add=0.3, add_s=0.01, state="SUSPECT"),
            judged(5, add=float("inf"), add_s=float("inf"), state=None),
        ],
        states=[],
        ambiguous=frozenset({0, 2, 4}),
    )
    expected = {"tracking": 4, "right": 1, "other_told_ambiguous": 1, "other": 1, "elsewhere": 1}
    assert sides([run]) == expected
    assert sides([run, run]) == {name: 2 * count for name, count in expected.items()}
