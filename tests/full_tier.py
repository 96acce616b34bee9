"""A network bundle of tier full that runs in milliseconds and whose right answers are known by hand, and its scene.

SOM marks what has the mean colour of the views, SAM2 marks what is orange wherever it is asked, TOM thinks crops the
same whose mean colours are near. The scene is an orange and a blue box before a grey wall. Where it has them,
RefineNet leaves every pose where it is, and ScoreNet compares the pictures' means.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from onnx import helper

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from tests.engines.tiny import Shape, save, score_attention, score_features

K = np.array([[300.0, 0.0, 159.5], [0.0, 300.0, 119.5], [0.0, 0.0, 1.0]])
SIZE_PX = (240, 320)
ORANGE, BLUE = (0.9, 0.45, 0.1), (0.1, 0.3, 0.9)
SAM2_PX = 128
CROP_PX = 80
CONTEXT = 5

_GREY = ((0.5 - IMAGENET_MEAN) / IMAGENET_STD).astype(np.float32)
_VIEWS = [f"{kind}{block}" for block in range(3) for kind in "kv"]


def write_full_bundle(
    folder: Path,
    *,
    context: bool = False,
    sam2: bool = True,
    tom: str = "pair",
    pose: bool = False,
    preset: Literal["default", "parity"] = "default",
    name: str = "full",
) -> Path:
    """Write the bundle; ``tom`` is ``pair``, ``similarity`` or ``none``, ``pose`` adds RefineNet and ScoreNet."""
    folder.mkdir(parents=True, exist_ok=True)
    _som(folder, context=context, offset=0.0 if name == "full" else 1e-3)
    networks = ["som_reference", "som_query", "som_head"]
    if sam2:
        _sam2(folder)
        networks += ["sam2_encoder", "sam2_decoder"]
    if tom == "pair":
        _tom(folder)
        networks += ["tom_encode", "tom_compare"]
    elif tom == "similarity":
        _similarity(folder)
        networks += ["similarity"]
    if pose:
        _pose(folder)
        networks += ["refine", "score_features", "score_attention"]
    files = {network: f"{network}.onnx" for network in networks}
    write_manifest(folder, name=name, size_px=CROP_PX, preset=preset, networks=files, tier="full")
    return folder


def _som(folder: Path, *, context: bool, offset: float) -> None:
    views: dict[str, Shape] = {name: [1, 1, 1, 3] for name in _VIEWS}
    save(
        folder / "som_reference.onnx",
        [
            helper.make_node("ReduceMean", ["views"], ["mean"], axes=[0, 2, 3], keepdims=0),
            helper.make_node("Sub", ["mean", "grey"], ["tint"]),
            helper.make_node("Reshape", ["tint", "shape"], ["k0"]),
            *[helper.make_node("Identity", ["k0"], [name]) for name in _VIEWS[1:]],
        ],
        {"views": [16, 3, 224, 224]},
        views,
        grey=_GREY + np.float32(offset),
        shape=np.array([1, 1, 1, 3]),
    )
    save(
        folder / "som_query.onnx",
        [
            helper.make_node("AveragePool", ["image"], ["cells"], kernel_shape=[14, 14], strides=[14, 14]),
            helper.make_node("Reshape", ["cells", "flat"], ["rows"]),
            helper.make_node("Transpose", ["rows"], ["turned"], perm=[0, 2, 1]),
            helper.make_node("Sub", ["turned", "grey"], ["tokens"]),
        ],
        {"image": [1, 3, 224, 224]},
        {"tokens": [1, 256, 3]},
        flat=np.array([1, 3, 256]),
        grey=_GREY,
    )
    inputs: dict[str, Shape] = {"tokens": [1, 256, 3], **views}
    plus = "zero"
    nodes = []
    if context:
        inputs["context"] = [1, CONTEXT]
        nodes = [helper.make_node("ReduceMean", ["context"], ["plus"], axes=[0, 1], keepdims=0)]
        plus = "plus"
    save(
        folder / "som_head.onnx",
        [
            *nodes,
            helper.make_node("Reshape", ["k0", "column"], ["key"]),
            helper.make_node("MatMul", ["tokens", "key"], ["product"]),
            helper.make_node("ReduceL2", ["tokens"], ["length"], axes=[2], keepdims=1),
            helper.make_node("ReduceL2", ["key"], ["key_length"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["length", "key_length"], ["lengths"]),
            helper.make_node("Add", ["lengths", "little"], ["divisor"]),
            helper.make_node("Div", ["product", "divisor"], ["cosine"]),
            helper.make_node("Sub", ["cosine", "least"], ["above"]),
            helper.make_node("Mul", ["above", "scale"], ["scaled"]),
            helper.make_node("Add", ["scaled", plus], ["shifted"]),
            helper.make_node("Reshape", ["shifted", "map"], ["small"]),
            helper.make_node("Resize", ["small", "", "scales"], ["logits"], mode="nearest"),
        ],
        inputs,
        {"logits": [1, 1, 64, 64]},
        column=np.array([1, 3, 1]),
        little=np.float32([0.2]),
        least=np.float32([0.5]),
        scale=np.float32([12.0]),
        zero=np.float32([0.0]),
        map=np.array([1, 1, 16, 16]),
        scales=np.float32([1, 1, 4, 4]),
    )


def _sam2(folder: Path) -> None:
    fine, coarse = SAM2_PX // 4, SAM2_PX // 16
    features: dict[str, Shape] = {
        "image_embed": [1, 1, coarse, coarse],
        "high_res_0": [1, 1, fine, fine],
        "high_res_1": [1, 1, fine // 2, fine // 2],
    }
    pools = [
        helper.make_node("AveragePool", ["difference"], [name], kernel_shape=[n, n], strides=[n, n])
        for name, n in (("image_embed", 16), ("high_res_0", 4), ("high_res_1", 8))
    ]
    save(
        folder / "sam2_encoder.onnx",
        [
            helper.make_node("Mul", ["image", "weight"], ["weighed"]),
            helper.make_node("ReduceSum", ["weighed", "axis"], ["difference"], keepdims=1),
            *pools,
        ],
        {"image": [1, 3, SAM2_PX, SAM2_PX]},
        features,
        weight=np.float32([[[[1.0]], [[0.0]], [[-1.0]]]]),
        axis=np.array([1]),
    )
    save(
        folder / "sam2_decoder.onnx",
        [
            helper.make_node("Sub", ["high_res_0", "least"], ["above"]),
            helper.make_node("Mul", ["above", "scale"], ["orange"]),
            helper.make_node("Concat", ["orange"] * 4, ["masks"], axis=1),
            helper.make_node("Identity", ["quality"], ["iou"]),
            helper.make_node("Identity", ["there"], ["present"]),
        ],
        {**features, "prompts": [1, 3, 2]},
        {"masks": [1, 4, fine, fine], "iou": [1, 4], "present": [1, 1]},
        least=np.float32([1.0]),
        scale=np.float32([10.0]),
        quality=np.float32([[0.9, 0.1, 0.1, 0.1]]),
        there=np.float32([[3.0]]),
    )


def _tom(folder: Path) -> None:
    mean = helper.make_node("ReduceMean", ["crop"], ["current"], axes=[2, 3], keepdims=0)
    save(
        folder / "tom_encode.onnx",
        [mean, helper.make_node("Identity", ["current"], ["memory"])],
        {"crop": ["n", 3, 224, 224]},
        {"current": ["n", 3], "memory": ["n", 3]},
    )
    save(
        folder / "tom_compare.onnx",
        [
            helper.make_node("Sub", ["current", "memory"], ["difference"]),
            helper.make_node("ReduceSumSquare", ["difference"], ["distance"], axes=[1], keepdims=0),
            helper.make_node("Sub", ["most", "distance"], ["logit"]),
        ],
        {"current": ["n", 3], "memory": ["n", 3]},
        {"logit": ["n"]},
        most=np.float32([4.0]),
    )


def _pose(folder: Path) -> None:
    shape: Shape = ["n", 6, CROP_PX, CROP_PX]
    nodes = [
        helper.make_node("Sub", ["observed", "rendered"], ["difference"]),
        helper.make_node("ReduceMean", ["difference"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Slice", ["mean", "first", "last", "axis"], ["three"]),
        helper.make_node("Mul", ["three", "nothing"], ["trans"]),
        helper.make_node("Identity", ["trans"], ["rot"]),
    ]
    save(
        folder / "refine.onnx",
        nodes,
        {"rendered": shape, "observed": shape},
        {"trans": ["n", 3], "rot": ["n", 3]},
        first=np.array([0]),
        last=np.array([3]),
        axis=np.array([1]),
        nothing=np.float32([0.0]),
    )
    score_features(folder / "score_features.onnx", size_px=CROP_PX)
    score_attention(folder / "score_attention.onnx")


def _similarity(folder: Path) -> None:
    save(
        folder / "similarity.onnx",
        [
            helper.make_node("ReduceMean", ["crop"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("LpNormalization", ["mean"], ["embedding"], axis=1, p=2),
        ],
        {"crop": ["n", 3, 224, 224]},
        {"embedding": ["n", 3]},
    )


def coloured_box(colour: tuple[float, float, float], size_m: tuple[float, float, float]) -> Mesh:
    """A box of one colour."""
    import trimesh

    box = trimesh.creation.box(size_m)
    corners = np.asarray(box.vertices)[box.faces.reshape(-1)]
    colours = np.tile(np.float32(colour), (len(corners), 1))
    return make_mesh(corners, np.arange(36).reshape(-1, 3), colours=colours)


@dataclass(frozen=True)
class Boxes:
    """The orange box, the blue one, and pictures of them."""

    orange: ObjectBundle
    blue: ObjectBundle
    T_orange: np.ndarray
    T_blue: np.ndarray

    @cached_property
    def orange_item(self) -> ObjectOnDevice:
        """The orange box on the CPU."""
        return ObjectOnDevice(self.orange)

    @cached_property
    def blue_item(self) -> ObjectOnDevice:
        """The blue box on the CPU."""
        return ObjectOnDevice(self.blue)

    def frame(self, T_orange: np.ndarray | None = None, *, without: str = "") -> Frame:
        """Both before a wall 1 m away, or one of them left out."""
        rgb = np.full((*SIZE_PX, 3), 0.5, dtype=np.float32)
        depth = np.full(SIZE_PX, 1.0, dtype=np.float32)
        T_orange = self.T_orange if T_orange is None else T_orange
        for name, bundle, T in (("orange", self.orange, T_orange), ("blue", self.blue, self.T_blue)):
            if name != without:
                seen = render(MeshBuffers.from_mesh(bundle.mesh), T, K, SIZE_PX)
                nearer = (seen.mask[0] > 0) & (seen.depth[0] < depth)
                rgb[nearer], depth[nearer] = seen.colour[0][nearer], seen.depth[0][nearer]
        return Frame(rgb=np.round(rgb * 255).astype(np.uint8), depth_m=depth, K=K, index=0)

    def mask(self, bundle: ObjectBundle, T: np.ndarray) -> np.ndarray:
        """Silhouette of one of them."""
        return render(MeshBuffers.from_mesh(bundle.mesh), T, K, SIZE_PX).mask[0] > 0


def stage_boxes(folder: Path) -> Boxes:
    """Onboard both."""
    bundles = []
    for number, (colour, size_m) in enumerate(((ORANGE, (0.10, 0.14, 0.20)), (BLUE, (0.16, 0.1, 0.12))), start=1):
        path = folder / f"obj_{number:06d}.ply"
        write_ply(path, coloured_box(colour, size_m))
        bundles.append(onboard(path, "mm", view_subdivisions=1))
    T_orange = make_T(exp_so3([0.5, 0.3, 0.1]), [-0.13, 0.02, 0.6])
    T_blue = make_T(exp_so3([-0.4, 0.6, 0.0]), [0.16, -0.05, 0.65])
    return Boxes(bundles[0], bundles[1], T_orange, T_blue)


def load_full(folder: Path) -> NetworkBundle:
    """The bundle, checked."""
    return NetworkBundle.load(folder)
