from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.results import BopEstimate
from storm_edge.bop.scene_pred import read_scene_pred, write_scene_pred
from storm_edge.errors import InputError
from storm_edge.evaluate.predictions import read_predictions
from tests.tiny_scene import pose


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "000007" / "scene_pred.json"
    path.parent.mkdir()
    written = [BopEstimate(scene_id=7, image_id=i, object_id=3, score=0.5, T_cam_obj=pose(i)) for i in (0, 4)]
    write_scene_pred(path, written)
    found = read_scene_pred(path)
    assert [(e.scene_id, e.image_id, e.object_id, e.score) for e in found] == [(7, 0, 3, 0.5), (7, 4, 3, 0.5)]
    np.testing.assert_allclose([e.T_cam_obj for e in found], [pose(0), pose(4)], atol=1e-12)
    assert [p.object_id for p in read_predictions(path.parent)] == ["3", "3"]


def test_poses_of_others_have_no_score(tmp_path: Path) -> None:
    entry = {"cam_R_m2c": np.eye(3).reshape(-1).tolist(), "cam_t_m2c": [0.0, 0.0, 500.0], "obj_id": 1}
    (tmp_path / "scene_pred.json").write_text(json.dumps({"3": [entry]}))
    [found] = read_scene_pred(tmp_path / "scene_pred.json")
    assert (found.score, found.T_cam_obj[2, 3]) == (1.0, 0.5)


@pytest.mark.parametrize("content", ['{"a": []}', '{"1": [{"obj_id": 1}]}', '{"1": [3]}', "[]", "nothing"])
def test_anything_else_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "scene_pred.json"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        read_scene_pred(path)
    assert "\n" not in str(error.value)
