"""The official networks: layout of the checkpoints, and exactness of every simplification taken.

No official weights are at hand: all tests run on random ones in the official layout.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from storm_edge.errors import CheckpointError
from storm_edge.networks.foundationpose import (
    SIZE_PX,
    WIDTH,
    Attention,
    RefineNet,
    ScoreNet,
    _EncoderLayer,
    load_official,
    sine_positions,
)

# Seen at most 3e-6 on activations up to 4 (CPU).
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(5)


def _randomised(module: nn.Module) -> nn.Module:
    """Biases and norms away from their neutral start."""
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=1.0 if "norm" in name and "weight" in name else 0.0, std=0.1)
    return module.eval()


@pytest.mark.parametrize(
    ("net", "entries", "parameters"), [(RefineNet, 134, 16_830_406), (ScoreNet, 116, 15_773_121)]
)
def test_layout_is_the_official_one(net: type[nn.Module], entries: int, parameters: int) -> None:
    """Counts, names and shapes of reference-networks 5.2 and 5.3."""
    module = net()
    state = module.state_dict()
    assert len(state) == entries
    assert sum(p.numel() for p in module.parameters()) == parameters
    assert state["pos_embed.pe"].shape == (1, 400, 512)
    first = "encodeA" if net is RefineNet else "encoderA"
    assert state[f"{first}.0.net.0.weight"].shape == (64, 6, 7, 7)
    assert state[f"{first}.0.net.1.num_batches_tracked"].shape == ()
    assert state[f"{first}B.2.net.0.weight"].shape == (512, 256, 3, 3)
    if net is RefineNet:
        assert state["rot_head.0.self_attn.in_proj_weight"].shape == (1536, 512)
        assert state["trans_head.0.linear2.weight"].shape == (512, 512)
        assert state["trans_head.1.weight"].shape == (3, 512)
    else:
        assert state["att_cross.out_proj.bias"].shape == (512,)
        assert state["linear.weight"].shape == (1, 512)


def test_attention_is_torchs_multihead_attention() -> None:
    """`nn.MultiheadAttention` has the same parameter names: it loads ours and is the reference."""
    ours = _randomised(Attention())
    reference = nn.MultiheadAttention(WIDTH, 4, batch_first=True).eval()
    reference.load_state_dict(ours.state_dict())
    tokens = torch.randn(2, 20, WIDTH)
    with torch.no_grad():
        expected = reference(tokens, tokens, tokens, need_weights=False)[0]
        torch.testing.assert_close(ours(tokens), expected, atol=TOLERANCE, rtol=0.0)
        torch.testing.assert_close(ours.mean(tokens), expected.mean(1), atol=TOLERANCE, rtol=0.0)


def test_encoder_layer_is_torchs() -> None:
    ours = _randomised(_EncoderLayer())
    reference = nn.TransformerEncoderLayer(WIDTH, 4, dim_feedforward=WIDTH, batch_first=True).train()
    reference.load_state_dict(ours.state_dict())
    for module in reference.modules():  # train mode avoids torch's fused path; its dropout must go
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    reference.self_attn.dropout = 0.0
    tokens = torch.randn(2, 30, WIDTH)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), reference(tokens), atol=TOLERANCE, rtol=0.0)


def test_positions_are_interleaved_sine_and_cosine() -> None:
    code = sine_positions()
    assert code.shape == (1, 400, 512)
    position, channel = 7, 10
    angle = position / 10000 ** (channel / 512)
    assert code[0, position, channel].item() == pytest.approx(torch.sin(torch.tensor(angle)).item(), abs=1e-5)
    assert code[0, position, channel + 1].item() == pytest.approx(torch.cos(torch.tensor(angle)).item(), abs=1e-5)


def test_refine_net_takes_the_mean_where_it_commutes() -> None:
    """Against the plain order: linear layer on every token, then the mean."""
    net = _randomised(RefineNet())
    rendered, observed = torch.rand(2, 1, 6, SIZE_PX, SIZE_PX)
    with torch.no_grad():
        trans, rot = net(rendered, observed)
        both = torch.cat([net.encodeA(rendered), net.encodeA(observed)], dim=1)
        tokens = net.pos_embed(net.encodeAB(both).flatten(2).transpose(1, 2))
        torch.testing.assert_close(trans, net.trans_head(tokens).mean(1), atol=TOLERANCE, rtol=0.0)
        torch.testing.assert_close(rot, net.rot_head(tokens).mean(1), atol=TOLERANCE, rtol=0.0)


def test_score_net_in_two_parts_is_the_plain_score_net() -> None:
    """Against the plain form in torch's own attention: pair attention, mean, cross attention, linear."""
    net = _randomised(ScoreNet())
    rendered, observed = torch.rand(2, 2, 6, SIZE_PX, SIZE_PX)

    def attention(own: Attention, tokens: torch.Tensor) -> torch.Tensor:
        reference = nn.MultiheadAttention(WIDTH, 4, batch_first=True).eval()
        reference.load_state_dict(own.state_dict())
        return reference(tokens, tokens, tokens, need_weights=False)[0]

    with torch.no_grad():
        both = torch.cat([net.encoderA(rendered), net.encoderA(observed)], dim=1)
        tokens = net.pos_embed(net.encoderAB(both).flatten(2).transpose(1, 2))
        features = attention(net.att, tokens).mean(1)
        expected = F.linear(attention(net.att_cross, features[None])[0], net.linear.weight, net.linear.bias)[:, 0]
        one_by_one = torch.cat([net.features(rendered[i : i + 1], observed[i : i + 1]) for i in range(2)])
        torch.testing.assert_close(net.attention(one_by_one), expected, atol=TOLERANCE, rtol=0.0)


@pytest.mark.parametrize(("net", "folder"), [(RefineNet, "2023-10-28-18-33-37"), (ScoreNet, "2024-01-11-20-02-45")])
def test_a_missing_file_says_which_one_and_where_it_is_published(
    net: type[RefineNet] | type[ScoreNet], folder: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=rf"no such file, expected {folder}.*; see .*NVlabs/FoundationPose"):
        load_official(net(), tmp_path / "model_best.pth")
