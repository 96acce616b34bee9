from __future__ import annotations

from typing import Any

import pytest

from storm_edge.config.values import with_value, with_values
from storm_edge.errors import ConfigError
from tests.config.toy import Pair, Root, Search, Shape, Step


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", 7, 7),
        ("search.reach_m", 1, 1.0),
        ("search.reach_m", "1e-3", 0.001),  # a word in YAML
        ("search.limit", 4, 4),
        ("search.limit", None, None),
        ("search.limit", "none", None),
        ("search.shape", "flat", Shape.FLAT),
        ("search.mode", "in doubt", "in doubt"),
        ("search.rates", [1, 0.5], (1.0, 0.5)),
        ("search.thin", True, True),
        ("search.steps.1.scale_px", 9, 9),
        ("pair.high", 0.9, 0.9),
    ],
)
def test_any_value_can_be_set(key: str, value: object, expected: object) -> None:
    found: Any = with_value(Root(), key, value)
    for name in key.split("."):
        found = found[int(name)] if name.isdecimal() else getattr(found, name)
    assert found == expected
    assert type(found) is type(expected)


def test_keys_may_be_nested_or_have_dots() -> None:
    nested = with_values(Root(), {"search": {"steps": {0: {"every": 2}}, "limit": 3}}, source="test")
    dotted = with_values(Root(), {"search.steps.0.every": 2, "search": {"limit": 3}}, source="test")
    assert nested == dotted != Root()


def test_nothing_else_changes() -> None:
    root = Root()
    changed = with_value(root, "search.limit", 3)
    assert changed.pair is root.pair
    assert changed.search.steps is root.search.steps
    assert root == Root()


def test_a_list_takes_the_place_of_all_parts() -> None:
    root = with_value(Root(), "search.steps", [{"scale_px": 5}, {"scale_px": 6, "every": 3}, {"scale_px": 7}])
    assert root.search.steps == (Step(scale_px=5), Step(scale_px=6, every=3), Step(scale_px=7))


def test_a_preset_comes_before_the_keys_beside_it() -> None:
    root = with_values(Root(), {"search": {"limit": 2, "preset": "far"}}, source="test")
    assert root.search == Search(limit=2, reach_m=2.0, steps=(Step(scale_px=8),))


def test_a_preset_may_stand_for_a_part() -> None:
    coarse, fine = Step.presets().values()
    root = with_values(Root(), {"search.steps": ["fine", {"scale_px": 7}, "coarse"]}, source="test")
    assert root.search.steps == (fine, Step(scale_px=7), coarse)
    assert with_value(Root(), "search.steps.0", "fine").search.steps == (fine, fine)
    assert with_value(Root(), "search", "far").search == Search.presets()["far"]


def test_a_part_that_is_missing_is_made_of_its_keys() -> None:
    root = with_value(Root(), "extra", {"low": 0.3, "high": 0.4})
    assert root.extra == Pair(low=0.3, high=0.4)
    assert with_value(root, "extra.low", 0).extra == Pair(low=0.0, high=0.4)
    assert with_value(root, "extra", None).extra is None


def test_values_that_belong_together_are_set_together() -> None:
    assert with_values(Root(), {"pair.low": 0.8, "pair.high": 0.9}, source="test").pair == Pair(low=0.8, high=0.9)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"search.raech_m": 1},
            "unknown key 'search.raech_m', expected a key of the configuration; did you mean 'search.reach_m'?",
        ),
        ({"reach_m": 1}, "did you mean 'search.reach_m'?"),
        ({"serch.limit": 1}, "unknown key 'serch', expected a key of the configuration; did you mean 'search'?"),
        ({"qqq": 1}, "known keys are search, pair, extra, count"),
        ({"pair.preset": "near"}, "unknown key 'pair.preset'"),
        ({"search.preset": "close"}, "search.preset: got 'close', expected one of near, far;"),
        ({"count": 1.5}, "x.yaml: count: got 1.5, expected a whole number; correct that value"),
        ({"count": True}, "count: got True, expected a whole number"),
        ({"count": 101}, "count: got 101, expected 0 to 100 [frames]"),
        ({"search.reach_m": "wide"}, "search.reach_m: got 'wide', expected a number"),
        ({"search.reach_m": -0.1}, "search.reach_m: got -0.1, expected 0 to 2 [m]"),
        ({"search.reach_m": float("nan")}, "search.reach_m: got nan"),
        ({"search.limit": 0}, "search.limit: got 0, expected 1 to 9"),
        ({"search.shape": "square"}, "search.shape: got 'square', expected one of 'round', 'flat'"),
        ({"search.mode": "slow"}, "search.mode: got 'slow', expected one of 'quick', 'in doubt'"),
        ({"search.rates": [0.5]}, "search.rates: got [0.5], expected a list of 2: a number, a number"),
        ({"search.reach_m": 10**400}, "search.reach_m: got 1000"),
        ({"search.rates": [0.5, 3.0]}, "search.rates: got 3.0, expected 0 to 1 [1]"),
        ({"search.thin": "perhaps"}, "search.thin: got 'perhaps', expected true or false"),
        ({"search": 5}, "search: got 5, expected keys of it: reach_m"),
        ({"search.steps.2.every": 5}, "unknown key 'search.steps.2', expected search.steps.0 to search.steps.1"),
        ({"search.steps.last.every": 5}, "unknown key 'search.steps.last'"),
        ({"search.steps": []}, "search.steps: got [], expected a list of one or more"),
        ({"search.steps": ["rough"]}, "search.steps.0: got 'rough', expected one of coarse, fine"),
        ({"search.steps": 5}, "search.steps: got 5, expected a list"),
        ({"search.steps": [{"every": 5}]}, "search.steps.0: got no scale_px"),
        ({"search.steps": [{"scale_px": 0}]}, "search.steps.0.scale_px: got 0, expected 1 to 64 [px]"),
        ({"search.steps": [{"scale_px": 1, "evry": 1}]}, "did you mean 'search.steps.0.every'?"),
        ({"pair.low": 0.9}, "x.yaml: pair: low above high"),
        ({"extra.low": 0.9}, "extra: got no high"),
        ({"count": 1, "count.x": 2}, "count twice"),
        ({"pair": {"low": 0.1}, "pair.low": 0.2}, "got pair.low twice, expected each key once"),
        ({"count.x": 2}, "count: got {'x': 2}, expected a whole number"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        with_values(Root(), values, source="x.yaml")
    assert str(raised.value).startswith("x.yaml: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
