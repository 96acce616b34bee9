"""SOM: its parts against torch's own layers and formulas written out, its split form against the whole.

On the same random weights the whole equals the upstream module (dengyufuqin/Storm 8b716ed) to 5e-7, with and without
a language context; that comparison needs its sources and is not repeated here. The full-size split is compared by
benchmarks/cases/som.py before it is timed.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from storm_edge.errors import CheckpointError
from storm_edge.networks.dinov2 import Dinov2Config
from storm_edge.networks.som import (
    AdaNorm,
    Attention,
    Decoder,
    Som,
    SomConfig,
    SomHead,
    SomQuery,
    SomReference,
    load_som,
    sine_positions,
)
from tests.networks.weights import randomised

TINY = SomConfig(
    encoder=Dinov2Config(width=48, heads=2, depth=1, registers=4), heads=8, hidden=32, iou_hidden=8, views=2
)
TOLERANCE = 5e-6  # worst seen 5e-7 of logits up to 1, x86-64 CPU


def som(*, context: int | None = None, seed: int = 0) -> Som:
    config = SomConfig(encoder=TINY.encoder, heads=8, hidden=32, iou_hidden=8, views=TINY.views, context=context)
    net = randomised(Som(config), seed=seed)
    assert isinstance(net, Som)
    return net


def images(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(seed))


def test_layout_is_that_of_the_checkpoints() -> None:
    with torch.device("meta"):
        state = Som().state_dict()
    assert len(state) == 572
    assert sum(v.numel() for v in state.values()) == 208_739_505
    counts = {"query_encoder.dino.": 176, "prompt_encoder.view_encoder.dino.": 176, "hsfa.": 189, "decoder.": 31}
    assert {prefix: sum(k.startswith(prefix) for k in state) for prefix in counts} == counts
    assert state["hsfa.layers.2.cross_attn.q_proj.weight"].shape == (256, 768)
    assert state["hsfa.layers.2.cross_attn.out_proj.weight"].shape == (768, 256)
    assert state["decoder.output_upscaling.3.weight"].shape == (192, 96, 2, 2)
    assert state["decoder.iou_head.6.weight"].shape == (2, 384)
    assert state["decoder.gamma"].shape == (1,)


def test_positions_are_sines_of_row_then_column() -> None:
    code = sine_positions(16)[0].reshape(16, 16, 16)
    for row, column in ((0, 0), (3, 12), (15, 15)):
        for half, cell in ((0, row), (8, column)):
            angle = 2 * math.pi * (cell + 1) / 16
            expected = [
                f(angle / 10000 ** (2 * pair / 8)) for pair in range(4) for f in (math.sin, math.cos)
            ]  # interleaved
            np.testing.assert_allclose(code[row, column, half : half + 8], expected, atol=2e-6)


def test_attention_is_that_of_torch() -> None:
    ours = randomised(Attention(16, 2), seed=1)
    plain = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    state = ours.state_dict()
    plain.load_state_dict(
        {
            "in_proj_weight": torch.cat([state[f"{p}_proj.weight"] for p in "qkv"]),
            "in_proj_bias": torch.cat([state[f"{p}_proj.bias"] for p in "qkv"]),
            "out_proj.weight": state["out_proj.weight"],
            "out_proj.bias": state["out_proj.bias"],
        }
    )
    generator = torch.Generator().manual_seed(2)
    q, k, v = (torch.randn(2, t, 16, generator=generator) for t in (5, 7, 7))
    with torch.no_grad():
        torch.testing.assert_close(ours(q, k, v), plain(q, k, v)[0], atol=TOLERANCE, rtol=0)


def test_context_shifts_weight_and_bias_of_a_norm() -> None:
    norm = randomised(AdaNorm(6, 3), seed=3)
    assert isinstance(norm, AdaNorm)
    generator = torch.Generator().manual_seed(4)
    x, context = torch.randn(1, 5, 6, generator=generator), torch.randn(1, 3, generator=generator)
    standard = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    with torch.no_grad():
        assert norm.ctx_proj is not None
        shift = norm.ctx_proj(context)[0]
        expected = standard * (norm.gamma + shift[:6]) + norm.delta + shift[6:]
        torch.testing.assert_close(norm(x, context), expected, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(norm(x, None), standard * norm.gamma + norm.delta, atol=TOLERANCE, rtol=0)


def test_decoder_weighs_upsampled_features_by_their_mean() -> None:
    net = randomised(Decoder(TINY), seed=5)
    assert isinstance(net, Decoder)
    tokens = torch.randn(1, 256, 48, generator=torch.Generator().manual_seed(6))

    def channel_norm(x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt()
        return x * norm.weight[:, None, None] + norm.bias[:, None, None]

    with torch.no_grad():
        up = net.output_upscaling
        x = tokens.transpose(1, 2).reshape(1, 48, 16, 16)
        x = F.gelu(channel_norm(up[0](x), up[1]))
        x = F.gelu(channel_norm(up[3](x), up[4]))
        kernels = net.hyper_norm(net.hyper_net(tokens.mean(1))).reshape(2, 6)
        maps = net.skip_proj(x) + net.gamma * torch.einsum("kc,bchw->bkhw", kernels, x)
        torch.testing.assert_close(net(tokens), net.refine_head(maps), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("context", [None, 5])
def test_parts_equal_the_whole(context: int | None) -> None:
    net = som(context=context)
    image, views = images(1, 7), images(TINY.views, 8)
    given = [] if context is None else [torch.randn(1, context, generator=torch.Generator().manual_seed(9))]
    with torch.no_grad():
        whole = net(image, views, *given)
        cache = SomReference(net)(views)
        assert [tuple(t.shape) for t in cache] == [(1, 8, 512, 2)] * 6
        parts = SomHead(net)(SomQuery(net)(image), *cache, *given)
        assert whole.shape == (1, 1, 64, 64)
        assert whole.std() > 1e-2
        torch.testing.assert_close(parts, whole, atol=TOLERANCE, rtol=0)
        if given:
            assert (net(image, views) - whole).abs().max() > 100 * TOLERANCE


def test_every_view_and_the_image_change_the_mask() -> None:
    net = som()
    image, views = images(1, 10), images(2, 11)
    with torch.no_grad():
        logits = net(image, views)
        for i in range(2):
            changed = views.clone()
            changed[i] = images(1, 12)[0]
            assert (net(image, changed) - logits).abs().max() > 100 * TOLERANCE
        assert (net(images(1, 13), views) - logits).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("context", [None, 5])
def test_loads_a_file_as_the_trainers_write_it(tmp_path: Path, context: int | None) -> None:
    net = som(context=context)
    content = {
        "step": 80_000,
        "model_state_dict": {f"module.{k}": v for k, v in net.state_dict().items()},
        "best_val_ap": np.float64(0.81),
        "ema_loss": 0.1,
    }
    torch.save(content, tmp_path / "best.pth")
    loaded = load_som(tmp_path / "best.pth", TINY)
    assert loaded.config.context == context
    assert not loaded.training
    assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in net.state_dict().items())
    assert loaded.query_encoder.dino is loaded.prompt_encoder.view_encoder.dino  # type: ignore[union-attr]


def test_scores_saved_with_an_older_numpy_are_read(tmp_path: Path) -> None:
    """NumPy 1 writes its scalars under ``numpy.core``, which NumPy 2 has renamed."""
    torch.save({"model_state_dict": som().state_dict(), "best_val_ap": np.float64(0.5)}, tmp_path / "new.pth")
    with zipfile.ZipFile(tmp_path / "new.pth") as new, zipfile.ZipFile(tmp_path / "old.pth", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert isinstance(load_som(tmp_path / "old.pth", TINY), Som)


def test_refusals_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "best.pth"
    with pytest.raises(CheckpointError, match=r"no such file, expected best\.pth of STORM's SOM; see .*dengyufuqin"):
        load_som(path)
    state = {k: v.clone() for k, v in som().state_dict().items()}
    key = "prompt_encoder.view_encoder.dino.norm.bias"
    torch.save(state | {key: state[key] + 1}, path)
    with pytest.raises(CheckpointError, match=r"other values in query_encoder\.dino\.norm\.bias.*frozen encoders"):
        load_som(path, TINY)
    del state[key]
    state["decoder.gamma"] = torch.zeros(2)
    torch.save(state, path)
    expected = (
        r"1 missing \(prompt_encoder\.view_encoder\.dino\.norm\.bias\).*decoder\.gamma \(2,\) instead of \(1,\)"
    )
    with pytest.raises(CheckpointError, match=expected):
        load_som(path, TINY)
