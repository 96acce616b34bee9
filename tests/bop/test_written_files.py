from __future__ import annotations

from pathlib import Path

from storm_edge.bop.writer import written_files
from tests.tiny_scene import write_tiny_scene


def test_a_scene_names_all_of_its_own_files(tmp_path: Path) -> None:
    scene = write_tiny_scene(tmp_path / "scene")
    there = {path.relative_to(scene).as_posix() for path in scene.rglob("*") if path.is_file()}
    assert there <= set(written_files(scene))
    assert len(there) > 8


def test_of_a_scene_that_was_edited_only_its_json_files_are_known(tmp_path: Path) -> None:
    (tmp_path / "scene_camera.json").write_text("[")
    assert written_files(tmp_path) == [
        "scene_camera.json", "scene_gt.json", "scene_gt_info.json", "models/models_info.json"
    ]  # fmt: skip
