"""A small scene on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.writer import BopWriter
from storm_edge.geometry.se3 import make_T, random_rotation
from tests.bop.frames import SIZE, random_frame


@pytest.fixture
def scene(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two frames with one label each; the mask exists for image 4 only."""
    path = tmp_path / "scene"
    with BopWriter(path) as writer:
        for index in (2, 4):
            label = GroundTruth(object_id=7, T_cam_obj=make_T(random_rotation(rng), [0.1, -0.2, 0.7]))
            mask = np.zeros(SIZE, dtype=bool)
            mask[10:20, 30:50] = True
            masks = [mask] if index == 4 else []
            writer.add(
                random_frame(index, rng),
                [label],
                masks=masks,
                masks_visib=[m & (m.cumsum(1) < 11) for m in masks],
            )
    return path
