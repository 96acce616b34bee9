"""DINOv2 against plain references: the published layout, resampling written out, torch's own transformer layer.

On the same random weights both variants equal the upstream module (facebookresearch/dinov2 b8931f7) to 5e-6; that
comparison needs its sources and is not repeated here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from storm_edge.errors import CheckpointError
from storm_edge.networks.checkpoints import load_strictly, read_checkpoint, state_dict_of
from storm_edge.networks.dinov2 import (
    CELLS,
    VIT_B14_REG,
    VIT_S14,
    Dinov2,
    Dinov2Config,
    FrozenDinov2,
)
from tests.networks.weights import randomised

TINY = Dinov2Config(width=24, heads=2, depth=2)
TINY_REG = Dinov2Config(width=24, heads=2, depth=2, registers=4)
TOLERANCE = 5e-6  # worst seen 1e-6 of outputs up to 4, x86-64 CPU


def cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """The cubic convolution kernel."""
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def resampling(*, out: int, stored: int, step: float, a: float, widened: bool) -> np.ndarray:
    """Rows of weights that resize one axis, ``(out, stored)``; border cells repeat, or a wide kernel is cut off."""
    rows = np.zeros((out, stored))
    for i in range(out):
        centre = (i + 0.5) * step - 0.5
        if widened:
            weight = cubic((np.arange(stored) - centre) / step, a)
            rows[i] = weight / weight.sum()
        else:
            for j in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
                rows[i, np.clip(j, 0, stored - 1)] += cubic(np.array(j - centre), a)
    return rows


@pytest.mark.parametrize(
    ("config", "entries", "parameters"), [(VIT_S14, 175, 22_056_576), (VIT_B14_REG, 176, 86_583_552)]
)
def test_layout_is_that_of_the_hub_files(config: Dinov2Config, entries: int, parameters: int) -> None:
    with torch.device("meta"):
        state = Dinov2(config).state_dict()
    width = config.width
    assert len(state) == entries
    assert sum(v.numel() for v in state.values()) == parameters
    assert ("register_tokens" in state) == (config.registers > 0)
    assert state["pos_embed"].shape == (1, 1370, width)
    assert state["mask_token"].shape == (1, width)
    assert state["patch_embed.proj.weight"].shape == (width, 3, 14, 14)
    assert state["blocks.11.attn.qkv.weight"].shape == (3 * width, width)
    assert state["blocks.11.ls2.gamma"].shape == (width,)
    assert state["blocks.0.mlp.fc1.bias"].shape == (4 * width,)


@pytest.mark.parametrize(
    ("config", "step", "a", "widened"), [(TINY, 37 / 16.1, -0.75, False), (TINY_REG, 37 / 16, -0.5, True)]
)
def test_positions_are_resized_by_the_rule_of_the_variant(
    config: Dinov2Config, step: float, a: float, widened: bool
) -> None:
    net = randomised(Dinov2(config), seed=0)
    assert isinstance(net, Dinov2)
    stored = net.pos_embed.detach()[0, 1:].reshape(37, 37, config.width).double().numpy()
    rows = resampling(out=CELLS, stored=37, step=step, a=a, widened=widened)
    expected = np.einsum("ip,jq,pqc->ijc", rows, rows, stored).reshape(CELLS * CELLS, config.width)
    found = net.positions().detach()[0]
    np.testing.assert_allclose(found[config.prefix :], expected, atol=1e-6)  # worst seen 1e-7
    torch.testing.assert_close(found[0], (net.cls_token + net.pos_embed[:, :1])[0, 0].detach())
    if config.registers:
        torch.testing.assert_close(found[1:5], net.register_tokens[0].detach())


def test_a_block_is_a_pre_norm_transformer_layer() -> None:
    net = randomised(Dinov2(TINY), seed=1)
    assert isinstance(net, Dinov2)
    block = net.blocks[0]
    state = block.state_dict()
    plain = nn.TransformerEncoderLayer(
        24, 2, 96, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, norm_first=True, batch_first=True
    ).eval()
    gamma1, gamma2 = state["ls1.gamma"], state["ls2.gamma"]
    plain.load_state_dict(
        {
            "self_attn.in_proj_weight": state["attn.qkv.weight"],
            "self_attn.in_proj_bias": state["attn.qkv.bias"],
            "self_attn.out_proj.weight": gamma1[:, None] * state["attn.proj.weight"],
            "self_attn.out_proj.bias": gamma1 * state["attn.proj.bias"],
            "linear1.weight": state["mlp.fc1.weight"],
            "linear1.bias": state["mlp.fc1.bias"],
            "linear2.weight": gamma2[:, None] * state["mlp.fc2.weight"],
            "linear2.bias": gamma2 * state["mlp.fc2.bias"],
            **{k: v for k, v in state.items() if k.startswith("norm")},
        }
    )
    x = torch.randn(2, 9, 24, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(block(x), plain(x), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("config", [TINY, TINY_REG])
def test_frozen_form_is_the_same_function(config: Dinov2Config) -> None:
    net = randomised(Dinov2(config), seed=3)
    assert isinstance(net, Dinov2)
    frozen = FrozenDinov2(net)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        tokens = net(images)
        assert tokens.shape == (2, config.prefix + 256, 24)
        torch.testing.assert_close(frozen(images), tokens, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(frozen.patches(images), tokens[:, config.prefix :], atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(frozen.cls(images), tokens[:, 0], atol=TOLERANCE, rtol=0)


def test_loads_what_was_saved_in_the_official_layout(tmp_path: Path) -> None:
    path = tmp_path / "dinov2_vits14_pretrain.pth"
    with torch.no_grad():
        net = Dinov2(VIT_S14)
        net.pos_embed.uniform_(-1, 1, generator=torch.Generator().manual_seed(5))
    torch.save(net.state_dict(), path)
    weights, loaded = state_dict_of(read_checkpoint(path), path), Dinov2(VIT_S14)
    load_strictly(loaded, weights, path)
    assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in net.state_dict().items())
    with pytest.raises(CheckpointError, match=r"1 missing \(register_tokens\).*cls_token \(1, 1, 384\) instead of"):
        load_strictly(Dinov2(VIT_B14_REG), weights, path)
