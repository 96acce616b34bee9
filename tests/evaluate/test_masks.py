"""Mask scores against cases worked out by hand, and average precision against COCO's own definition, spelled out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from storm_edge.evaluate.masks import MaskEvaluation, average_precision, evaluate_masks, score_masks


def square(x: int, side: int = 10) -> NDArray[np.bool_]:
    """A square of ``side`` px in an image of 20 x 60."""
    mask = np.zeros((20, 60), dtype=bool)
    mask[5 : 5 + side, x : x + side] = True
    return mask


def overlaps(*rows: tuple[float, list[float]], object_id: str = "mug") -> MaskEvaluation:
    """A judgement from scores and their overlaps with the true masks."""
    return MaskEvaluation(
        object_id=object_id,
        frame_id=0,
        scores=np.array([score for score, _ in rows]),
        iou=np.array([iou for _, iou in rows], dtype=np.float64),
    )


def missed(truth_count: int = 1) -> MaskEvaluation:
    return MaskEvaluation(object_id="mug", frame_id=0, scores=np.zeros(0), iou=np.zeros((0, truth_count)))


def test_overlap_of_two_squares() -> None:
    # 10 x 10 px each, shifted by 5: 50 shared of 150
    judged = evaluate_masks("mug", 3, [square(10)], [(square(15), 0.8)])
    np.testing.assert_allclose(judged.iou, [[1 / 3]])
    (row,) = score_masks([judged])
    assert row.iou_mean == pytest.approx(1 / 3)
    assert row.ap == 0.0


def test_masks_are_judged_best_first_and_empty_ones_are_none() -> None:
    nothing = np.zeros((20, 60), dtype=bool)
    judged = evaluate_masks("mug", 0, [nothing, square(10)], [(square(40), 0.2), (nothing, 0.9), (square(10), 0.7)])
    np.testing.assert_array_equal(judged.scores, [0.7, 0.2])
    np.testing.assert_array_equal(judged.iou, [[1.0], [0.0]])


def test_a_perfect_mask_in_every_image_is_1() -> None:
    (row,) = score_masks([evaluate_masks("mug", i, [square(i)], [(square(i), 0.5)]) for i in range(4)])
    assert (row.ap, row.ap50, row.ap75, row.iou_mean, row.missed_share) == (1.0, 1.0, 1.0, 1.0, 0.0)


def test_average_precision_by_hand() -> None:
    """Two images: right at 0.9, false at 0.8, right at 0.7.

    Recall 1/2, 1/2, 1 with precision 1, 1/2, 2/3; non-increasing from the right 1, 2/3, 2/3. The recalls 0 .. 0.5 are
    51 of 101, the others 50.
    """
    judged = [overlaps((0.9, [0.8]), (0.8, [0.1])), overlaps((0.7, [0.9]))]
    assert average_precision(judged, 0.5) == pytest.approx((51 * 1.0 + 50 * 2 / 3) / 101)


def test_what_is_never_found_has_precision_0() -> None:
    assert average_precision([overlaps((0.9, [0.8])), missed()], 0.5) == pytest.approx(51 / 101)


def test_the_threshold_itself_is_enough() -> None:
    assert average_precision([overlaps((0.9, [0.75]))], 0.75) == 1.0
    (row,) = score_masks([overlaps((0.9, [0.75]))])
    assert row.ap == pytest.approx(0.6)  # 0.50, 0.55 .. 0.75 are 6 of 10


def test_a_true_mask_is_taken_once() -> None:
    # The second mask overlaps the same instance best, but that is taken; the other is too far.
    twice = overlaps((0.9, [0.8, 0.1]), (0.8, [0.9, 0.2]))
    assert average_precision([twice], 0.5) == pytest.approx(51 / 101)
    # Here it may take the other one.
    both = overlaps((0.9, [0.8, 0.1]), (0.8, [0.9, 0.6]))
    assert average_precision([both], 0.5) == 1.0


def test_a_mask_of_an_absent_object_is_false() -> None:
    absent = MaskEvaluation(object_id="mug", frame_id=1, scores=np.array([0.95]), iou=np.zeros((1, 0)))
    quiet = MaskEvaluation(object_id="mug", frame_id=2, scores=np.zeros(0), iou=np.zeros((0, 0)))
    (row,) = score_masks([overlaps((0.9, [1.0])), absent, quiet])
    assert row.ap50 == pytest.approx(0.5)  # the false one stands first
    assert (row.absent_count, row.absent_right_share) == (2, 0.5)
    assert row.iou_mean == 1.0


def test_a_miss_counts_0_in_iou_and_as_missed() -> None:
    (row,) = score_masks([overlaps((0.9, [0.8])), missed()])
    assert (row.iou_mean, row.missed_share) == (0.4, 0.5)


def test_objects_are_averaged_whatever_their_number_of_images() -> None:
    good = overlaps((0.9, [1.0]), object_id="bowl")
    rows = score_masks([good, good, good, overlaps((0.9, [0.0]))])
    assert [row.name for row in rows] == ["bowl", "mug", "mean"]
    assert [row.ap for row in rows] == [1.0, 0.0, 0.5]
    assert rows[-1].truth_count == 4


def test_an_object_that_is_nowhere_has_no_precision() -> None:
    (row,) = score_masks([MaskEvaluation(object_id="mug", frame_id=0, scores=np.zeros(0), iou=np.zeros((0, 0)))])
    assert (row.ap, row.iou_mean, row.missed_share) == (None, None, None)
    assert row.absent_right_share == 1.0


def test_time_is_averaged() -> None:
    (row,) = score_masks([evaluate_masks("mug", i, [square(1)], [], time_s=0.1 * i) for i in range(3)])
    assert row.time_mean_s == pytest.approx(0.1)


def plain_average_precision(evaluations: list[MaskEvaluation], threshold: float) -> float:
    """The definition read aloud: the best precision at any cut of the list whose recall is at least r, for each r."""
    truth_count = sum(j.truth_count for j in evaluations)
    rows = sorted(((s, n, i) for n, j in enumerate(evaluations) for i, s in enumerate(j.scores)), key=lambda r: -r[0])
    taken: set[tuple[int, int]] = set()
    cuts, hits = [], 0
    for place, (_, n, i) in enumerate(rows, start=1):
        free = [g for g in range(evaluations[n].truth_count) if (n, g) not in taken]
        best = max(free, key=lambda g: evaluations[n].iou[i, g], default=None)
        if best is not None and evaluations[n].iou[i, best] >= threshold:
            taken.add((n, best))
            hits += 1
        cuts.append((hits / truth_count, hits / place))
    return float(np.mean([max((p for r, p in cuts if r >= at), default=0.0) for at in np.linspace(0.0, 1.0, 101)]))


def test_average_precision_equals_its_definition(rng: np.random.Generator) -> None:
    for _ in range(20):
        judged = []
        for frame_id in range(12):
            masks, truths = int(rng.integers(0, 4)), int(rng.integers(0, 3))
            scores = np.sort(rng.random(masks))[::-1]
            judged.append(
                MaskEvaluation(object_id="mug", frame_id=frame_id, scores=scores, iou=rng.random((masks, truths)))
            )
        for threshold in (0.3, 0.5, 0.75):
            found = average_precision(judged, threshold)
            assert found == pytest.approx(plain_average_precision(judged, threshold), abs=1e-12)


def test_every_instance_that_was_not_found_is_missed() -> None:
    left, right, both, away = (np.zeros((8, 8), dtype=bool) for _ in range(4))
    left[:4, :3] = right[:4, 5:] = away[6:, :] = True
    both[:4] = True

    def missed(*masks: np.ndarray) -> float | None:
        found = [(mask, 0.9 - 0.1 * i) for i, mask in enumerate(masks)]
        (row,) = score_masks([evaluate_masks("mug", 0, [left, right], found)])
        return row.missed_share

    assert missed() == 1.0
    assert missed(left) == missed(left, left) == missed(both) == 0.5
    assert missed(right, left) == 0.0
    assert missed(left, away) == 0.0, "a wrong answer is an answer, which average precision counts"
