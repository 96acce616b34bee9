"""Two lists of candidates become one."""

from __future__ import annotations

import numpy as np

from storm_edge.pipeline.detect.merged_candidates import interleaved, without_repeated
from storm_edge.pipeline.segment.segmentation import Candidate, bounding_box


def square(left: int, score: float = 0.5) -> Candidate:
    mask = np.zeros((60, 400), dtype=bool)
    mask[10:40, left : left + 30] = True
    return Candidate(mask=mask, grown=mask, score=score, box=bounding_box(mask))


def test_neither_kind_starves() -> None:
    shape, marked = [square(0), square(50), square(100)], [square(200), square(250)]
    merged = interleaved(shape, marked, 0.7)
    assert [candidate.box[0] for candidate in merged] == [0, 200, 50, 250, 100]
    assert [candidate.box[0] for candidate in interleaved([], marked, 0.7)] == [200, 250]


def test_what_repeats_another_of_its_kind_is_left_out() -> None:
    merged = interleaved([square(0), square(50), square(52)], [square(2), square(70), square(1)], 0.7)
    assert [candidate.box[0] for candidate in merged] == [0, 2, 50, 70]
    assert without_repeated([square(1), square(300)], merged, 0.7)[0].box[0] == 300
