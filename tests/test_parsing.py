"""JSON and YAML that anybody may have written: one kind of error, and an end."""

from __future__ import annotations

import pytest

from storm_edge.parsing import parse_json, parse_yaml


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "", "{", b"\xff\xfe{"])
def test_json_that_is_none_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &a [*a]",
        "[" * 3000,
        "- " * 3000,
        "a: 2001-99-99",
        "a: " + "1" * 5000,
        "a: !!int x",
        "? [a]\n: 1",
        "{",
    ],
    ids=["bomb", "circle", "deep", "deep list", "date", "digits", "tag", "key", "open"],
)
def test_yaml_that_is_none_or_never_ends_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(text)
    assert parse_yaml("a: {b: [1, 2.5, x]}\nc: &c [1]\nd: *c") == {"a": {"b": [1, 2.5, "x"]}, "c": [1], "d": [1]}
