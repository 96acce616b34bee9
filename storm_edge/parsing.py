"""JSON and YAML that anybody may have written or damaged, with one kind of error for all of it.

The parsers beneath raise many kinds, nest until the stack ends, and expand a few lines of YAML to more than a memory
holds. Here all of that is a `ValueError`. Arrays are `array_file`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_MOST_NODES = 100_000
"""Of a YAML file with its aliases written out; a whole configuration has some hundred."""
_DEEPEST = 50


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is none, nests too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: It is none, has dates or numbers that are none, or nests or repeats itself without end.
    """
    import yaml

    try:
        content = yaml.safe_load(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    pending, count = [(content, 0)], 0
    while pending:
        node, depth = pending.pop()
        count += 1
        if depth > _DEEPEST or count > _MOST_NODES:
            raise ValueError("it is nested too deeply" if depth > _DEEPEST else f"more than {_MOST_NODES} values")
        if isinstance(node, Mapping):
            pending += [(item, depth + 1) for item in (*node.keys(), *node.values())]
        elif isinstance(node, (list, tuple, set)):
            pending += [(item, depth + 1) for item in node]
    return content
