"""Finds decision numbers outside a ``config.py``: thresholds, weights, counts, sizes and durations in code.

``python -m tests.decision_numbers [FILE...]`` lists those of the pipeline and the loop, a line each.

A number is not a decision where it is

* 0, 1, 2, one of them negative, or a half;
* a conversion of units: 10 to the power of 3, 6 or 9 either way, 100, 180, 255 and 360;
* a guard against division by zero: at most a millionth;
* an index, an axis, a number of dimensions, part of a shape, or the digits that a number is rounded to;
* part of a type;
* the value of an enumeration's member;
* on a line, or in a statement whose first or last line ends, with ``# fixed: why``: given by a network's contract, by
  mathematics or by a file format.

Everything else counts, and so does every module-level constant made of numbers alone, and every class ``...Config``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("storm_edge/pipeline", "storm_edge/live")

SMALL = {0, 1, 2, 0.5}
UNITS = {1e3, 1e-3, 1e6, 1e-6, 1e9, 1e-9, 100, 180, 255, 360}
GUARD = 1e-6
SHAPE_CALLS = {"zeros", "ones", "empty", "full", "eye", "reshape", "identity"}
SHAPE_KEYWORDS = {"shape", "axis", "ndim", "axes", "decimals"}
SHAPE_NAMES = {"ndim", "shape"}
_FIXED = re.compile(r"#\s*fixed:\s*\S")


@dataclass(frozen=True)
class Number:
    """A decision number in code."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def files() -> list[Path]:
    """The files that may have none: all of the packages but their ``config.py``."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.name != "config.py")


def decision_numbers(source: str, path: str = "") -> list[Number]:
    """Those of one module, in the order of its lines."""
    lines = source.splitlines()
    tree = ast.parse(source)
    fixed = {number for number, line in enumerate(lines, 1) if _FIXED.search(line)}
    found: dict[tuple[int, int], Number] = {}
    for statement in _statements(tree):
        first, last = statement.lineno, statement.end_lineno or statement.lineno
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            last = statement.body[0].lineno - 1
        if {first, last} & fixed:
            continue
        if isinstance(statement, ast.ClassDef) and statement.name.endswith("Config"):
            found[first, 0] = Number(path, first, f"class {statement.name}")
        constants = list(_constants(statement))
        if statement in tree.body and isinstance(statement, (ast.Assign, ast.AnnAssign)):
            constants = _of_module_constant(statement) or constants
        for constant in constants:
            if constant.lineno not in fixed:
                text = lines[constant.lineno - 1].strip()
                found[constant.lineno, constant.col_offset] = Number(path, constant.lineno, text)
    return [found[at] for at in sorted(found)]


def _statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """All but the members of enumerations."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.stmt):
            yield child
        if isinstance(child, ast.ClassDef) and any(
            ast.unparse(base).endswith(("Enum", "Flag")) for base in child.bases
        ):
            continue
        yield from _statements(child)


def _of_module_constant(statement: ast.Assign | ast.AnnAssign) -> list[ast.Constant]:
    """The first number of a constant that is made of numbers alone; empty where it is something else."""
    value = statement.value
    beyond = (ast.Name, ast.Attribute, ast.Call, ast.Subscript)
    if value is None or any(isinstance(node, beyond) for node in ast.walk(value)):
        return []
    return [node for node in ast.walk(value) if _is_number(node)][:1]


def _constants(statement: ast.stmt) -> Iterator[ast.Constant]:
    """Numbers of a statement's own expressions that are not allowed."""
    stack: list[ast.AST] = [child for child in ast.iter_child_nodes(statement) if not isinstance(child, ast.stmt)]
    annotations = {id(part) for part in _annotations(statement)}
    while stack:
        node = stack.pop()
        if id(node) in annotations or isinstance(node, (ast.stmt, ast.excepthandler, ast.match_case)):
            continue  # statements inside are visited by themselves
        if isinstance(node, ast.Constant) and _is_number(node) and not _is_allowed(node.value):
            yield node
        stack.extend(_children(node))


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What is inside an expression, without its indices, shapes and types."""
    if isinstance(node, ast.Subscript):
        yield node.value
        if any(isinstance(part, ast.Constant) and isinstance(part.value, float) for part in ast.walk(node.slice)):
            yield node.slice
        return
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        yield node.func
        shape = 0
        if name in SHAPE_CALLS:
            shape = len(node.args) if name == "reshape" else 1
        digits = name == "round" and len(node.args) == 2
        yield from node.args[shape : 1 if digits else None]
        yield from (keyword.value for keyword in node.keywords if keyword.arg not in SHAPE_KEYWORDS)
        return
    if isinstance(node, ast.Compare) and any(
        isinstance(part, ast.Attribute) and part.attr in SHAPE_NAMES for part in ast.walk(node)
    ):
        return
    if isinstance(node, ast.arg):
        return
    if isinstance(node, ast.comprehension):
        yield node.iter
        yield from node.ifs
        return
    yield from ast.iter_child_nodes(node)


def _annotations(statement: ast.stmt) -> Iterator[ast.AST]:
    if isinstance(statement, ast.AnnAssign):
        yield statement.annotation
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and statement.returns is not None:
        yield statement.returns
    if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]).split("_")[-1] == "shape":
        yield statement.value


def _is_number(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
    )


def _is_allowed(value: float) -> bool:
    return value in SMALL or value in UNITS or 0 < value <= GUARD


def main(arguments: list[str]) -> None:
    """List them."""
    numbers = [
        number
        for path in ([Path(name).resolve() for name in arguments] or files())
        if path.name != "config.py"
        for number in decision_numbers(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
    ]
    sys.stdout.write("".join(f"{number}\n" for number in numbers) + f"{len(numbers)} decision numbers\n")


if __name__ == "__main__":
    main(sys.argv[1:])
