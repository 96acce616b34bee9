from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storm_edge.bench.recording import load_recording
from storm_edge.bop.scene import BopScene
from storm_edge.errors import SceneError
from storm_edge.objects.bundle import ObjectBundle
from tests.tiny_scene import write_tiny_scene


def test_only_frames_in_which_the_object_is_seen_are_played(tmp_path: Path, box: ObjectBundle) -> None:
    count = 0

    def hide(mask: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return mask & (count <= 2)

    scene = BopScene(write_tiny_scene(tmp_path / "scene", frame_count=3, edit_mask=hide))
    assert len(load_recording(scene, box, clear=True).frames) == 2
    assert len(load_recording(scene, box, clear=False).frames) == 3
    hidden = BopScene(write_tiny_scene(tmp_path / "hidden", edit_mask=lambda mask: mask & False))
    with pytest.raises(SceneError, match="half of the object"):
        load_recording(hidden, box, clear=True)
