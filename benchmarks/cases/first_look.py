"""Where does a first search of real recordings look, and what does it say? Every so manieth frame by itself.

    python -m benchmarks run first_look DATA [--every 5] [--only cup pillar_a] [--bundle nano]

A search knows nothing of the frames before. A proposal is at the right place where the middle of what is seen of the
model at the labelled pose is within a quarter of the diameter of the middle of what its mask shows. The search is
right where it finds a pose with an ADD-S below a tenth of the diameter, wrong where it finds another, and silent
otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.cases.search import scored
from benchmarks.recordings import onboarded
from benchmarks.registry import NetworkOptions, Outcome, case
from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.metrics import ModelPoints
from storm_edge.frame import Frame
from storm_edge.geometry.camera import back_project
from storm_edge.kernels.renderer import render
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.config import DetectConfig
from storm_edge.pipeline.detect.detection import Detection
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.segment.segmenter import Segmenter

Float64 = NDArray[np.float64]

RIGHT_BELOW, WRONG_FROM, PLACE_WITHIN = 0.1, 0.25, 0.25
"""ADD-S of a right pose and of a wrong one, and distance between two middles, over the diameter."""
FIRST = 5
"""The right place is to be among so many proposals."""


@dataclass(frozen=True, kw_only=True)
class FirstLookOptions(NetworkOptions):
    """Which frames are searched."""

    data: Annotated[Path, typer.Argument(help="Folder of real scenes.")]
    every: Annotated[int, typer.Option(help="Every so manieth frame.")] = 5
    only: Annotated[list[str] | None, typer.Option(help="Names of scenes.")] = None


def searched(path: Path, networks: NetworkBundle, every: int) -> Iterator[dict[str, Any]]:
    """A row per labelled frame of a scene."""
    scene, bundle = _labelled(path), onboarded(path)
    item = ObjectOnDevice(bundle)
    detector = Detector(item, Segmenter(networks), networks=networks)
    model, d = ModelPoints(bundle.mesh_lod.vertices, bundle.symmetries), bundle.diameter_m
    for frame_id in scene.frame_ids[::every]:
        labels = scene.ground_truth(frame_id)
        if not labels:
            continue
        frame, T = scene.frame(frame_id), labels[0].T_cam_obj @ bundle.T_obj_centre
        buffers = FrameBuffers(*frame.size_px)
        buffers.upload(frame)
        started = time.process_time()
        search = detector.detect(frame, buffers)
        cpu_s = time.process_time() - started
        silhouette = render(item.mesh_lod, T, frame.K, frame.size_px).mask[0] > 0
        middle = _middle(frame, silhouette, float(T[2, 3]), d)
        ranks = [
            rank
            for rank, candidate in enumerate(search.proposed)
            if np.linalg.norm(_middle(frame, candidate.mask, float(T[2, 3]), d) - middle) < PLACE_WITHIN * d
        ]
        said = "silent"
        if search.found is not None:
            said = "right" if model.add_s(T, search.found.T_cam_centre) < RIGHT_BELOW * d else "wrong"
        yield {
            "scene": path.name,
            "frame": frame_id,
            "rank": ranks[0] if ranks else None,
            "proposed": len(search.proposed),
            "registered": len(search.detections),
            "said": said,
            "presence_probability": round(search.presence_probability, 3),
            "cpu_s": round(cpu_s, 3),
        }


def poses_of_recordings(
    data: Path, networks: str, every: int = 16, config: DetectConfig | None = None
) -> list[dict[str, Any]]:
    """What searches of real recordings score, for fits: each object in its own, and in one where it is not.

    Recordings whose names begin alike may show each other's objects. ``iou`` is 1 of a right pose, 0 of a wrong one,
    and between where neither can be said.

    Args:
        data: Folder of real scenes.
        networks: The network bundle.
        every: Every so manieth frame.
        config: How they are searched; as shipped when None.
    """
    bundle_of_networks = NetworkBundle.load(networks)
    segmenter = Segmenter(bundle_of_networks)
    paths = sorted(p for p in data.iterdir() if (p / "scene_camera.json").is_file())
    rows = []
    for number, path in enumerate(paths):
        others = [p for p in paths if p.name.split("_")[0] != path.name.split("_")[0]]
        absent = others[number % len(others)]
        for asked in (path, absent) if others else (path,):
            bundle = onboarded(asked)
            if bundle.is_colourless:
                continue
            model = ModelPoints(bundle.mesh_lod.vertices, bundle.symmetries)
            detector = Detector(ObjectOnDevice(bundle), segmenter, networks=bundle_of_networks, config=config)
            scene = _labelled(path)
            for frame_id in scene.frame_ids[::every]:
                frame, labels = scene.frame(frame_id), scene.ground_truth(frame_id)
                if not labels:
                    continue
                buffers = FrameBuffers(*frame.size_px)
                buffers.upload(frame)
                search = detector.detect(frame, buffers)
                T = labels[0].T_cam_obj @ bundle.T_obj_centre if asked is path else None
                known = {"real": True, "there": T is not None}
                found = [
                    {**rightness(model, bundle.diameter_m, T, one), **scored(one, search)} for one in search.tried
                ]
                looked = [
                    {**rightness(model, bundle.diameter_m, T, one), **asdict(one.look)}
                    for one in search.detections
                    if one.look is not None
                ]
                rows.append({"scene": -1 - number, **known, "scored": found, "looked": looked})
    return rows


def rightness(model: ModelPoints, diameter_m: float, T: Float64 | None, one: Detection) -> dict[str, float]:
    """``iou`` of a detection, see `poses_of_recordings`; ``T`` is the true pose ``(4, 4)``, or None."""
    off = np.inf if T is None else model.add_s(T, one.T_cam_centre) / diameter_m
    return {"iou": 1.0 if off < RIGHT_BELOW else 0.5 * (off < WRONG_FROM)}


def _labelled(path: Path) -> BopScene:
    pseudo = "scene_gt_pseudo.json"
    return BopScene(path, labels=pseudo if (path / pseudo).is_file() else None)


def _middle(frame: Frame, mask: NDArray[np.bool_], z_m: float, diameter_m: float) -> NDArray[np.float64]:
    """Median point [m] of what a mask shows near a depth ``(3,)``; far away where that is nothing."""
    v, u = np.nonzero(mask & (np.abs(frame.depth_m - z_m) < 2.0 * diameter_m))
    if not len(v):
        return np.full(3, np.inf)
    return np.asarray(np.median(back_project(frame.K, np.stack([u, v], axis=1), frame.depth_m[v, u]), axis=0))


def summary_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of some rows."""
    first = [row["rank"] is not None and row["rank"] < FIRST for row in rows]
    said = {name: sum(row["said"] == name for row in rows) for name in ("right", "wrong", "silent")}
    cpu_s = float(np.median([row["cpu_s"] for row in rows]))
    return {"frames": len(rows), "right_place_in_first_5": round(float(np.mean(first)), 3), **said, "cpu_s": cpu_s}


@case(record="first_look")
def first_look(options: FirstLookOptions) -> Outcome:
    """Search every so manieth frame by itself."""
    networks = NetworkBundle.load(options.bundle)
    rows: list[dict[str, Any]] = []
    table = Table("scene", "frames", "right place in first 5", "right", "wrong", "silent", "CPU s")
    scenes: dict[str, Any] = {}
    for path in sorted(p for p in options.data.iterdir() if (p / "scene_camera.json").is_file()):
        if options.only and path.name not in options.only:
            continue
        found = list(searched(path, networks, options.every))
        rows += found
        scenes[path.name] = summary_of(found)
        table.add_row(path.name, *(str(value) for value in scenes[path.name].values()))
        print(path.name, scenes[path.name], flush=True)
    Console().print(table)
    return Outcome(summary={**summary_of(rows), "scenes": scenes}, rows=rows)
