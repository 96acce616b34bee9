"""What `models_info.json` says, in metres."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.models import read_models_info
from storm_edge.errors import SceneError


def test_symmetries_are_read_in_metres(tmp_path: Path) -> None:
    half_turn = [-1, 0, 0, 20, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    entry = {
        "diameter": 100,
        "symmetries_discrete": [half_turn],
        "symmetries_continuous": [{"axis": [0, 0, 1], "offset": [10, 0, 0]}],
    }
    (tmp_path / "models_info.json").write_text(json.dumps({"3": entry}))
    info = read_models_info(tmp_path / "models_info.json")[3]
    assert info.diameter_m == pytest.approx(0.1)
    np.testing.assert_allclose(info.symmetries_discrete[0][:3, 3], [0.02, 0, 0])
    assert info.symmetries_continuous[0].offset_m == pytest.approx((0.01, 0, 0))


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"diameter": -1},
        {"diameter": 1, "symmetries_discrete": [[1, 2]]},
        {"diameter": "x"},
        {"diameter": 10**400},
        5,
    ],
)
def test_broken_model_info_is_named(tmp_path: Path, entry: object) -> None:
    (tmp_path / "models_info.json").write_text(json.dumps({"3": entry}))
    with pytest.raises(SceneError, match="object 3"):
        read_models_info(tmp_path / "models_info.json")


def test_an_entry_that_is_no_number_is_named(tmp_path: Path) -> None:
    (tmp_path / "models_info.json").write_text('{"three": {}}')
    with pytest.raises(SceneError, match="an entry 'three'"):
        read_models_info(tmp_path / "models_info.json")
