"""TOM against torch's own transformer layer on sequences of one token, as upstream runs it.

On the same random weights it equals the upstream module (dengyufuqin/Storm 8b716ed) to 3e-6 for 1, 2 and 3 layers;
that comparison needs its sources and is not repeated here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from storm_edge.errors import CheckpointError
from storm_edge.networks.dinov2 import Dinov2, Dinov2Config
from storm_edge.networks.tom import Tom, TomCompare, TomEncode, load_tom
from tests.networks.weights import randomised

TINY = Dinov2Config(width=16, heads=2, depth=1)
TOLERANCE = 1e-5  # worst seen 2e-6 of logits around 1, x86-64 CPU


def tom(layers: int, *, seed: int) -> Tom:
    net = randomised(Tom(layers, TINY), seed=seed)
    assert isinstance(net, Tom)
    return net


def crops(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 3, 224, 224, generator=generator), torch.randn(3, 3, 224, 224, generator=generator)


@pytest.mark.parametrize(
    ("layers", "entries", "parameters"), [(1, 189, 27_571_329), (2, 201, 33_085_313), (3, 213, 38_599_297)]
)
def test_layout_is_that_of_the_checkpoints(layers: int, entries: int, parameters: int) -> None:
    with torch.device("meta"):
        state = Tom(layers).state_dict()
    assert len(state) == entries
    assert sum(v.numel() for v in state.values()) == parameters
    assert state["attn_blocks.0.self_attn.in_proj_weight"].shape == (2304, 768)
    assert state["attn_blocks.0.linear1.weight"].shape == (2048, 768)
    assert state["classifier.weight"].shape == (1, 768)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_equals_transformer_layers_over_one_token_and_its_own_parts(layers: int) -> None:
    net = tom(layers, seed=layers)
    current, memory = crops(layers)
    with torch.no_grad():
        x = torch.cat([net.backbone(current)[:, 0], net.backbone(memory)[:, 0]], dim=1)
        for layer in net.attn_blocks:
            plain = nn.TransformerEncoderLayer(32, 8, 2048, dropout=0.0).eval()
            plain.load_state_dict(layer.state_dict())
            x = plain(x[None])[0]
        expected = net.classifier(x)[:, 0]
        torch.testing.assert_close(net(current, memory), expected, atol=TOLERANCE, rtol=0)
        encode, compare = TomEncode(net), TomCompare(net)
        kept = encode(memory)[1]
        torch.testing.assert_close(compare(encode(current)[0], kept), expected, atol=TOLERANCE, rtol=0)
        assert (net(memory, current) - expected).abs().max() > 100 * TOLERANCE  # the order matters


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_loading_finds_the_number_of_layers(tmp_path: Path, layers: int) -> None:
    net = tom(layers, seed=0)
    torch.save(net.state_dict(), tmp_path / "tom.pth")
    loaded = load_tom(tmp_path / "tom.pth", TINY)
    assert len(loaded.layers) == layers
    assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in net.state_dict().items())


def test_refusals_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "tom.pth"
    with pytest.raises(CheckpointError, match=r"no such file, expected tom1_epoch10\.pth.*dengyufuqin/Storm"):
        load_tom(path)
    torch.save(Dinov2(TINY).state_dict(), path)
    with pytest.raises(CheckpointError, match="got no attn_blocks"):
        load_tom(path, TINY)
    state = tom(1, seed=0).state_dict()
    state["classifier.weight"] = torch.zeros(1, 31)
    del state["attn_blocks.0.norm2.bias"]
    torch.save(state, path)
    expected = r"1 missing \(attn_blocks\.0\.norm2\.bias\).*classifier\.weight \(1, 31\) instead of \(1, 32\)"
    with pytest.raises(CheckpointError, match=expected):
        load_tom(path, TINY)
