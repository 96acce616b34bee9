"""Who reads files: for each a folder of sound files, and the call that reads all of it as a command would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import trimesh
from onnx import TensorProto, helper
from PIL import Image

from benchmarks.fuzz.mutations import Rng
from storm_edge.bench.stored_record import read_record
from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.models import read_models_info
from storm_edge.bop.results import BopEstimate, write_bop_csv
from storm_edge.bop.scene import BopScene
from storm_edge.bop.writer import BopWriter
from storm_edge.calib.sets import RowSource, load_set, write_set
from storm_edge.choices import Precision
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.cache_report import write_engine_report
from storm_edge.engines.engine_file import read_engine, write_engine
from storm_edge.engines.exported_graphs import (
    GraphExport,
    GraphFile,
    NetworkExport,
    exported_graphs,
    write_network_export,
)
from storm_edge.engines.manifest import file_sha256, write_manifest
from storm_edge.errors import StormEdgeError
from storm_edge.evaluate.mask_results import read_mask_results
from storm_edge.evaluate.predictions import read_predictions
from storm_edge.evaluate.scene_match import check_run
from storm_edge.export.published import take_published
from storm_edge.export.recipe import read_recipe
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.live.profile import read_profile
from storm_edge.mcap.packed_frame import ColourCoding, Packer
from storm_edge.mcap.reader import McapScene
from storm_edge.mcap.writer import write_mcap
from storm_edge.networks.checkpoints import read_checkpoint, state_dict_of
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.bundle_files import read_stored_embedding, stored_embeddings
from storm_edge.objects.mesh_io import load_mesh
from storm_edge.objects.onboard import onboard

_PX = 16
_POSE = make_T(np.eye(3), [0.01, 0.02, 0.5])


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One kind of input."""

    write: Callable[[Path], None]
    """Fills a folder with sound files."""
    read: Callable[[Path, Rng], object]
    """Reads a folder of such files, one or more of them broken."""
    also: tuple[str, ...] = ()
    """Files whose hashes are put right again, so that what is in them is read."""


def _write_ply(folder: Path) -> None:
    text = (
        "ply\nformat ascii 1.0\ncomment TextureFile image.png\nelement vertex 5\nproperty float x\nproperty float y\n"
        "property float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nelement face 4\n"
        "property list uchar int vertex_indices\nproperty list uchar float texcoord\nend_header\n"
        "0 0 0 255 0 0\n90 0 0 0 255 0\n90 60 0 0 0 255\n0 60 0 9 9 9\n40 30 80 1 2 3\n"
        "4 0 3 2 1 8 0 0 0 1 1 1 1 0\n3 0 1 4 6 0 0 1 0 1 1\n3 1 2 4 6 0 0 1 0 1 1\n3 2 3 4 6 0 0 1 0 1 1\n"
    )
    (folder / "model.ply").write_text(text, encoding="utf-8")
    _image().save(folder / "image.png")


def _write_binary_ply(folder: Path) -> None:
    (folder / "model.ply").write_bytes(_box().export(file_type="ply"))


def _write_obj(folder: Path) -> None:
    (folder / "model.obj").write_text(
        "mtllib model.mtl\nusemtl a\nv 0 0 0 1 0 0\nv 90 0 0 0 1 0\nv 90 60 0 0 0 1\n"
        "v 0 60 0 1 1 1\nv 40 30 80 0 0 0\n"
        "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 4/4 3/3 2/2\nusemtl b\nf 1 2 5\nf -4 -3 -1\nf 3//1 4//1 5//1\n",
        encoding="utf-8",
    )
    (folder / "model.mtl").write_text(
        "newmtl a\nKd 0.5 0.5 0.5\nmap_Kd -s 2 2 -o 0.5 0 image.png\nnewmtl b\nKd 1 0 0\n", encoding="utf-8"
    )
    _image().save(folder / "image.png")


def _write_glb(folder: Path) -> None:
    box = _box()
    uv = np.random.default_rng(0).random((len(box.vertices), 2))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=_image(), baseColorFactor=[200, 100, 50, 255])
    box.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    (folder / "model.glb").write_bytes(trimesh.Scene(box).export(file_type="glb"))


def _write_stl(folder: Path) -> None:
    (folder / "model.stl").write_bytes(_box().export(file_type="stl"))


def _write_text_stl(folder: Path) -> None:
    (folder / "model.stl").write_text(str(_box().export(file_type="stl_ascii")), encoding="utf-8")


def _box() -> Any:
    box = trimesh.creation.box((90.0, 60.0, 80.0))
    box.visual.vertex_colors = np.arange(32, dtype=np.uint8).reshape(8, 4) * 8
    return box


def _image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (_PX, _PX, 3), dtype=np.uint8))


def _read_model(folder: Path, rng: Rng) -> None:
    path = next(folder.glob("model.*[!l]")) if (folder / "model.mtl").exists() else next(folder.glob("model.*"))
    if rng.random() < 0.03:
        path = path.rename(path.with_suffix(str(rng.choice([".ply", ".obj", ".glb", ".stl"]))))
    if rng.random() < 0.05:
        onboard(path, "mm", view_subdivisions=0)
    else:
        load_mesh(path, "mm")


def _write_scene(folder: Path) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((_PX, _PX), dtype=np.bool_)
    mask[4:9, 4:9] = True
    with BopWriter(folder / "000001") as writer:
        for index in range(2):
            frame = Frame(
                rgb=rng.integers(0, 255, (_PX, _PX, 3), dtype=np.uint8),
                depth_m=rng.uniform(0.4, 0.6, (_PX, _PX)).astype(np.float32),
                K=np.array([[20.0, 0.0, 8.0], [0.0, 20.0, 8.0], [0.0, 0.0, 1.0]]),
                index=index,
            )
            writer.add(frame, [GroundTruth(object_id=1, T_cam_obj=_POSE)], masks=[mask], masks_visib=[mask])
    scene = folder / "000001"
    info = {"1": {"diameter": 100.0, "symmetries_discrete": [np.eye(4).reshape(-1).tolist()],
                  "symmetries_continuous": [{"axis": [0, 0, 1], "offset": [0, 0, 0]}]}}  # fmt: skip
    (scene / "models").mkdir()
    (scene / "models" / "models_info.json").write_text(json.dumps(info), encoding="utf-8")
    for path in [scene / "depth" / "000001.png"]:  # one of them as the industrial sets have it
        Image.open(path).save(path.with_suffix(".tif"))
        path.unlink()
    Image.open(scene / "rgb" / "000001.png").save(scene / "rgb" / "000001.jpg")
    (scene / "rgb" / "000001.png").unlink()


def _read_scene(folder: Path, rng: Rng) -> None:
    path = folder / "000001"
    read_models_info(path / "models" / "models_info.json")
    scene = BopScene(path)
    for frame_id in scene.frame_ids:
        for read in (scene.frame, scene.ground_truth, scene.mask_visib, scene.mask, scene.visible_share):
            with suppress(StormEdgeError):  # the next one is read all the same
                read(frame_id)
    scene.frame(scene.frame_ids[0])


def _write_mcap(folder: Path) -> None:
    rng, packer = np.random.default_rng(0), Packer(ColourCoding.LOSSLESS)
    frames = [
        Frame(
            rgb=rng.integers(0, 255, (_PX, _PX, 3), dtype=np.uint8),
            depth_m=rng.uniform(0.4, 0.6, (_PX, _PX)).astype(np.float32),
            K=np.array([[20.0, 0.0, 8.0], [0.0, 20.0, 8.0], [0.0, 0.0, 1.0]]),
            index=index,
        )
        for index in range(3)
    ]
    write_mcap(folder / "loss.mcap", [packer.pack(frame, arrived_ns=frame.index) for frame in frames], {})


def _read_mcap(folder: Path, rng: Rng) -> None:
    with McapScene(folder / "loss.mcap") as scene:
        for frame_id in scene.frame_ids:
            with suppress(StormEdgeError):
                scene.frame(frame_id)
        scene.frame(scene.frame_ids[0])


def _write_run(folder: Path) -> None:
    line = {
        "frame": 0, "stamp_ns": 0, "object": "mug", "state": "TRACKING", "T_cam_obj": _POSE.tolist(),
        "confidence": 0.9, "pose_age_ms": 0.0, "latency_ms": {"track": 1.0},
    }  # fmt: skip
    (folder / "poses.jsonl").write_text("".join(json.dumps({**line, "frame": k}) + "\n" for k in range(3)))
    (folder / "summary.json").write_text('{"scene": "000001", "objects": ["mug"]}', encoding="utf-8")


def _write_csv(folder: Path) -> None:
    estimates = [BopEstimate(scene_id=1, image_id=k, object_id=1, score=0.5, T_cam_obj=_POSE) for k in range(3)]
    write_bop_csv(folder / "results.csv", estimates)


def _write_masks(folder: Path) -> None:
    entry = {
        "frame": 0, "object": "mug", "index": 0, "found": True, "score": 0.9, "box": [1, 2, 3, 4],
        "mask": "masks/000000_000000.png", "time_ms": 1.0,
    }  # fmt: skip
    content = {"scene": "000001", "results": [entry, {**entry, "frame": 1}], "encode_ms": {"0": 1.0, "1": 2.0}}
    (folder / "summary.json").write_text(json.dumps(content), encoding="utf-8")


class _AnyScene:
    path = Path("000001")
    frame_ids = (0, 1, 2)


def _read_run(folder: Path, rng: Rng) -> None:
    check_run(folder, _AnyScene())  # type: ignore[arg-type]
    read_predictions(folder)


def _write_onnx(folder: Path) -> None:
    """A refiner that answers means, by itself and in a bundle with its export."""
    shape = ["n", 6, 80, 80]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("rendered", "observed")]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("trans", "rot")]
    weight = onnx.numpy_helper.from_array(np.full((6, 3), 0.1, np.float32), "w")
    nodes = [
        helper.make_node("Sub", ["rendered", "observed"], ["d"]),
        helper.make_node("ReduceMean", ["d"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["trans"]),
        helper.make_node("Tanh", ["trans"], ["rot"]),
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "refine.onnx"))
    write_manifest(folder, name="b", size_px=80, preset="default", networks={"refine": "refine.onnx"})
    file = GraphFile(file="refine.onnx", sha256=file_sha256(folder / "refine.onnx"))
    content = NetworkExport(
        recipe_sha256="0",
        calibration_sha256=None,
        graphs={"refine": GraphExport(profiles={"track": (1, 1, 2)}, files={Precision.FP32: file})},
    )
    write_network_export(folder, "refine", content)


def _read_onnx(folder: Path, rng: Rng) -> None:
    if rng.random() < 0.3:
        take_published(folder / "refine.onnx", folder / "taken.onnx")
        return
    exported_graphs(folder, "fp32")
    engine = NetworkBundle.load(folder).open("refine")
    rows = np.zeros((1, 6, 80, 80), np.float32)
    engine.run({"rendered": rows, "observed": rows})


def _write_object(folder: Path) -> None:
    _write_ply(folder)
    onboard(folder / "model.ply", "mm", view_subdivisions=0).save(folder / "object")
    for path in (folder / "model.ply", folder / "image.png"):
        path.unlink()


def _read_object(folder: Path, rng: Rng) -> None:
    ObjectBundle.load(folder / "object")
    for network in stored_embeddings(folder / "object"):
        read_stored_embedding(folder / "object", network)


def _write_profile(folder: Path) -> None:
    source = Path(__file__).resolve().parents[2] / "runtime" / "cpu.yaml"
    (folder / "cpu.yaml").write_bytes(source.read_bytes())


def _write_recipe(folder: Path) -> None:
    source = Path(__file__).resolve().parents[2] / "export" / "nano-refine.yaml"
    (folder / "recipe.yaml").write_bytes(source.read_bytes())


def _write_calibration(folder: Path) -> None:
    ramp = np.linspace(0.0, 1.0, 8 * 8, dtype=np.float32).reshape(1, 1, 8, 8).repeat(3, axis=0)
    write_set(
        folder / "set",
        bundle="b",
        rows={"refine": {"rendered": ramp, "observed": ramp}},
        sources={"refine": [RowSource(scene="s", object_id="mug", state="track", distance_m=0.5)] * 3},
        onnx_sha256={"refine": "0" * 64},
    )


def _read_calibration(folder: Path, rng: Rng) -> None:
    load_set(folder / "set").rows("refine", "0" * 64, most=2)


def _write_engines(folder: Path) -> None:
    key = {
        "graph": "refine", "precision": "fp16", "sm": "sm87", "gpu": "any", "flavour": "tensorrt", "version": "10",
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    place = folder / "fp16" / "sm87"
    place.mkdir(parents=True)
    names = ("build_seconds", "build_peak_bytes", "build_estimate_bytes", "cosine_to_fp32")
    write_engine(place / f"refine-{digest[:12]}.engine", b"engine", {"key": key, **dict.fromkeys(names, 1.0)})


def _read_engines(folder: Path, rng: Rng) -> None:
    write_engine_report(folder)
    read_engine(next(folder.glob("*/*/*.engine")))


def _write_record(folder: Path) -> None:
    content = {
        "format": 1, "mode": "track", "rate_hz": 30.0, "locate": "beside",
        "tracker": {"kind": "stepwise"}, "device": {"kind": "cpu", "name": "x", "compute_capability": None},
        "machine": {"cpu": "x", "usable_cores": 2}, "bundle": {"name": "nano", "networks": {}},
        "object": {"id": "mug", "face_count": 9}, "board": {"after": {"power_mode": None}},
        "recording": {"name": "a", "frame_count": 3, "size_px": [480, 640]},
        "phases": [{"name": "track", "samples_ms": {"frame": [1.0, 2.0]}}],
    }  # fmt: skip
    (folder / "bench.json").write_text(json.dumps(content), encoding="utf-8")


def _write_checkpoint(folder: Path) -> None:
    import torch

    content = {"network": "refine", "nano": {"stem": 4}, "ema": {"net.a": torch.zeros(4)}}
    torch.save({**content, "model": {"a": torch.zeros(4)}}, folder / "checkpoint.pt")


def _read_checkpoint(folder: Path, rng: Rng) -> None:
    state_dict_of(read_checkpoint(folder / "checkpoint.pt"), folder / "checkpoint.pt")


def _read_yaml_twice(folder: Path, rng: Rng) -> None:
    """The profile, and each of its lines as a `--set`."""
    for line in (folder / "cpu.yaml").read_text(encoding="utf-8", errors="replace").splitlines()[-8:]:
        key, _, value = line.partition(":")
        with suppress(StormEdgeError):
            read_profile(Path(__file__).resolve().parents[2] / "runtime" / "cpu.yaml", [f"{key}={value}"])
    read_profile(folder / "cpu.yaml")


READERS: dict[str, Reader] = {
    "ply": Reader(write=_write_ply, read=_read_model),
    "binary_ply": Reader(write=_write_binary_ply, read=_read_model),
    "obj": Reader(write=_write_obj, read=_read_model),
    "glb": Reader(write=_write_glb, read=_read_model),
    "stl": Reader(write=_write_stl, read=_read_model),
    "text_stl": Reader(write=_write_text_stl, read=_read_model),
    "scene": Reader(write=_write_scene, read=_read_scene),
    "mcap": Reader(write=_write_mcap, read=_read_mcap),
    "poses": Reader(write=_write_run, read=_read_run),
    "csv": Reader(write=_write_csv, read=lambda folder, rng: read_predictions(folder / "results.csv")),
    "masks": Reader(write=_write_masks, read=lambda folder, rng: read_mask_results(folder)),
    "onnx": Reader(write=_write_onnx, read=_read_onnx, also=("manifest.json", "recipes/refine.json")),
    "object": Reader(write=_write_object, read=_read_object, also=("object/object.json",)),
    "profile": Reader(write=_write_profile, read=_read_yaml_twice),
    "recipe": Reader(write=_write_recipe, read=lambda folder, rng: read_recipe(folder / "recipe.yaml")),
    "calibration": Reader(write=_write_calibration, read=_read_calibration, also=("set/manifest.json",)),
    "engines": Reader(write=_write_engines, read=_read_engines),
    "record": Reader(write=_write_record, read=lambda folder, rng: read_record(folder)),
    "checkpoint": Reader(write=_write_checkpoint, read=_read_checkpoint),
}
"""By name."""


def put_hashes_right(manifest: Path, before: dict[str, str]) -> None:
    """Write the new hashes of files into a manifest that holds their old ones.

    Args:
        manifest: The JSON file.
        before: Old hash by file, relative to the manifest's folder or the one above it.
    """
    text = manifest.read_bytes()
    for name, old in before.items():
        for place in (manifest.parent / name, manifest.parent.parent / name):
            if place.is_file():
                text = text.replace(old.encode(), hashlib.sha256(place.read_bytes()).hexdigest().encode())
    manifest.write_bytes(text)


def sound(name: str, folder: Path) -> None:
    """Fill a folder with sound files of a reader.

    Raises:
        StormEdgeError: The reader refuses them: a fault of this module.
    """
    folder.mkdir(parents=True)
    READERS[name].write(folder)
