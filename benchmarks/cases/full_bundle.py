"""A full bundle of random weights in the official layout: every engine is exported, opened and launched.

    python -m benchmarks run full_bundle [--frames 3] [--hypotheses 4]

The networks of `storm_edge.networks` at full size, on a short scene of a ball, under every schedule. What the figures
say is which engines were launched how often; poses mean nothing, since the weights do not. SOM's last bias is raised,
so that it marks something, TOM's, so that it says yes, and RefineNet's last layers are small: else nothing would be
registered or followed. SAM2 takes part where its package is installed. A quarter of an hour on a CPU, and 4 GB of
disk and memory.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.ball import ball
from benchmarks.cases.som import random_som
from benchmarks.registry import Outcome, RecordOptions, case
from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.scene import BopScene
from storm_edge.bop.writer import BopWriter
from storm_edge.choices import Schedule, TrackerKind
from storm_edge.config.values import with_settings
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import MANIFEST, write_manifest
from storm_edge.errors import BackendError
from storm_edge.export.networks.pose import export_refine, export_score
from storm_edge.export.networks.sam2 import export_sam2
from storm_edge.export.networks.som import export_som
from storm_edge.export.networks.tom import export_tom
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.renderer import render
from storm_edge.live.config import StormConfig
from storm_edge.live.schedules import asked_networks, with_sam2, with_schedule
from storm_edge.networks.foundationpose import SIZE_PX, RefineNet, ScoreAttention, ScoreFeatures, ScoreNet
from storm_edge.networks.sam2 import build_sam2
from storm_edge.networks.tom import Tom
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from storm_edge.replay.track_scene import TrackSceneOptions, track_scene

IMAGE_PX = (240, 320)
K = np.array([[300.0, 0.0, 159.5], [0.0, 300.0, 119.5], [0.0, 0.0, 1.0]])
SURE = 6.0
"""Raised biases: a probability of nearly 1."""
STILL = 0.01
"""Scale of RefineNet's last layers: poses stay where they can be followed."""


@dataclass(frozen=True, kw_only=True)
class FullBundleOptions(RecordOptions):
    """How much is done."""

    frames: Annotated[int, typer.Option(help="Images of the scene.")] = 3
    hypotheses: Annotated[int, typer.Option(help="Rotations that a registration begins with.")] = 4
    folder: Annotated[
        Path | None, typer.Option(help="Keep the bundle there, or take it from there.", show_default=False)
    ] = None


def write_random_bundle(folder: Path) -> Path:
    """Export all networks with random weights and write their manifest; what is there already stays."""
    if (folder / MANIFEST).is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    graphs = [graph for names, export in _PARTS.items() for graph in _exported(names, export, folder)]
    files = {graph: f"{graph}.onnx" for graph in graphs}
    write_manifest(folder, name="random", size_px=SIZE_PX, preset="parity", networks=files, tier="full")
    return folder


def _exported(names: tuple[str, ...], export: Callable[[Path], object], folder: Path) -> tuple[str, ...]:
    if all((folder / f"{name}.onnx").is_file() for name in names):
        return names
    try:
        export(folder)
    except BackendError as error:
        print(f"without {', '.join(names)}: {error}")
        return ()
    return names


def _export_som(folder: Path) -> None:
    net = random_som()
    _raise(net.decoder.refine_head[2].bias)
    export_som(net, folder)


def _export_refine(folder: Path) -> None:
    net = RefineNet().eval()
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.startswith(("trans_head.1.", "rot_head.1.")):
                value.mul_(STILL)
    export_refine(net, folder, size_px=SIZE_PX)


def _export_tom(folder: Path) -> None:
    net = Tom().eval()
    _raise(net.classifier.bias)
    export_tom(net, folder)


def _export_score(folder: Path) -> None:
    net = ScoreNet().eval()
    export_score(ScoreFeatures(net), ScoreAttention(net), folder, size_px=SIZE_PX)


def _raise(bias: object) -> None:
    assert isinstance(bias, torch.Tensor)
    with torch.no_grad():
        bias.add_(SURE)


_PARTS: dict[tuple[str, ...], Callable[[Path], object]] = {
    ("som_reference", "som_query", "som_head"): _export_som,
    ("refine",): _export_refine,
    ("score_features", "score_attention"): _export_score,
    ("tom_encode", "tom_compare"): _export_tom,
    ("sam2_encoder", "sam2_decoder"): lambda folder: export_sam2(build_sam2("2.1-tiny"), folder),
}
"""Graphs of a bundle, and what exports them."""


def write_scene(folder: Path, frames: int) -> Path:
    """A ball that moves before a wall."""
    mesh = ball(2000)
    with BopWriter(folder) as writer:
        for index in range(frames):
            T = make_T(np.eye(3), [0.03 + 0.002 * index, 0.01, 0.45])
            picture = render(mesh, T, K, IMAGE_PX)
            seen = picture.mask[0] > 0
            rgb = np.where(seen[..., None], picture.colour[0] * 255.0, 127.0).astype(np.uint8)
            depth_m = np.where(seen, picture.depth[0], np.float32(1.0))
            frame = Frame(rgb=rgb, depth_m=depth_m, K=K, index=index)
            writer.add(frame, [GroundTruth(object_id=1, T_cam_obj=T)], masks=[seen], masks_visib=[seen])
        writer.add_model(1, mesh)
    return folder


def few_rotations(scene: Path, count: int) -> ObjectBundle:
    """The ball, with so many rotations to begin with: any is right, and 252 take minutes."""
    made = onboard(scene / "models" / "obj_000001.ply", "mm", view_subdivisions=1, as_upstream=True)
    assert made.upstream is not None
    upstream = replace(made.upstream, rotation_grid=made.upstream.rotation_grid[:count])
    return replace(made, rotation_grid=made.rotation_grid[:count], upstream=upstream)


def launches(
    scene: Path, item: ObjectBundle, networks: NetworkBundle, schedule: Schedule, out: Path
) -> dict[str, Any]:
    """Launches of every engine in a run by one schedule, and how long it took."""
    settings = [f"session.tracker={TrackerKind.STEPWISE.value}", "session.verify_every=1"]
    config = with_settings(with_schedule(StormConfig(), schedule), settings)
    has_sam2 = "sam2_encoder" in networks.networks
    started = time.perf_counter()
    track_scene(
        BopScene(scene), [item], networks, out, TrackSceneOptions(config=config, sam2=has_sam2, pictures=False)
    )
    took_s = time.perf_counter() - started
    summary = json.loads((out / "summary.json").read_text())
    engines = summary["engines"]
    asked = asked_networks(with_sam2(config) if has_sam2 else config, networks)
    silent = sorted(name for name in asked if not engines["launches"][name])
    return {
        "launches": engines["launches"],
        "idle": engines["idle"],
        "asked_and_silent": silent,
        "poses": summary["pose_count"],
        "took_s": round(took_s, 1),
    }


@case(record="full_bundle")
def full_bundle(options: FullBundleOptions) -> Outcome:
    """Launch every engine of a full bundle of random weights by every schedule."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        started = time.perf_counter()
        folder = write_random_bundle(options.folder or work / "bundle")
        exported_s = time.perf_counter() - started
        networks = NetworkBundle.load(folder)
        scene = write_scene(work / "000001", options.frames)
        item = few_rotations(scene, options.hypotheses)
        schedules: dict[str, Any] = {}
        for schedule in Schedule:
            found = schedules[schedule.value] = launches(scene, item, networks, schedule, work / schedule.value)
            print(f"{schedule.value:<24}{found['took_s']:>8.1f} s  {found['launches']}", flush=True)
        size_mib = sum(path.stat().st_size for path in folder.glob("*.onnx*")) / 2**20
    never = [n for n in networks.networks if not any(s["launches"][n] for s in schedules.values())]
    if never:
        raise SystemExit(f"never launched: {', '.join(never)}")
    return Outcome(
        summary={
            "frames": options.frames,
            "hypotheses": options.hypotheses,
            "engines": list(networks.networks),
            "bundle_mib": round(size_mib),
            "export_s": round(exported_s, 1),
            "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "schedules": schedules,
        }
    )
