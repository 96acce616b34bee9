"""Every graph of the nano tier, in every precision, is accepted by TensorRT-RTX for SM86 and SM89; no GPU needed.

Calibration rows are captured over a small rendered scene; the gates are open, they have tests of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.scene import BopScene
from storm_edge.calib.collect import CalibrationRecording, collect
from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt.api import TensorRt
from storm_edge.engines.backends.tensorrt.build import build_engine
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.exported_graphs import exported_graphs
from storm_edge.export.recipe import Gates, Recipe, Source, TensorGate, read_recipe
from storm_edge.export.run import ExportOptions, export_bundle
from storm_edge.objects.onboard import onboard
from tests.engines.tensorrt import package
from tests.tiny_scene import MODEL, write_tiny_scene

RECIPES = Path(__file__).resolve().parents[2] / "export"
GRAPHS = (
    "refine",
    "score_features",
    "score_attention",
    "som_reference",
    "som_query",
    "som_head",
    "tom_encode",
    "tom_compare",
)
OPEN = Gates(tensors=TensorGate(cosine=-1.0, max_error=1e12))


def without_sweep(recipe: Recipe, bundle: Path) -> Recipe:
    """The recipe on graphs that are exported, its gates open, all INT8 candidates at once."""
    graphs = {
        name: graph.model_copy(update={"int8": graph.int8 and graph.int8.model_copy(update={"sweep": False})})
        for name, graph in recipe.graphs.items()
    }
    source = Source(bundle=str(bundle))
    return recipe.model_copy(update={"graphs": graphs, "source": source, "gates": {"fp16": OPEN, "int8": OPEN}})


@pytest.fixture(scope="module")
def api() -> TensorRt:
    return package("tensorrt_rtx")


@pytest.fixture(scope="module")
def bundle(api: TensorRt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All nano networks in all precisions."""
    folder = tmp_path_factory.mktemp("nano")
    read = [read_recipe(path) for path in sorted(RECIPES.glob("nano-*.yaml"))]
    assert [r.network for r in read] == ["refine", "score", "som", "tom"]
    export_bundle(read, folder / "read", name="nano", options=ExportOptions(held_out=4, tensors_only=True))
    ready = [without_sweep(recipe, folder / "read") for recipe in read]
    export_bundle(ready, folder / "fp32", name="nano", options=ExportOptions(held_out=4, tensors_only=True))
    scene = write_tiny_scene(folder / "scene")
    recording = CalibrationRecording(
        scene=BopScene(scene), objects=[onboard(scene / MODEL, "mm", view_subdivisions=1)], name="scene"
    )
    rows = collect([recording], NetworkBundle.load(folder / "fp32"), folder / "set")
    export_bundle(
        ready, folder / "all", name="nano", calibration=rows, options=ExportOptions(held_out=4, tensors_only=True)
    )
    return folder / "all"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-fp16"])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_compiles(bundle: Path, api: TensorRt, name: str, precision: str) -> None:
    (graph,) = (g for g in exported_graphs(bundle, precision) if g.graph == name)
    first = dict(list(graph.profiles.items())[:1])  # one profile of those a robot gets: the same layers
    for sm in ("sm86", "sm89"):
        built = build_engine(api, graph.path, profiles=first, target=GpuTarget(sm=sm, gpu="any", system="any"))
        assert len(built.data) > 10_000


def test_every_precision_runs_on_the_cpu_and_agrees(bundle: Path, rng: np.random.Generator) -> None:
    """INT8 without a gate: a coarse bound, that nothing is wired wrongly."""
    shapes = {"current": (3, 96), "memory": (3, 96)}
    inputs = {name: rng.random(shape, dtype=np.float32) for name, shape in shapes.items()}
    logits = [NetworkBundle.load(bundle / p).open("tom_compare").run(inputs)["logit"] for p in (".", "fp16", "int8")]
    for other in logits[1:]:
        np.testing.assert_allclose(other, logits[0], atol=0.05)
