"""The generated recordings that several cases use: an object that is hidden for a while, and found again or not."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.synthetic.occlusions import recovery_sequence
from storm_edge.synthetic.scene_renderer import write_scene
from storm_edge.synthetic.splits import RECOVERIES_DEV

FIRST_SEED = RECOVERIES_DEV.first
"""Of recording 0; training and calibration draw from other seeds."""


def recovery_scene(sets: Path, number: int) -> Path:
    """Folder of a recording with a full occlusion, which is made where it is missing."""
    path = sets / "recovery" / f"{number:06d}"
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_scene(path, recovery_sequence(FIRST_SEED + number).script)
    return path


def onboarded(path: Path) -> ObjectBundle:
    """The object of a scene; its bundle is kept for the next run."""
    model = next(iter(sorted((path / "models").glob("obj_*.ply"))))
    content = hashlib.sha256(model.read_bytes()).hexdigest()[:16]  # folders of two sets may have one name
    kept = Path(tempfile.gettempdir()) / "storm-edge-bench" / content / model.stem
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        onboard(model, "mm").save(kept)
    return ObjectBundle.load(kept)
