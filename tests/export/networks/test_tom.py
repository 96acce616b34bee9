"""The graphs of a small TOM: any number of crops, and the logit they give together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from storm_edge.export.networks.tom import export_similarity, export_tom
from storm_edge.export.parity import PARITY
from storm_edge.networks.dinov2 import Dinov2, Dinov2Config
from storm_edge.networks.tom import Tom
from tests.export.graphs import assert_static, shapes
from tests.networks.weights import randomised

ENCODER = Dinov2Config(width=16, heads=2, depth=1)


def test_graphs_together_give_the_logit(tmp_path: Path) -> None:
    net = randomised(Tom(2, ENCODER), seed=0)
    assert isinstance(net, Tom)
    parity = export_tom(net, tmp_path)
    assert max(parity.values()) <= PARITY
    encode, compare = tmp_path / "tom_encode.onnx", tmp_path / "tom_compare.onnx"
    assert_static(encode)
    assert_static(compare)
    vectors = {"current": ["n", 32], "memory": ["n", 32]}
    assert shapes(encode) == ({"crop": ["n", 3, 224, 224]}, vectors)
    assert shapes(compare) == (vectors, {"logit": ["n"]})

    now, then = torch.randn(2, 3, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    encoder = ort.InferenceSession(str(encode))
    current, _ = encoder.run(None, {"crop": now.numpy()})
    _, memory = encoder.run(None, {"crop": then.numpy()})
    (logit,) = ort.InferenceSession(str(compare)).run(None, {"current": current, "memory": memory})
    with torch.no_grad():
        np.testing.assert_allclose(logit, net(now, then).numpy(), atol=1e-5)  # worst seen 2e-6


def test_the_similarity_of_crops_is_the_cosine_of_their_features(tmp_path: Path) -> None:
    net = randomised(Dinov2(ENCODER), seed=0)
    assert isinstance(net, Dinov2)
    parity = export_similarity(net, tmp_path)
    assert parity.keys() == {"similarity"}
    assert max(parity.values()) <= PARITY
    path = tmp_path / "similarity.onnx"
    assert_static(path)
    assert shapes(path) == ({"crop": ["n", 3, 224, 224]}, {"embedding": ["n", 16]})
    crops = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    (embedding,) = ort.InferenceSession(str(path)).run(None, {"crop": crops.numpy()})
    with torch.no_grad():
        features = net(crops)[:, 0]
    wanted = torch.nn.functional.cosine_similarity(features[:1], features[1:]).item()
    np.testing.assert_allclose(embedding[0] @ embedding[1], wanted, atol=1e-6)
