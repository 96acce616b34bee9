from __future__ import annotations

from storm_edge.config.render import WIDTH, as_json, as_markdown, as_text, changes, sections, word
from storm_edge.config.tree import leaves
from storm_edge.config.values import with_value, with_values
from storm_edge.live.config import StormConfig
from tests.config.toy import Root

CHANGED = with_values(Root(), {"count": 5, "search.steps.1.scale_px": 9, "search.steps.0.every": 2}, source="test")


def test_a_line_says_value_unit_and_range_and_has_a_star_where_it_differs() -> None:
    lines = as_text(CHANGED, Root()).splitlines()
    assert lines[1].split() == ["*", "count", "5", "frames", "0", "to", "100"]
    assert lines[2].split() == ["default", "3"]
    at = lines.index("search")
    assert lines[at + 1].split() == ["reach_m", "0.5", "m", "0", "to", "2"]
    at = lines.index("search.steps.N")
    assert [line.split() for line in lines[at + 1 : at + 3]] == [
        ["*", "scale_px", "4,", "9"],
        ["*", "every", "2,", "1"],
    ]
    assert lines[-1] == "3 values differ from the defaults (*)"


def test_a_list_of_presets_is_a_line_with_their_names() -> None:
    lines = as_text(with_value(Root(), "search.steps.0", "fine"), Root()).splitlines()
    assert "search.steps.N" not in lines
    at = lines.index("* steps")
    assert [line.strip() for line in lines[at + 1 : at + 3]] == ["[fine, fine]", "default [coarse, fine]"]


def test_a_list_that_became_shorter_has_a_star() -> None:
    unnamed = with_value(Root(), "search.steps", [{"scale_px": 7}, {"scale_px": 8}])
    shorter = with_value(Root(), "search.steps", [{"scale_px": 7}])
    assert any(line.split() == ["*", "scale_px", "7"] for line in as_text(shorter, unnamed).splitlines())


def test_changes_are_listed_a_line_each() -> None:
    values = {"count": 5, "search.steps": ["fine"], "search.limit": 2, "pair.low": 0.15}
    assert changes(with_values(Root(), values, source="test"), Root()) == [
        "count: 5 (default 3)",
        "search.limit: 2 (default none)",
        "search.steps: [fine] (default [coarse, fine])",
        "pair.low: 0.15 (default 0.1)",
    ]
    shorter = with_value(Root(), "search.steps", [{"scale_px": 7}])
    assert changes(shorter, Root()) == ["search.steps.0.scale_px: 7", "search.steps.0.every: 1"]
    assert changes(Root(), shorter) == ["search.steps: [coarse, fine]", "search.steps.0: left out"]
    assert changes(Root(), Root()) == []


def test_a_tree_of_defaults_has_no_star_and_says_so() -> None:
    text = as_text(Root(), Root())
    assert "*" not in text
    assert text.splitlines()[-1] == "all values are the defaults"


def test_all_keys_fit_in_a_terminal_without_colour() -> None:
    text = as_text(StormConfig(), with_values(StormConfig(), {"register.chunk": 5}, source="test"))
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert text.isprintable() or text.replace("\n", "").isprintable()
    assert all(name in text for section in sections(StormConfig()) for name in section.rows)


def test_json_has_all_that_is_known_of_a_value() -> None:
    found = as_json(CHANGED, Root())
    assert list(found) == list(leaves(CHANGED))
    assert found["count"] == {
        "value": 5,
        "default": 3,
        "unit": "frames",
        "low": 0,
        "high": 100,
        "record": None,
        "meaning": "How often.",
    }


def test_values_are_written_as_set_takes_them() -> None:
    values = (None, True, 0.1, 2.0, 1 / 3, (1.0, 0.5), "in doubt")
    assert [word(value) for value in values] == ["none", "true", "0.1", "2", repr(1 / 3), "[1, 0.5]", "in doubt"]


def test_a_page_lists_every_key_once() -> None:
    rows = [line for line in as_markdown(Root()).splitlines() if line.startswith("| `")]
    assert len(rows) == 11 + 2 + 2 + 2  # the two steps are one row; their keys, and the presets of both classes
    assert "| `steps` | [coarse, fine] |  |  | In order. |  |" in rows
    assert "| `fine` | `scale_px` 2; `every` 1 |" in rows
    assert "| `reach_m` | 0.5 | m | 0 to 2 | How far, in every direction. | reach |" in rows
