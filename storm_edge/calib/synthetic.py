"""Recordings to calibrate on where there are no others: generated, of objects that no other set has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from storm_edge.bop.scene import BopScene
from storm_edge.calib.collect import CalibrationRecording
from storm_edge.objects.onboard import onboard
from storm_edge.synthetic.scene_renderer import OBJECT_ID, write_scene
from storm_edge.synthetic.scenes import evaluation_scene
from storm_edge.synthetic.splits import SCENES_CALIBRATION


@contextmanager
def synthetic_recordings(count: int, *, frames: int = 6) -> Iterator[list[CalibrationRecording]]:
    """``count`` recordings of ``frames`` frames, each of another object, on disk while the block runs."""
    with TemporaryDirectory() as folder:
        made = []
        for index in range(count):
            path = Path(folder) / f"synthetic-{SCENES_CALIBRATION.seed(index)}"
            write_scene(path, evaluation_scene(SCENES_CALIBRATION.seed(index), frame_count=frames))
            model = path / "models" / f"obj_{OBJECT_ID:06d}.ply"
            item = onboard(model, "mm", view_subdivisions=1)
            made.append(CalibrationRecording(scene=BopScene(path), objects=[item], name=path.name))
        yield made
