"""Splits of synthetic data: ranges that do not meet, and objects that test data shares with nothing."""

from __future__ import annotations

from itertools import combinations

import pytest

from storm_edge.synthetic import splits
from storm_edge.synthetic.clutter import evaluation_clutter
from storm_edge.synthetic.objects import make_object
from storm_edge.synthetic.splits import (
    EVALUATION_FROM,
    OBJECTS_DEV,
    OBJECTS_TEST,
    OBJECTS_TRAIN,
    RECOVERIES_DEV,
    RECOVERIES_TEST,
    SCENE_RANGES,
    SEARCHES_DEV,
    SEARCHES_TEST,
    SEARCHES_VAL,
    STREAMS_TEST,
    STREAMS_TRAIN,
    STREAMS_VAL,
    SeedRange,
    Split,
    objects_of_scene,
    objects_of_search,
    objects_of_stream,
)


def meet(a: range, b: range) -> bool:
    """Whether two ranges of step 1 have a number in common."""
    return max(a.start, b.start) < min(a.stop, b.stop)


def objects_of_scenes(scenes: SeedRange) -> range:
    return range(objects_of_scene(scenes.seeds[0]).start, objects_of_scene(scenes.seeds[-1]).stop)


@pytest.mark.parametrize(
    "family",
    [
        (OBJECTS_TRAIN, OBJECTS_DEV, OBJECTS_TEST),
        (STREAMS_TRAIN, STREAMS_VAL),
        SCENE_RANGES,
        (SEARCHES_DEV, SEARCHES_TEST),
        (SEARCHES_DEV, SEARCHES_VAL),
        (SEARCHES_VAL, SEARCHES_TEST),
    ],
)
def test_ranges_of_a_family_do_not_meet(family: tuple[SeedRange, ...]) -> None:
    for a, b in combinations(family, 2):
        assert not meet(a.seeds, b.seeds), (a, b)


def test_every_range_of_scenes_is_listed() -> None:
    named = {value for name, value in vars(splits).items() if isinstance(value, SeedRange)}
    apart = {
        OBJECTS_TRAIN,
        OBJECTS_DEV,
        OBJECTS_TEST,
        STREAMS_TEST,
        STREAMS_TRAIN,
        STREAMS_VAL,
        SEARCHES_DEV,
        SEARCHES_VAL,
        SEARCHES_TEST,
    }
    assert named - apart == set(SCENE_RANGES)


def test_test_data_shares_no_object_with_any_other_split() -> None:
    test = [objects_of_scenes(r) for r in SCENE_RANGES if r.split is Split.TEST]
    test += [objects_of_search(SEARCHES_TEST.first), objects_of_stream(STREAMS_TEST.first)]
    other = [objects_of_scenes(r) for r in SCENE_RANGES if r.split is not Split.TEST]
    other += [
        objects_of_search(SEARCHES_DEV.first),
        objects_of_stream(STREAMS_TRAIN.first),
        objects_of_stream(STREAMS_VAL.first),
    ]
    assert not [(a, b) for a in test for b in other if meet(a, b)]


def test_networks_are_trained_on_objects_that_nothing_else_has() -> None:
    assert EVALUATION_FROM == 1_000_000  # written into model cards; moving it would void their figures
    assert objects_of_stream(STREAMS_TRAIN.seeds[-1]).stop == EVALUATION_FROM
    assert min(objects_of_scenes(r).start for r in SCENE_RANGES) == EVALUATION_FROM


def test_recordings_that_were_looked_at_are_not_test_data() -> None:
    for looked_at in (range(20_000, 20_276), range(20_300, 20_376)):
        assert set(looked_at) <= set(RECOVERIES_DEV.seeds)
        assert not meet(looked_at, RECOVERIES_TEST.seeds)


def test_a_search_of_the_test_split_draws_test_objects() -> None:
    clutter, absent = next(evaluation_clutter(1, SEARCHES_TEST.first, size_px=(60, 80)))
    drawn = [item.truth.seed for item in (*clutter.things, *absent) if item.truth.seed >= 0]
    assert drawn
    assert all(seed in OBJECTS_TEST.seeds for seed in drawn)
    assert make_object(OBJECTS_TEST.first, evaluation=True, face_count=300).seed == OBJECTS_TEST.first


@pytest.mark.parametrize("index", [-1, 10_000])
def test_a_number_outside_a_range_is_refused(index: int) -> None:
    assert RECOVERIES_DEV.seed(9_999) == 29_999
    with pytest.raises(ValueError, match=r"seed number -?\d+ must be in 0\.\.9999"):
        RECOVERIES_DEV.seed(index)
