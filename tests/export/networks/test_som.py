"""The graphs of a small SOM: what they take, what they are made of, and the mask they give together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from storm_edge.errors import ConfigError
from storm_edge.export.networks.som import cache_shapes, export_som
from storm_edge.export.parity import PARITY
from storm_edge.networks.dinov2 import Dinov2Config
from storm_edge.networks.som import Som, SomConfig
from tests.export.graphs import assert_static, shapes
from tests.networks.weights import randomised

CONFIG = SomConfig(
    encoder=Dinov2Config(width=24, heads=2, depth=1, registers=1),
    depth=2,
    heads=4,
    hidden=16,
    iou_hidden=8,
    views=2,
    context=5,
)


def test_full_size_cache_is_that_of_the_bundle() -> None:
    assert cache_shapes(SomConfig()) == dict.fromkeys(["k0", "v0", "k1", "v1", "k2", "v2"], (1, 8, 4096, 32))


def test_graphs_together_give_the_mask(tmp_path: Path) -> None:
    net = randomised(Som(CONFIG), seed=0)
    assert isinstance(net, Som)
    parity = export_som(net, tmp_path, with_context=True)
    assert parity.keys() == {"som_reference", "som_query", "som_head"}
    assert max(parity.values()) <= PARITY
    for graph in parity:
        assert_static(tmp_path / f"{graph}.onnx")
    cache = {name: list(shape) for name, shape in cache_shapes(CONFIG).items()}
    assert shapes(tmp_path / "som_reference.onnx") == ({"views": [2, 3, 224, 224]}, cache)
    assert shapes(tmp_path / "som_query.onnx") == ({"image": [1, 3, 224, 224]}, {"tokens": [1, 256, 24]})
    head_inputs = {"tokens": [1, 256, 24], **cache, "context": [1, 5]}
    assert shapes(tmp_path / "som_head.onnx") == (head_inputs, {"logits": [1, 1, 64, 64]})

    generator = torch.Generator().manual_seed(1)
    image, views, context = (
        torch.randn(*s, generator=generator) for s in ((1, 3, 224, 224), (2, 3, 224, 224), (1, 5))
    )
    reference, query, head = (ort.InferenceSession(str(tmp_path / f"{g}.onnx")) for g in parity)
    kept = dict(zip(cache, reference.run(None, {"views": views.numpy()}), strict=True))
    (tokens,) = query.run(None, {"image": image.numpy()})
    (logits,) = head.run(None, {"tokens": tokens, **kept, "context": context.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, net(image, views, context).numpy(), atol=5e-6)  # worst seen 5e-7


def test_context_of_a_network_without_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="language context: got a SOM trained without"):
        export_som(Som(SomConfig(encoder=CONFIG.encoder)), tmp_path, with_context=True)
