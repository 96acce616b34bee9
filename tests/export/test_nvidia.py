"""NVIDIA's published files, end to end: stand-ins with their names and layout, shipped recipes, a registration."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.scene import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.export.recipe import read_recipe
from storm_edge.export.run import ExportOptions, export_bundle
from storm_edge.live.schedules import default_schedule
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.onboard import onboard
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.register.config import UPSTREAM
from storm_edge.pipeline.register.registrar import Registrar
from tests.engines import tiny
from tests.tiny_scene import MODEL, write_tiny_scene

VARIANTS = Path(__file__).resolve().parents[2] / "export" / "variants"
SIZE_PX = 32
HYPOTHESES = 7


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> NetworkBundle:
    """The bundle that the recipes make of files as NVIDIA's are called and laid out, small."""
    folder = tmp_path_factory.mktemp("published")
    recipes, weights = folder / "export" / "variants", folder / "weights"
    recipes.mkdir(parents=True)
    weights.mkdir()
    names = ("input1", "input2", "output1", "output2")
    tiny.refine(weights / "refine_model.onnx", size_px=SIZE_PX, names=names, channels_last=True)
    tiny.score_joint(weights / "score_model.onnx", size_px=SIZE_PX)
    for name in ("nvidia-refine.yaml", "nvidia-score.yaml"):
        shutil.copyfile(VARIANTS / name, recipes / name)
    read = [
        read_recipe(path).model_copy(update={"size_px": SIZE_PX, "gates": {}}) for path in sorted(recipes.iterdir())
    ]
    export_bundle(read, folder / "bundle", name="nvidia", options=ExportOptions(held_out=4, tensors_only=True))
    return NetworkBundle.load(folder / "bundle")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> NetworkBundle:
    """The same functions in the layout of our own exports."""
    folder = tmp_path_factory.mktemp("ours")
    tiny.refine(folder / "refine.onnx", size_px=SIZE_PX)
    tiny.score_features(folder / "score_features.onnx", size_px=SIZE_PX)
    tiny.score_attention(folder / "score_attention.onnx")
    files = {name: f"{name}.onnx" for name in ("refine", "score_features", "score_attention")}
    write_manifest(folder, name="ours", size_px=SIZE_PX, preset="parity", networks=files, tier="full")
    return NetworkBundle.load(folder)


def test_they_register_as_our_own_exports_of_the_same_networks_do(
    published: NetworkBundle, ours: NetworkBundle, tmp_path: Path
) -> None:
    assert default_schedule(published.tier, published.networks).value == "hybrid"
    scene = BopScene(write_tiny_scene(tmp_path / "scene"))
    item = onboard(scene.path / MODEL, "mm", view_subdivisions=1)
    item = replace(item, rotation_grid=item.rotation_grid[::40][:HYPOTHESES])
    frame = scene.frame(scene.frame_ids[0])
    buffers, mask = FrameBuffers(*frame.size_px), scene.mask_visib(scene.frame_ids[0], 0)
    buffers.upload(frame)
    found = {}
    for networks in (published, ours):
        config = replace(UPSTREAM, chunk=3)
        registrar = Registrar(ObjectOnDevice(item), networks, config=config)
        found[networks.name] = registrar.register(buffers, mask)
    np.testing.assert_allclose(found["nvidia"].T_cam_centre, found["ours"].T_cam_centre, atol=1e-6)
    np.testing.assert_allclose(found["nvidia"].ranked_scores, found["ours"].ranked_scores, atol=1e-5)
    assert published.launch_counts.by_network()["score"] == ours.launch_counts.by_network()["score_attention"] >= 1
    assert published.launch_counts.by_network()["refine"] % 15 == 0  # 3 chunks, 5 iterations
