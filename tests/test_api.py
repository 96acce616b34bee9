"""docs/api.md names what the package promises: every name is there, and nothing of `storm_edge.live` is left out."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import storm_edge.live

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(storm_edge(?:\.\w+)+)`", PAGE)) - {"storm_edge.live"})


@pytest.mark.parametrize("name", NAMES)
def test_a_promised_name_is_there_and_documented(name: str) -> None:
    if name.startswith("storm_edge.export"):
        pytest.importorskip("onnx")
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert (found.__doc__ or "").strip()


def test_all_of_live_is_promised() -> None:
    assert {f"storm_edge.live.{name}" for name in storm_edge.live.__all__} <= set(NAMES)
