"""The folder of a soak: pictures for the camera with their truth, two objects, a profile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.soak.pictures import DEPTH, DEPTH_UNIT_M, RGB, K
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.replay.pacing import ping_pong_index
from storm_edge.synthetic.demo import demo_script
from storm_edge.synthetic.objects import make_object
from storm_edge.synthetic.scene_renderer import SceneRenderer
from storm_edge.synthetic.splits import OBJECTS_DEV

RATE_HZ = 30.0
OBJECT, ABSENT = "mug", "absent"
WRONG_FROM = 0.1
"""ADD over the diameter from which on a pose is wrong."""
ENDPOINT = "ipc://{folder}/poses"
_ABSENT_SEED = OBJECTS_DEV.seed(3)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The folder, and what is true in its pictures."""

    folder: Path
    """Has `camera`, `objects` and `profile.yaml`; the service's state folder is `state`."""
    truth: tuple[Any, ...]
    """``T_cam_obj`` of the object by place."""
    points: ModelPoints
    """Of the object."""
    diameter_m: float
    """Of the object [m]."""

    @property
    def camera(self) -> Path:
        """Pictures, and files that tell the camera what to do."""
        return self.folder / "camera"

    @property
    def state(self) -> Path:
        """Where the service writes."""
        return self.folder / "state"

    def error(self, frame: int, T_cam_obj: Any) -> float:
        """ADD of a reported pose over the diameter; frames are numbered as the camera counts."""
        T_true = self.truth[ping_pong_index(frame, len(self.truth))]
        return self.points.add_symmetric(T_true, np.asarray(T_cam_obj)) / self.diameter_m


def make_stage(folder: Path, frame_count: int) -> Stage:
    """Render the demo's scene and write all files.

    Args:
        folder: Is made.
        frame_count: Pictures, played to and fro.
    """
    script = replace(demo_script(), frame_count=frame_count)
    for name in ("camera", "objects", "state"):
        (folder / name).mkdir(parents=True)
    items = list(SceneRenderer(script))
    np.save(folder / "camera" / RGB, np.stack([item.frame.rgb for item in items]))
    steps = [np.rint(item.frame.depth_m / DEPTH_UNIT_M).astype(np.uint16) for item in items]
    np.save(folder / "camera" / DEPTH, np.stack(steps))
    np.save(folder / "camera" / K, items[0].frame.K)
    bundle = _onboarded(folder, OBJECT, script.target.mesh)
    other = make_object(_ABSENT_SEED, evaluation=True, diameter_m=0.2, face_count=2000)
    _onboarded(folder, ABSENT, other.mesh)
    (folder / "profile.yaml").write_text(yaml.safe_dump(_profile(folder)))
    return Stage(
        folder=folder,
        truth=tuple(item.T_cam_obj for item in items),
        points=ModelPoints(script.target.mesh.vertices),
        diameter_m=bundle.diameter_m,
    )


def _onboarded(folder: Path, name: str, mesh: Any) -> ObjectBundle:
    model = folder / "objects" / f"{name}.ply"
    write_ply(model, mesh)
    bundle = onboard(model, "mm", object_id=name)
    bundle.save(folder / "objects" / name)
    return bundle


def _profile(folder: Path) -> dict[str, Any]:
    return {
        "version": 2,
        "machine": "soak",
        "device": "cpu",
        "cores": 2,
        "memory_mib": 1500,
        "bundle": "nano",
        "precision": "fp32",
        "camera": {"width_px": 640, "height_px": 480, "rate_hz": RATE_HZ},
        "search": "beside",
        "config": {"session": {"tracker": "stepwise", "register_chunk": 12}},
        "source": {"kind": "external"},
        "objects": [{"path": f"objects/{OBJECT}", "name": OBJECT}],
        "sinks": [
            {"kind": "zeromq", "endpoint": ENDPOINT.format(folder=folder), "encoding": "json"},
            {"kind": "unix_socket"},
            {"kind": "json_lines", "path": "poses.jsonl", "most_mib": 2, "kept": 1},
        ],
        "control": {},
        "health": {"port": 0},
        "recording": {"before_s": 2, "after_s": 1, "disk_mib": 40, "free_mib": 1, "memory_mib": 64},
    }
