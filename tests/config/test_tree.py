from __future__ import annotations

from storm_edge.config.tree import differences, entries, leaves, meanings, nearest_key, plain
from storm_edge.config.values import with_values
from tests.config.toy import Root, Search, Shape


def test_every_value_has_a_key_in_the_order_of_the_fields() -> None:
    assert list(leaves(Root())) == [
        "search.reach_m",
        "search.limit",
        "search.shape",
        "search.mode",
        "search.rates",
        "search.steps.0.scale_px",
        "search.steps.0.every",
        "search.steps.1.scale_px",
        "search.steps.1.every",
        "search.thin",
        "pair.low",
        "pair.high",
        "extra",
        "count",
    ]


def test_a_value_knows_its_unit_its_range_its_record_and_what_it_means() -> None:
    reach = leaves(Root())["search.reach_m"]
    assert reach.tuning is not None
    assert (reach.value, reach.tuning.unit, reach.tuning.allowed, reach.tuning.record) == (
        0.5,
        "m",
        "0 to 2",
        "reach",
    )
    assert reach.meaning == "How far, in every direction."


def test_a_part_stands_before_what_it_holds() -> None:
    keys = [(entry.key, entry.is_part) for entry in entries(Root())]
    assert keys[0] == ("search", True)
    assert keys.index(("search.steps", True)) + 1 == keys.index(("search.steps.0.scale_px", False))


def test_what_a_field_means_is_inherited() -> None:
    assert meanings(Root) == {
        "search": "The search.",
        "pair": "The pair.",
        "extra": "One more.",
        "count": "How often.",
    }


def test_differences_are_by_key() -> None:
    other = with_values(Root(), {"count": 5, "search.preset": "far", "search.limit": 2}, source="test")
    assert differences(other, Root()) == {
        "search.reach_m": (2.0, 0.5),
        "search.limit": (2, None),
        "search.steps.0.scale_px": (8, 4),
        "count": (5, 3),
        "search.steps.1.scale_px": (None, 2),
        "search.steps.1.every": (None, 1),
    }
    assert differences(Root(), Root()) == {}


def test_values_become_plain() -> None:
    assert [plain(value) for value in (Shape.FLAT, (1, (2.0, Shape.ROUND)), None)] == [
        "flat",
        [1, [2.0, "round"]],
        None,
    ]


def test_the_nearest_key_is_one_of_the_same_name_elsewhere() -> None:
    assert nearest_key(Root(), "reach_m") == "search.reach_m"
    assert nearest_key(Root(), "searhc.reach_m") == "search.reach_m"
    assert nearest_key(Root(), "coutn") == "count"
    assert nearest_key(Root(), "qqq") is None
    assert meanings(Search)["rates"] == "Down and up."
