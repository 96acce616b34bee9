"""The nano segmenter's and verifier's files compute what torch does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import EngineError
from storm_edge.export.networks.nano import export_nano_som, export_nano_tom
from storm_edge.networks.nano_som import NanoSom
from storm_edge.networks.nano_tom import NanoTom, NanoTomConfig

SMALL_TOM = NanoTomConfig(stem=8, encoder=8, middle=8, top=8, reduced=4, features=8, hidden=8)


def test_the_files_compute_what_torch_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    som, tom = NanoSom().eval(), NanoTom(SMALL_TOM).eval()
    parity = export_nano_som(som, tmp_path) | export_nano_tom(tom, tmp_path)
    assert max(parity.values()) < 1e-4
    files = {graph: f"{graph}.onnx" for graph in parity}
    write_manifest(tmp_path, name="nano", size_px=80, preset="default", networks=files)
    bundle = NetworkBundle.load(tmp_path)
    assert set(bundle.networks) == {"som_reference", "som_query", "som_head", "tom_encode", "tom_compare"}
    rng = np.random.default_rng(0)
    image, objects = rng.random((1, 8, 120, 160), np.float32), rng.random((1, 5, 60, 80), np.float32)
    views = rng.random((1, 16, 8, 32, 32), np.float32)
    cache = bundle.open("som_reference").run({"views": views})
    maps = bundle.open("som_query").run({"image": image})
    out = bundle.open("som_head").run({**maps, **cache, "objects": objects})
    with torch.no_grad():
        mask, present = som(*(torch.from_numpy(x) for x in (image, objects[None], views[None])))
    np.testing.assert_allclose(out["mask"], mask[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(out["present"], present[0].numpy(), atol=1e-4)


def test_what_a_bundle_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "any.onnx").write_bytes(b"")
    files = dict.fromkeys(("tom_encode", "tom_compare"), "any.onnx")
    write_manifest(tmp_path, name="part", size_px=80, preset="default", networks=files)
    bundle = NetworkBundle.load(tmp_path)
    assert (bundle.name, bundle.size_px, set(bundle.networks)) == ("part", 80, {"tom_encode", "tom_compare"})
    with pytest.raises(EngineError, match="som_query"):
        bundle.open("som_query")
