"""How well do the scores of the verifier tell a track that is right from one that is lost?

    python -m benchmarks run verify SETS [--count 20] [--first 0] [--bundle nano]

takes the recordings of `recovery` (made where they are missing). The memory holds crops at the true
pose of the first frames, as the loop keeps them. Then every frame is a question or more: right is the true pose,
moved by what a good track is off; lost is the pose held while the object is hidden, a pose that slid off, one that
sits on another thing, one turned to a wrong side. Reported is the area under the ROC curve of each score and of both
together. Wrong sides are listed apart: the pair network is not made to see them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.recordings import FIRST_SEED, onboarded, recovery_scene
from benchmarks.registry import Outcome, RecordingOptions, case
from benchmarks.timing import BOTH_TAILS
from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.evaluate.recovery import CLEARLY_VISIBLE, auroc
from storm_edge.geometry.se3 import exp_so3
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.percentiles import percentiles
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.verify.verifier import open_verifier

Float64 = NDArray[np.float64]

REMEMBERED = range(0, 21, 5)
"""Frames whose crops are the memory; the object is in full view there."""
EVERY = 3
"""Frames between those that are asked about."""


def questions(rng: np.random.Generator, T: Float64, diameter_m: float, hidden: bool) -> Iterator[tuple[str, Float64]]:
    """Poses of one frame by kind; ``T`` is the true one ``(4, 4)``."""
    if hidden:
        yield "hidden", T
        return
    yield "right", moved(T, rng.normal(0.0, 0.01, 3) * diameter_m, rng.normal(0.0, np.deg2rad(2.0), 3))
    direction = rng.standard_normal(2)
    aside = direction / np.linalg.norm(direction) * rng.uniform(0.33, 0.65) * diameter_m
    yield "slid off", moved(T, np.append(aside, rng.normal(0.0, 0.1) * diameter_m), rng.normal(0.0, 0.1, 3))
    far = np.append(rng.uniform(-1.0, 1.0, 2), rng.normal(0.0, 0.3)) * 2.5 * diameter_m
    if np.linalg.norm(far) > diameter_m:
        yield "elsewhere", moved(T, far, rng.normal(0.0, 1.0, 3))
    axis = rng.standard_normal(3)
    yield "turned", moved(T, np.zeros(3), axis / np.linalg.norm(axis) * np.deg2rad(rng.uniform(60.0, 180.0)))


def moved(T: Float64, shift_m: Float64, turn: Float64) -> Float64:
    """``T`` moved in the camera frame and turned about the object's centre."""
    out: Float64 = T.copy()
    out[:3, 3] += shift_m
    out[:3, :3] = exp_so3(turn) @ T[:3, :3]
    return out


def ask(sets: Path, number: int, networks: NetworkBundle) -> list[dict[str, Any]]:
    """All questions of one recording with the scores of them."""
    path, seed = recovery_scene(sets, number), FIRST_SEED + number
    scene, bundle = BopScene(path), onboarded(path)
    verifier = open_verifier(ObjectOnDevice(bundle), networks)
    assert verifier is not None
    rng = np.random.default_rng([seed, 7])
    buffers: FrameBuffers | None = None
    rows: list[dict[str, Any]] = []
    for frame_id in scene.frame_ids:
        if frame_id not in REMEMBERED and frame_id % EVERY:
            continue
        frame = scene.frame(frame_id)
        if buffers is None:
            buffers = FrameBuffers(*frame.size_px)
        buffers.upload(frame)
        T = scene.ground_truth(frame_id)[0].T_cam_obj @ bundle.T_obj_centre
        if frame_id in REMEMBERED:
            verifier.remember(buffers, T)
            continue
        share = float(scene.mask_visib(frame_id).sum()) / max(int(scene.mask(frame_id).sum()), 1)
        if 0.0 < share < CLEARLY_VISIBLE:
            continue  # neither right nor lost
        for kind, pose in questions(rng, T, bundle.diameter_m, share == 0.0):
            said = verifier.verify(buffers, pose)
            rows.append(
                {
                    "recording": seed,
                    "kind": kind,
                    "score": said.score,
                    "geometry": said.geometry,
                    "appearance": said.appearance,
                }
            )
    return rows


SOURCES = ("geometry", "appearance", "score")


def area(right: list[dict[str, Any]], lost: list[dict[str, Any]], source: str) -> float | None:
    """Area under the ROC curve of one source over the poses that it judged; None where it judged none of a kind.

    The network has no say where no crop of the side that a pose claims is remembered.
    """
    judged = [(row[source], is_right) for part, is_right in ((right, True), (lost, False)) for row in part]
    judged = [(value, is_right) for value, is_right in judged if value is not None]
    if len({is_right for _, is_right in judged}) < 2:  # fixed: right and lost
        return None
    return auroc([value for value, _ in judged], [is_right for _, is_right in judged])


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Area under the ROC curve by kind of loss and score; how many lost poses there are, and the network judged."""
    right = [row for row in rows if row["kind"] == "right"]
    kinds = sorted({row["kind"] for row in rows} - {"right"})
    groups = {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}
    groups["all but turned"] = [row for row in rows if row["kind"] not in ("right", "turned")]
    groups["all"] = [row for row in rows if row["kind"] != "right"]
    return {
        name: {
            **{source: area(right, lost, source) for source in SOURCES},
            "count": len(lost),
            "judged_by_network": sum(row["appearance"] is not None for row in lost),
        }
        for name, lost in groups.items()
    }


@case(record="verify")
def verify(options: RecordingOptions) -> Outcome:
    """Ask the verifier about right and lost poses of recordings with a loss."""
    networks = NetworkBundle.load(options.bundle)
    numbers = range(options.first, options.first + options.count)
    rows = [row for i in track(numbers) for row in ask(options.sets, i, networks)]
    figures = summary(rows)
    table = Table(
        "lost by", "questions", "renderer", "network", "both", title="area under the ROC curve, right against lost"
    )
    for name, row in figures.items():
        cells = ["-" if row[source] is None else f"{row[source]:.4f}" for source in SOURCES]
        table.add_row(name, str(row["count"]), *cells)
    Console().print(table)
    spread = {
        kind: {
            source: percentiles(values, BOTH_TAILS, digits=4)
            for source in SOURCES
            if (values := [row[source] for row in rows if row["kind"] == kind and row[source] is not None])
        }
        for kind in sorted({row["kind"] for row in rows})
    }
    return Outcome(summary={"bundle": options.bundle, "auroc": figures, "by_kind": spread}, rows=rows)
