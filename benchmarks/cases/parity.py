"""What upstream's rules change, and what of it stays different, measured where no official weights are needed.

    python -m benchmarks run parity DATA [--only cup ycb_mustard_a] [--every 10]

On labelled frames of real recordings: what RefineNet and ScoreNet would be shown by our rules and by those of the
schedule ``parity`` (docs/parity.md). Differences of points are in half diameters, as networks see them, and those of
colours on a scale from 0 to 1; shares are of the model's pixels. What that does to a pose, only the official weights
can say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import trimesh
import typer
from numpy.typing import NDArray
from PIL import Image

from benchmarks.registry import Outcome, RecordOptions, case
from storm_edge.bop.scene import BopScene
from storm_edge.choices import Framing
from storm_edge.frame import Frame
from storm_edge.geometry.camera import project
from storm_edge.geometry.mesh import diameter
from storm_edge.geometry.se3 import rotation_angle, transform
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.onboard import onboard
from storm_edge.pipeline.inputs.config import PARITY, UPSTREAM_SCORE
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.inputs.network_inputs import PairInputs
from storm_edge.pipeline.register.box_placement import box_poses
from storm_edge.pipeline.register.mask_surface import masked_surface
from storm_edge.pipeline.register.placement import Placement
from storm_edge.pipeline.segment.full_som_framing import SIZE_PX as SOM_PX
from storm_edge.pipeline.segment.full_som_framing import square_image
from storm_edge.pipeline.segment.full_som_views import reference_views
from storm_edge.pipeline.segment.upstream_views import upstream_pictures, upstream_reference_views

Array = NDArray[Any]
CROP_PX = 160
DRAWS, SAMPLED, VERTICES = 20, 10_000, 40_000
"""Upstream's diameter: how often it is drawn, of how many of how many vertices."""


@dataclass(frozen=True, kw_only=True)
class ParityOptions(RecordOptions):
    """Which frames are looked at."""

    data: Annotated[Path, typer.Argument(help="Folder of real scenes with models and labels.")]
    only: Annotated[list[str] | None, typer.Option(help="Names of scenes; cup and ycb_mustard_a.")] = None
    every: Annotated[int, typer.Option(help="Every so manieth labelled frame.")] = 10


def pictures(item: ObjectOnDevice, mesh: MeshBuffers, frame: FrameBuffers, T: Array, *, detour: bool) -> Array:
    """Both pictures of ScoreNet at a pose, ``(2, 6, S, S)``."""
    preset = replace(PARITY, score=UPSTREAM_SCORE) if detour else PARITY
    pairs = PairInputs(mesh, diameter_m=item.diameter_m, preset=preset, network="score", batch=1, size_px=CROP_PX)
    pairs.fill(frame, T[None])
    return np.stack([pairs.rendered.numpy()[0], pairs.observed.numpy()[0]])


def of_frame(item: ObjectOnDevice, frame: Frame, mask: Array, T: Array) -> dict[str, float]:
    """The differences in one frame, at the labelled pose of the centred mesh."""
    bundle, d = item.bundle, item.diameter_m
    assert bundle.upstream is not None
    buffers = FrameBuffers(*frame.size_px)
    buffers.upload(frame)
    whole = pictures(item, item.network_mesh, buffers, T, detour=True)
    reduced = pictures(item, item.mesh_lod, buffers, T, detour=True)
    split = pictures(item, MeshBuffers.from_mesh(bundle.mesh), buffers, T, detour=True)
    direct = pictures(item, item.network_mesh, buffers, T, detour=False)
    shown = whole[0, 5] != 0.0
    both = shown & (reduced[0, 5] != 0.0)
    measured = (whole[1, 5] != 0.0) | (direct[1, 5] != 0.0)
    moved = np.abs(whole[1, 3:] - direct[1, 3:]).max(axis=0)
    surface = masked_surface(buffers, mask, min_depth_px=4)
    nearest = int(np.argmin(rotation_angle(bundle.rotation_grid, T[:3, :3])))
    by_surface = Placement(item.mesh_lod, bundle.rotation_grid, d).poses(surface, mask, frame.K)[nearest]
    by_box = box_poses(buffers, mask, bundle.rotation_grid[:1], min_depth_px=4)[0]
    return {
        "reduced_mesh_outline_share": float((shown != (reduced[0, 5] != 0.0)).sum() / shown.sum()),
        "reduced_mesh_points": float(np.abs(whole[0, 3:] - reduced[0, 3:])[:, both].mean()),
        "reduced_mesh_colours": float(np.abs(whole[0, :3] - reduced[0, :3])[:, both].mean()),
        "our_normals_colours": float(np.abs(whole[0, :3] - split[0, :3])[:, shown].mean()),
        "detour_moved_share": float((moved[measured] > 1e-4).mean()),
        "detour_points": float(moved[measured].mean()),
        "box_off_diameters": float(np.linalg.norm(by_box[:3, 3] - T[:3, 3]) / d),
        "surface_off_diameters": float(np.linalg.norm(by_surface[:3, 3] - T[:3, 3]) / d),
        "tom_crop_iou": crop_iou(bundle, frame, T),
    }


def crop_iou(bundle: ObjectBundle, frame: Frame, T: Array) -> float:
    """Overlap of TOM's square crop by our rule and by upstream's: an oriented box's extents along the file's axes."""
    model = trimesh.Trimesh(bundle.mesh.vertices, bundle.mesh.faces, process=False)
    extents = np.asarray(trimesh.bounds.oriented_bounds(model)[1])
    signs = np.array(np.meshgrid(*[(-1.0, 1.0)] * 3)).reshape(3, -1).T
    T_cam_obj = T @ np.linalg.inv(bundle.T_obj_centre)
    theirs = _square(project(frame.K, transform(T_cam_obj, signs * extents / 2.0)), rounded=True)
    low, high = bundle.mesh.bounds()
    ours = _square(project(frame.K, transform(T, np.where(signs > 0.0, high, low))) + 0.5, rounded=False)
    shared = np.prod(np.maximum(np.minimum(ours[1], theirs[1]) - np.maximum(ours[0], theirs[0]), 0.0))
    areas = [float(np.prod(high - low)) for low, high in (ours, theirs)]
    return float(shared / (sum(areas) - shared))


def _square(pixels: Array, *, rounded: bool) -> tuple[Array, Array]:
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    side = float(np.ceil((high - low).max())) if rounded else float((high - low).max())
    start = 0.5 * (low + high) - side / 2.0
    start = np.round(start) if rounded else start
    return start, start + side


def sampled_diameters() -> dict[str, float]:
    """How much upstream's diameter, of a sample of the vertices, is too small; of a bumpy ball."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(VERTICES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    bumps = 1.0 + 0.1 * np.sin(7.0 * directions).sum(axis=1)
    vertices = 0.1 * directions * bumps[:, None]
    exact = diameter(vertices)
    short = [1.0 - diameter(vertices[rng.choice(VERTICES, SAMPLED, replace=False)]) / exact for _ in range(DRAWS)]
    return {"mean": float(np.mean(short)), "largest": float(np.max(short))}


def second_resize(rgb: Array) -> dict[str, float]:
    """SOM's second resize by Pillow against torch's, with and without its antialiasing; normalised colours."""
    ours = square_image(rgb, Framing.UPSTREAM)
    height, width = rgb.shape[:2]
    short = min(height, width)
    size = (256 * width // short, 256 * height // short)
    left, top = (round((n - 256) / 2) for n in size)
    resized = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
    crop = resized[top : top + 256, left : left + 256].astype(np.float32) / 255.0
    tensor = torch.from_numpy(((crop - IMAGENET_MEAN) / IMAGENET_STD).astype(np.float32).transpose(2, 0, 1)[None])
    found = {}
    for name, antialias in (("antialiased", True), ("plain", False)):
        theirs = torch.nn.functional.interpolate(
            tensor, (SOM_PX, SOM_PX), mode="bicubic", antialias=antialias, align_corners=False
        )
        found[name] = float(np.abs(ours - theirs.numpy()).mean())
    return found


def views(bundle: ObjectBundle) -> dict[str, float]:
    """SOM's reference views by either rule: their difference, and how much of the object is white in upstream's."""
    assert bundle.upstream is not None
    shown = upstream_pictures(bundle.upstream.mesh, bundle.upstream.file_normals, per_metre=1000.0)
    drawn = (shown != 128).any(axis=-1)
    white = (shown == 255).all(axis=-1)
    apart = np.abs(upstream_reference_views(bundle) - reference_views(bundle.mesh))
    return {"normalised_difference": float(apart.mean()), "white_share": float(white.sum() / drawn.sum())}


def of_scene(path: Path, every: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Medians over the frames of one scene, and a row per frame."""
    names = ("scene_gt.json", "scene_gt_pseudo.json")
    scene = BopScene(path, labels=next(name for name in names if (path / name).is_file()))
    bundle = onboard(next(iter(sorted((path / "models").glob("*.ply")))), "mm", as_upstream=True)
    item = ObjectOnDevice(bundle, as_upstream=True)
    rows: list[dict[str, Any]] = []
    for frame_id in scene.frame_ids[::every]:
        labels = scene.ground_truth(frame_id)
        if not labels or not scene.has_mask(frame_id):
            continue
        mask, T = scene.mask_visib(frame_id), labels[0].T_cam_obj @ bundle.T_obj_centre
        rows.append({"scene": path.name, "frame": frame_id, **of_frame(item, scene.frame(frame_id), mask, T)})
    keys = [key for key in rows[0] if key not in ("scene", "frame")]
    found: dict[str, Any] = {key: round(float(np.median([row[key] for row in rows])), 5) for key in keys}
    found |= {
        "frames": len(rows),
        "faces": [len(bundle.upstream.mesh.faces) if bundle.upstream else 0, len(bundle.mesh_lod.faces)],
        "views": rounded(views(bundle)),
        "second_resize": rounded(second_resize(scene.frame(rows[0]["frame"]).rgb)),
    }
    return found, rows


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """To what the record needs."""
    return {key: round(value, 5) for key, value in values.items()}


@case(record="parity")
def parity(options: ParityOptions) -> Outcome:
    """Compare what networks are shown by our rules and by upstream's."""
    scenes, rows = {}, []
    for name in options.only or ("cup", "ycb_mustard_a"):
        scenes[name], more = of_scene(options.data / name, options.every)
        rows += more
        print(name, scenes[name], flush=True)
    summary = {"scenes": scenes, "diameter_short_share": rounded(sampled_diameters())}
    print(summary["diameter_short_share"])
    return Outcome(summary=summary, rows=rows)
