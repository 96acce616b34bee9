"""Places of two lists, put in one order."""

from __future__ import annotations

import numpy as np

from storm_edge.geometry.se3 import make_T
from storm_edge.pipeline.templates.places import ShapePlace, in_turns


def place(x_m: float) -> ShapePlace:
    return ShapePlace(score=0.5, starts=make_T(np.eye(3), [x_m, 0.0, 1.0])[None])


def middles_m(places: list[ShapePlace]) -> list[float]:
    return [float(one.starts[0, 0, 3]) for one in places]


def test_two_of_the_first_list_come_before_each_of_the_second() -> None:
    first, second = [place(x) for x in (0.0, 1.0, 2.0)], [place(x) for x in (10.0, 11.0, 12.0)]
    assert middles_m(in_turns(first, second, 0.1)) == [0.0, 1.0, 10.0, 2.0, 11.0, 12.0]
    assert middles_m(in_turns([], second, 0.1)) == [10.0, 11.0, 12.0]
    assert middles_m(in_turns(first, [], 0.1)) == [0.0, 1.0, 2.0]


def test_a_place_of_both_lists_comes_once() -> None:
    assert middles_m(in_turns([place(0.0), place(1.0)], [place(0.05), place(2.0)], 0.1)) == [0.0, 1.0, 2.0]
