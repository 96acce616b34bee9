"""A small result of every command, as the command leaves it and as releases without ``made_by`` left it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storm_edge.bench.report import BENCHMARK
from storm_edge.calib.sets import CALIBRATION
from storm_edge.evaluate.report import MASK_REPORT, POSE_REPORT, TRACKING_REPORT
from storm_edge.export.results import EXPORT, FAILED_EXPORT
from storm_edge.objects.bundle_files import OBJECT
from storm_edge.replay.result_kinds import DEMO, SEGMENT, TRACK
from storm_edge.result_kind import ResultKind

_RUN = {
    "frame_count": 1, "objects": ["mug"], "states": {}, "pose_count": 1, "latency_ms": {}, "bundle": "none",
    "device": "cpu", "versions": {},
}  # fmt: skip
_POSES = json.dumps({"frame": 4, "object": "mug"}) + "\n"
_MASKS = [{"frame": 4, "object": "mug", "index": 0, "found": True, "mask": "masks/000004_000000.png"}]
_SCENE = {
    "scene/scene_camera.json": '{"4": {}}', "scene/scene_gt.json": '{"4": [{}]}', "scene/scene_gt_info.json": "{}",
    "scene/models/models_info.json": '{"2": {}}', "scene/models/obj_000002.ply": "", "scene/rgb/000004.png": "",
    "scene/depth/000004.png": "", "scene/mask/000004_000000.png": "", "scene/mask_visib/000004_000000.png": "",
}  # fmt: skip
_EXPORTED = {"name": "x", "calibration": None, "networks": [{"network": "refine", "graphs": [{"graph": "refine"}]}]}


@dataclass(frozen=True)
class Example:
    """One kind, and what it leaves."""

    kind: ResultKind
    content: dict[str, Any]
    files: dict[str, str]

    def write(self, folder: Path, *, older: bool = False, said: str = "1") -> None:
        """The result in a folder; ``older`` as releases without ``made_by`` did, ``said`` in every other file."""
        folder.mkdir(parents=True, exist_ok=True)
        made = {} if older else {"made_by": self.kind.made_by}
        (folder / self.kind.marker).write_text(json.dumps({**made, **self.content}))
        for name, text in self.files.items():
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            (folder / name).write_text(text or said)


_OVERLAY = {"overlays/000004.png": "", "overlay_sheet.png": ""}
EXAMPLES = [
    Example(
        TRACK,
        _RUN,
        {"poses.jsonl": _POSES, "bop_results.csv": "", "overlay.webm": "", "overlay.mp4": "", **_OVERLAY},
    ),
    Example(DEMO, _RUN, {"poses.jsonl": _POSES, "overlay.webm": "", "plot.png": "", **_OVERLAY, **_SCENE}),
    Example(
        SEGMENT,
        {
            "scene": "cup", "objects": ["mug"], "frame_count": 1, "found_count": {}, "verified": True,
            "latency_ms": {}, "results": _MASKS,
        },
        {"masks/000004_000000.png": "", **_OVERLAY},
    ),
    Example(MASK_REPORT, {"scores": [], "unjudged_frames": [], "images": []}, {}),
    Example(POSE_REPORT, {"scores": [], "labels": []}, {}),
    Example(TRACKING_REPORT, {"objects": [], "labels": []}, {}),
    Example(
        OBJECT,
        {
            "format": "storm-edge object", "schema_version": 1, "object_id": "mug", "arrays_sha256": "0",
            "storm_edge": "0.1", "embeddings": [{"file": "embeddings/0a.npz"}],
        },
        {"arrays.npz": "", "embeddings/0a.npz": ""},
    ),
    Example(
        CALIBRATION,
        {"format": 1, "bundle": "x", "graphs": {"refine": {"file": "refine.npz"}}},
        {"refine.npz": ""},
    ),
    Example(
        EXPORT,
        _EXPORTED,
        {
            "manifest.json": "{}", "refine.onnx": "", "fp16/manifest.json": "{}", "fp16/refine.onnx": "",
            "recipes/refine.json": "", "report.html": "", "MODEL_CARD.md": "",
        },
    ),
    Example(FAILED_EXPORT, _EXPORTED, {"report.html": ""}),
    Example(
        BENCHMARK,
        {
            "format": 1, "date": "", "command": "", "mode": "track", "machine": {}, "versions": {}, "phases": [],
        },
        {"bench.png": ""},
    ),
]  # fmt: skip
NAMES = [f"{example.kind.command} {example.kind.marker} {i}" for i, example in enumerate(EXAMPLES)]

Write = Callable[[Path], None]


def everything(folder: Path) -> dict[str, str]:
    """Every file of a folder and what it says; links by where they lead."""
    return {
        path.relative_to(folder).as_posix(): (
            f"-> {path.readlink()}" if path.is_symlink() else path.read_text("latin-1")
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
