"""The choices that a user makes by name: light to import, and defined once."""

from __future__ import annotations

import ast
import sys
from itertools import combinations
from pathlib import Path

import pytest

import storm_edge
from storm_edge.choices import Precision, TrackerKind
from tests.test_imports import python

ROOT = Path(storm_edge.__file__).parent


def enum_values(tree: ast.Module) -> dict[str, frozenset[str]]:
    """Values of every enum of strings in a module, by the enum's name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Enum" for base in node.bases):
            values = [item.value.value for item in node.body if isinstance(item, ast.Assign)]  # type: ignore[attr-defined]
            found[node.name] = frozenset(map(str, values))
    return found


def test_no_choice_is_defined_twice() -> None:
    """An enum of the command line beside the library's had drifted apart from it unnoticed."""
    enums = [
        (f"{path.relative_to(ROOT)}:{name}", values)
        for path in sorted(ROOT.rglob("*.py"))
        for name, values in enum_values(ast.parse(path.read_text(encoding="utf-8"))).items()
    ]
    assert len(enums) > 10
    assert [(a, b) for (a, x), (b, y) in combinations(enums, 2) if len(x & y) > 1] == []


def test_choices_import_nothing_of_the_package_or_beyond_the_standard_library() -> None:
    load = "import sys, storm_edge; before = set(sys.modules); import storm_edge.choices"
    loaded = {name.split(".")[0] for name in python(f"{load}; print(*set(sys.modules) - before)").split()}
    assert loaded <= {"storm_edge"} | set(sys.stdlib_module_names)


@pytest.mark.parametrize(("device", "kind"), [("cpu", "stepwise"), ("cuda", "batched"), ("cuda:1", "batched")])
def test_the_tracker_of_a_device(device: str, kind: str) -> None:
    assert TrackerKind.on(device) is TrackerKind(kind)


def test_precisions_name_their_folders() -> None:
    assert [p.folder for p in Precision] == [".", "fp16", "int8", "int8-fp16"]
    assert [p for p in Precision if not p.builds_engines] == [Precision.INT8]
