"""The configuration tree as a whole: nothing in it is without a unit, a meaning and a range."""

from __future__ import annotations

import subprocess
import sys
from enum import Enum
from pathlib import Path

import pytest

from storm_edge.config.render import as_markdown
from storm_edge.config.tree import Entry, entries, leaves, plain
from storm_edge.config.values import with_value
from storm_edge.errors import ConfigError
from storm_edge.live.config import StormConfig

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "benchmarks" / "records"
LEAVES = list(leaves(StormConfig()).values())


def is_number(entry: Entry) -> bool:
    values = entry.value if isinstance(entry.value, tuple) else (entry.value,)
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def test_every_value_is_plain_and_explained() -> None:
    assert not [entry.key for entry in LEAVES if entry.tuning is None], "not made by tuned()"
    assert not [entry.key for entry in LEAVES if not entry.meaning], "no string below the field"
    kinds = (bool, int, float, str, list, type(None))
    assert not [entry.key for entry in LEAVES if not isinstance(plain(entry.value), kinds)]


def test_every_number_has_a_unit_and_a_bound_and_no_choice_has_one() -> None:
    bounded = [e.key for e in LEAVES if e.tuning and (e.tuning.low is not None or e.tuning.high is not None)]
    assert not [entry.key for entry in LEAVES if is_number(entry) and not (entry.tuning and entry.tuning.unit)]
    assert not [entry.key for entry in LEAVES if is_number(entry) and entry.key not in bounded]
    choices = [entry for entry in LEAVES if isinstance(entry.value, (bool, str, Enum))]
    assert not [entry.key for entry in choices if entry.key in bounded or (entry.tuning and entry.tuning.unit)]


def test_every_record_that_backs_a_value_is_there() -> None:
    named = {entry.key: entry.tuning.record for entry in LEAVES if entry.tuning and entry.tuning.record}
    assert not {key: record for key, record in named.items() if not any(RECORDS.glob(f"{record}.json*"))}
    assert named


def test_every_value_out_of_its_range_is_refused() -> None:
    for entry in LEAVES:
        assert entry.tuning is not None
        for limit, beyond in ((entry.tuning.low, -1), (entry.tuning.high, 1)):
            if limit is None:
                continue
            value = limit + beyond
            with pytest.raises(ConfigError, match=entry.key):
                with_value(
                    StormConfig(), entry.key, [value] * len(entry.value) if isinstance(entry.value, tuple) else value
                )


def test_every_part_says_what_it_is() -> None:
    assert not [entry.key for entry in entries(StormConfig()) if entry.is_part and not entry.meaning]


def test_the_page_in_the_repository_is_the_generated_one() -> None:
    """Write it anew with ``storm-edge config show --markdown > docs/config.md``."""
    assert (ROOT / "docs" / "config.md").read_text(encoding="utf-8") == as_markdown(StormConfig())


def test_the_tree_needs_neither_kernels_nor_engines() -> None:
    """So that it is shown, and a profile is checked, at once."""
    heavy = {"warp", "onnxruntime", "cv2", "scipy", "torch", "trimesh", "matplotlib"}
    code = f"import sys, storm_edge.live.profile; print(sorted({heavy} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
