"""Losses, gradients and two steps of the full networks' training against formulas written out (`full_reference`).

The modules are the full ones, of one or two blocks and narrow: at full size one step takes minutes of two cores.
docs/reference-networks.md says how upstream's own sources compare. Float64, so that what differs is the formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from storm_edge.choices import Network
from storm_edge.networks.dinov2 import Dinov2Config
from storm_edge.networks.som import Som, SomConfig
from storm_edge.networks.tom import Tom
from storm_edge.train import full_objectives
from storm_edge.train.full_config import UPSTREAM
from storm_edge.train.full_objectives import FullSomObjective, FullTomObjective
from storm_edge.train.full_state import CurrentWeights
from storm_edge.train.som_loss import SomLoss, average_precision
from storm_edge.train.step import Stepper
from tests.networks.weights import randomised
from tests.train import full_reference as reference

SOM = SomConfig(
    encoder=Dinov2Config(width=24, heads=2, depth=1, registers=4), depth=2, heads=4, hidden=32, iou_hidden=8, views=2
)
TOM = Dinov2Config(width=16, heads=2, depth=1)
TOLERANCE = 1e-6  # of losses up to 4 and gradients up to 1
RATE = 1e-3


def images(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, 3, 224, 224, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def som_batch(count: int) -> dict[str, Tensor]:
    mask = torch.rand(count, 64, 64, generator=torch.Generator().manual_seed(3)) > 0.6
    grown = mask.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return {"image": images(count, seed=1), "views": images(count, SOM.views, seed=2), "mask": grown.double()}


def two_steps(
    objective: nn.Module,
    batch: dict[str, Tensor],
    network: Network,
    reference_loss: Callable[[dict[str, Tensor]], Tensor],
) -> None:
    """Our two steps and the reference's, compared after each: loss, gradients as they are, weights."""
    upstream = UPSTREAM[network]
    longest, decay = upstream["longest_gradient"], upstream["weight_decay"]
    trained = {name: p for name, p in objective.net.named_parameters() if p.requires_grad}  # type: ignore[union-attr]
    optimizer = torch.optim.AdamW(list(trained.values()), lr=RATE, weight_decay=decay, fused=True)
    stepper = Stepper(objective, objective, CurrentWeights(), optimizer, longest=longest)
    weights = {name: p.detach().clone() for name, p in objective.net.named_parameters()}  # type: ignore[union-attr]
    moments: dict[str, tuple[Tensor, Tensor]] = {}
    for number in (1, 2):
        live = {name: value.clone().requires_grad_(name in trained) for name, value in weights.items()}
        wanted = reference_loss(live)
        found, _ = objective(batch)
        torch.testing.assert_close(found, wanted, rtol=TOLERANCE, atol=TOLERANCE)
        wanted_gradients = torch.autograd.grad(wanted, [live[name] for name in trained])
        gradients = torch.autograd.grad(found, list(trained.values()))
        for name, ours, theirs in zip(trained, gradients, wanted_gradients, strict=True):
            assert (ours - theirs).abs().max() <= TOLERANCE, name
        assert all(g.abs().max() > 0 for name, g in zip(trained, gradients, strict=True) if ".in_proj" not in name)
        stepper.step(batch, number=number - 1, rate=RATE)
        named = dict(zip(trained, wanted_gradients, strict=True))
        kept = reference.shortened(named, longest) if math.isfinite(longest) else named
        weights = reference.adamw(weights, kept, moments, number, rate=RATE, decay=decay)
        for name, value in objective.net.named_parameters():  # type: ignore[union-attr]
            torch.testing.assert_close(value.detach(), weights[name], rtol=0, atol=1e-7, msg=name)


@pytest.mark.parametrize("count", [1, 4])
def test_segmenter(count: int) -> None:
    net = randomised(Som(SOM), seed=0).double()
    assert isinstance(net, Som)
    batch = som_batch(count)
    with torch.no_grad():
        x = net.tokens(batch["image"])
        r = net.tokens(batch["views"].flatten(0, 1)).unflatten(0, (count, SOM.views))

    def loss(w: dict[str, Tensor]) -> Tensor:
        return reference.som_loss(reference.som_logits(w, x, r, depth=2, heads=4), batch["mask"])

    two_steps(FullSomObjective(net, SomLoss()), batch, Network.SOM, loss)


@pytest.mark.parametrize("count", [1, 4])
def test_verifier(count: int) -> None:
    net = randomised(Tom(2, TOM), seed=0).double()
    assert isinstance(net, Tom)
    batch = {
        "current": images(count, seed=5),
        "memory": images(count, seed=6),
        "label": (torch.arange(count) % 2).double(),
    }
    head = reference.TorchTom(TOM.width, 2).double()

    def loss(w: dict[str, Tensor]) -> Tensor:
        backbone = {k.removeprefix("backbone."): v for k, v in w.items() if k.startswith("backbone.")}
        features = [
            torch.func.functional_call(net.backbone, backbone, (batch[side],))[:, 0] for side in ("current", "memory")
        ]
        own = {k: v for k, v in w.items() if not k.startswith("backbone.")}
        p = torch.func.functional_call(head, own, tuple(features)).sigmoid()
        return -torch.where(batch["label"] > 0.5, p, 1 - p).log().mean()

    two_steps(FullTomObjective(net), batch, Network.TOM, loss)


def test_objects_shown_several_times_are_encoded_once_and_count_each_time() -> None:
    """By numbers of objects, as from disk, or with the views of each item: the same loss and gradients."""
    net = randomised(Som(SOM), seed=0).double()
    assert isinstance(net, Som)
    batch = som_batch(3)
    batch["views"] = batch["views"][[0, 1, 0]]
    asked: list[list[int]] = []

    def tokens(net: Som, numbers: Tensor) -> Tensor:
        asked.append(numbers.tolist())
        return net.tokens(batch["views"][numbers].flatten(0, 1))

    objective = FullSomObjective(net, SomLoss(), tokens)
    numbered = {"image": batch["image"], "mask": batch["mask"], "object": torch.tensor([0, 1, 0])}
    trained = [p for p in objective.parameters() if p.requires_grad]
    losses = [objective(given)[0] for given in (batch, numbered)]
    assert asked == [[0, 1]]
    torch.testing.assert_close(losses[0], losses[1])
    for ours, theirs in zip(*(torch.autograd.grad(loss, trained) for loss in losses), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", ["som", "tom"])
def test_half_precision_is_near_single(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where layers compute in bfloat16: the loss stays float32, and all gradients are finite."""
    net = randomised(Som(SOM) if kind == "som" else Tom(1, TOM), seed=0)
    objective = FullSomObjective(net, SomLoss()) if isinstance(net, Som) else FullTomObjective(net)  # type: ignore[arg-type]
    pair = {"current": images(1, seed=5), "memory": images(1, seed=6), "label": torch.ones(1)}
    batch = {key: value.float() for key, value in (som_batch(1) if kind == "som" else pair).items()}
    single, _ = objective(batch)
    monkeypatch.setattr(full_objectives, "half_where_fast", lambda x: torch.autocast("cpu", dtype=torch.bfloat16))
    half, _ = objective(batch)
    assert half.dtype is torch.float32
    assert half.item() == pytest.approx(single.item(), rel=0.01)
    assert half.item() != single.item()
    half.backward()
    assert all(p.grad.isfinite().all() for p in objective.parameters() if p.requires_grad and p.grad is not None)


def test_average_precision_counts_equal_scores_together() -> None:
    score, positive = torch.tensor([3.0, 2.0, 2.0, 1.0]), torch.tensor([True, False, True, True])
    assert average_precision(score, positive) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert average_precision(score, torch.zeros(4, dtype=torch.bool)) == 0.0
