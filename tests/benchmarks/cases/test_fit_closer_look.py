from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cases import fit_closer_look as case
from benchmarks.cases.fit_closer_look import (
    COLUMNS,
    PLAIN,
    WEIGHTS,
    CloserLookOptions,
    fitted,
    look_rows,
    recorded_rows,
    told,
    without_second,
)
from storm_edge.errors import InputError
from storm_edge.pipeline.detect.candidate_scoring import logit_of
from storm_edge.pipeline.detect.config import DetectConfig


def look(iou: float, probability: float = 0.5, detail: float = 0.1, side: int = 1) -> dict[str, float]:
    said = {"depth": 0.2, "elsewhere": 0.5, "palette": 0.75, "contour": 0.25, "network": -0.5}
    return {"iou": iou, "side": side, "first_probability": probability, "detail": detail, **said}


def test_the_recorded_looks_give_the_shipped_weights() -> None:
    rows = recorded_rows()
    assert len(without_second(rows)) == len(rows)
    shipped = DetectConfig()
    margin, closer = logit_of(shipped.min_probability), shipped.closer
    for given, count in ((closer.weights, len(WEIGHTS)), (closer.weights_without_network, PLAIN)):
        weights, constant = fitted(rows, count)
        assert weights == pytest.approx([getattr(given, name) for name in WEIGHTS[:count]], abs=0.005)
        assert constant + margin == pytest.approx(given.constant, abs=0.005)


def test_rows_leave_out_what_is_neither_right_nor_wrong() -> None:
    searches = [
        {"scene": 7, "looked": [look(0.9), look(0.45), look(0.1, 0.25, 0.3)]},
        {"scene": -1, "real": True, "looked": [look(1.0)]},
        {"scene": 8, "looked": [look(0.9, side=0)]},
    ]
    rows = look_rows(searches)
    assert rows[0] == [7, 0, 1, 0.0, 0.1, 0.2, 0.0, 0.75, 0.25, -0.5]
    assert rows[1][:5] == [7, 0, 0, pytest.approx(np.log(0.25 / 0.75), abs=0.001), 0.3]
    assert rows[2][:3] == [-1, 1, 1]
    assert len(rows) == 3


def test_of_two_looks_at_the_right_place_the_more_probable_one_stays() -> None:
    rows = np.zeros((4, len(COLUMNS)))
    rows[:, COLUMNS.index("is_right")] = [1, 1, 0, 0]
    rows[:, COLUMNS.index("first")] = [2.0, -1.0, 2.0, -1.0]
    rows[:, COLUMNS.index("elsewhere")] = [-1.0, 2.0, -1.0, 2.0]
    np.testing.assert_array_equal(without_second(rows), rows[[0, 2, 3]])


def test_what_print_tells_apart_is_told_by_it_alone(rng: np.random.Generator) -> None:
    is_right = np.arange(80) % 2 == 0
    detail = np.where(is_right, -0.3, 0.5) + 0.05 * rng.standard_normal(80)
    first = rng.standard_normal(80)
    rows = np.column_stack([np.arange(80) // 4, np.arange(80) % 3 == 0, is_right, first, detail])
    assert set(told(rows, 2).values()) == {1.0}
    assert min(told(rows, 1).values()) < 0.9


def test_searches_without_a_doubt_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case, "search_all", lambda options, config: [{"scene": 1, "looked": [look(0.9)]}])
    with pytest.raises(InputError, match="search more images"):
        case.fit_closer_look(CloserLookOptions())
