"""The graphs of SAM2 at 256 px: what they take and are made of; each is run against torch as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from storm_edge.errors import BackendError
from storm_edge.export.networks.sam2 import export_sam2
from storm_edge.export.parity import PARITY
from storm_edge.networks.sam2 import build_sam2
from tests.export.graphs import operations, shapes


def test_graphs_are_exported(tmp_path: Path) -> None:
    try:
        net = build_sam2("2.1-tiny", size_px=256)
    except BackendError:
        pytest.skip("the sam2 package is not installed")
    torch.manual_seed(0)
    parity = export_sam2(net, tmp_path)
    assert max(parity.values()) <= PARITY
    encoder, decoder = tmp_path / "sam2_encoder.onnx", tmp_path / "sam2_decoder.onnx"
    features: dict[str, list[int | str]] = {
        "image_embed": [1, 256, 16, 16],
        "high_res_0": [1, 32, 64, 64],
        "high_res_1": [1, 64, 32, 32],
    }
    assert shapes(encoder) == ({"image": [1, 3, 256, 256]}, features)
    outputs: dict[str, list[int | str]] = {"masks": [1, 4, 64, 64], "iou": [1, 4], "present": [1, 1]}
    assert shapes(decoder) == ({**features, "prompts": [1, 3, 2]}, outputs)
    for path in (encoder, decoder):
        assert not operations(path).keys() & {"Shape", "If", "ScatterND", "Where", "ReduceMean"}
    assert operations(encoder)["Conv"] == 5  # patches, and one lateral per scale: two chains multiplied out
    assert operations(encoder)["Resize"] == 1  # the one step from coarse to fine; positions are a constant
