"""Which side of an object a pose shows, and whether it was told."""

from __future__ import annotations

import numpy as np

from benchmarks.cases.accuracy import ImageJudgement, SceneRun, by_image, sides
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


def test_a_turned_pose_that_looks_the_same_is_right_by_the_image_and_not_by_the_label() -> None:
    def run(add: float, add_by_image: float, truths: int, share: float) -> SceneRun:
        found = ImageJudgement(add_m=add_by_image * 0.2, truths=truths, best_share=share)
        return SceneRun(judged=[judged(0, add=add, add_s=0.01)], states=[], ambiguous=frozenset(), by_image=found)

    runs = [run(0.01, 0.01, 1, 1.0), run(0.5, 0.02, 2, 0.5), run(0.5, 0.5, 1, 1.0), run(0.01, 0.01, 72, 1.0)]
    expected = {
        "pictures": 4,
        "add_recall": 0.75,
        "pictures_that_show_the_side": 3,
        "best_possible_add_symmetric_recall": 0.875,
    }
    assert by_image(runs) == {"by_image": expected}
    assert by_image([SceneRun(judged=[judged(0, add=0.0, add_s=0.0)], states=[], ambiguous=frozenset())]) == {}
