from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storm_edge.errors import InputError
from storm_edge.evaluate.predictions import of_scene, read_predictions

LINE: dict[str, Any] = {
    "frame": 4,
    "stamp_ns": 0,
    "object": "mug",
    "state": "TRACKING",
    "T_cam_obj": [[1, 0, 0, 0.1], [0, 1, 0, 0.2], [0, 0, 1, 0.5], [0, 0, 0, 1]],
    "confidence": 0.9,
    "pose_age_ms": 0.0,
    "latency_ms": {"track": 9.1},
}


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_run_is_read_from_its_file_or_its_folder(tmp_path: Path) -> None:
    lost = LINE | {"frame": 5, "state": "LOST", "T_cam_obj": None}
    path = write(tmp_path / "poses.jsonl", LINE, lost)
    for source in (path, tmp_path):
        first, second = read_predictions(source)
        assert (first.frame_id, first.object_id, first.score) == (4, "mug", 0.9)
        assert first.T_cam_obj is not None
        np.testing.assert_array_equal(first.T_cam_obj[:3, 3], [0.1, 0.2, 0.5])
        assert second.T_cam_obj is None


def test_a_bop_result_file_is_read_too(tmp_path: Path) -> None:
    header = "scene_id,im_id,obj_id,score,R,t,time"
    (tmp_path / "r.csv").write_text(f"{header}\n1,2,5,0.5,1 0 0 0 1 0 0 0 1,0 0 500,-1\n")
    [prediction] = read_predictions(tmp_path / "r.csv")
    assert (prediction.frame_id, prediction.object_id, prediction.score) == (2, "5", 0.5)


def test_a_result_file_of_several_scenes_is_sorted_out(tmp_path: Path) -> None:
    header, pose = "scene_id,im_id,obj_id,score,R,t,time", "0.5,1 0 0 0 1 0 0 0 1,0 0 500,-1"
    (tmp_path / "r.csv").write_text("\n".join([header, f"1,10,5,{pose}", f"2,20,5,{pose}", ""]))
    found = read_predictions(tmp_path / "r.csv")
    assert [p.frame_id for p in of_scene(found, "000002")] == [20]
    assert [p.frame_id for p in of_scene(found[:1], "kitchen")] == [10]
    with pytest.raises(InputError, match=r"scenes \[1, 2\]"):
        of_scene(found, "kitchen")
    with pytest.raises(InputError, match="expected scene 3"):
        of_scene(found, "000003")


def test_a_run_belongs_to_any_scene(tmp_path: Path) -> None:
    found = read_predictions(write(tmp_path / "poses.jsonl", LINE))
    assert of_scene(found, "000003") == of_scene(found, "kitchen") == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": "four"}, "line 1: got frame"),
        ({"colour": 1}, "line 1: got colour"),
        ({"T_cam_obj": [[1, 0], [0]]}, "no rigid motion"),
        ({"T_cam_obj": [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "no rigid motion"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_predictions(write(tmp_path / "poses.jsonl", LINE | change))
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_predictions(tmp_path)
    (tmp_path / "poses.jsonl").write_text("")
    with pytest.raises(InputError, match="no pose"):
        read_predictions(tmp_path)
    (tmp_path / "poses.jsonl").write_text("{\n")
    with pytest.raises(InputError, match="line 1: got no JSON"):
        read_predictions(tmp_path)
    (tmp_path / "poses.jsonl").write_text("[" * 99_999)
    with pytest.raises(InputError, match="nested too deeply"):
        read_predictions(tmp_path)
