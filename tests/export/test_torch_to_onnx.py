"""Exported files: the same numbers, one size that varies, and nothing of the machine in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import EngineError, OutputError
from storm_edge.export import torch_to_onnx as export
from storm_edge.export.networks.pose import export_refine, export_score
from storm_edge.networks.foundationpose import SIZE_PX as OFFICIAL_SIZE_PX
from storm_edge.networks.foundationpose import RefineNet, ScoreNet
from storm_edge.networks.nano import SIZE_PX, NanoConfig, NanoRefineNet, NanoScoreNet
from storm_edge.pipeline.refine.set_scorer import open_scorer

TINY = NanoConfig(stem=4, encoder=8, cells=8, context=8, features=8)
# Largest difference from torch: 1e-6 for nano, 3e-6 for the official networks (CPU).
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny untrained networks, exported."""
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("bundle")
    score = NanoScoreNet(TINY).eval()
    parity = export_refine(NanoRefineNet(TINY).eval(), out) | export_score(score.features, score.attention, out)
    assert set(parity) == {"refine", "score_features", "score_attention"}
    assert max(parity.values()) < TOLERANCE
    files = {graph: f"{graph}.onnx" for graph in parity}
    write_manifest(out, name="tiny", size_px=SIZE_PX, preset="default", networks=files)
    return out


def test_an_exported_bundle_loads_and_runs_in_any_batch(bundle: Path, rng: np.random.Generator) -> None:
    networks = NetworkBundle.load(bundle)
    engine = networks.open("refine")
    for count in (1, 4):
        rendered, observed = rng.random((2, count, 6, SIZE_PX, SIZE_PX), dtype=np.float32)
        out = engine.run({"rendered": rendered, "observed": observed})
        assert out["trans"].shape == out["rot"].shape == (count, 3)
    scorer = open_scorer(networks, capacity=5)
    scorer.bind(*rng.random((2, 5, 6, SIZE_PX, SIZE_PX), dtype=np.float32))
    scorer.add(5)
    assert scorer.scores().shape == (5,)


def test_files_hold_the_graph_and_nothing_of_the_machine(bundle: Path) -> None:
    """The exporter notes a stack trace on every node; ours must not ship the paths in them."""
    for path in bundle.glob("*.onnx"):
        model = onnx.load(path)
        assert not any(len(node.metadata_props) or node.doc_string for node in model.graph.node)
        assert b"site-packages" not in path.read_bytes()
        assert str(Path(export.__file__).parent).encode() not in path.read_bytes()
        assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
        for value in (*model.graph.input, *model.graph.output):
            first, *others = value.type.tensor_type.shape.dim
            assert first.dim_param == "n"
            assert all(d.dim_value > 0 for d in others)


def test_a_file_that_computes_something_else_is_not_kept(tmp_path: Path) -> None:
    class Restless(nn.Module):
        """Answers differently each time it is asked in torch, so no graph can agree with it."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("offset", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.offset

    module = Restless()
    original = export._difference

    def changed(module: nn.Module, *args: object, **more: object) -> float:
        module.offset += 1.0  # type: ignore[operator]
        return original(module, *args, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_difference", changed)
        with pytest.raises(EngineError, match="a difference of"):
            export.export_module(module, tmp_path / "net.onnx", inputs={"x": (3,)}, outputs=["y"])
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="choose another --out"):
        export.export_module(module, tmp_path / "absent" / "net.onnx", inputs={"x": (3,)}, outputs=["y"])


def test_official_networks_export_with_a_batch_that_varies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights in the official layout; a batch other than the traced one (2) must agree with torch.

    Upstream's own code bakes the traced batch into the graph (reference-networks 5.8).
    """
    monkeypatch.setattr(export, "_BATCHES", ((1,), (3,)))  # 11 GMAC a pair: no more than it takes
    torch.manual_seed(0)
    assert export_refine(RefineNet(), tmp_path, size_px=OFFICIAL_SIZE_PX)["refine"] < TOLERANCE
    attention = ScoreNet().attention
    assert (
        export.export_module(
            attention, tmp_path / "score_attention.onnx", inputs={"features": (512,)}, outputs=["score"]
        )
        < TOLERANCE
    )
