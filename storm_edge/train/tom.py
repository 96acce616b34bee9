"""What the nano verifier is trained for: its loss on groups of crops, and its held-out figures."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.networks.nano_tom import NanoTom, NanoTomConfig
from storm_edge.train.half import half_where_fast
from storm_edge.train.som import auroc


class TomObjective(nn.Module):
    """The verifier with its loss.

    A group holds crops of one object, some good, some not. Every pair with a good crop as memory is a question; the
    answer is whether the other one is good.
    """

    def __init__(self, config: NanoTomConfig) -> None:
        super().__init__()
        self.net = NanoTom(config)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its parts on ``crops (N, G, 6, 80, 80)`` with ``good (N, G)``."""
        with half_where_fast(batch["crops"]):
            logits = self.net(batch["crops"])
        logits, good = logits.float(), batch["good"]
        answer = good[:, :, None].expand_as(logits)
        each = F.binary_cross_entropy_with_logits(logits, answer, reduction="none")
        weight = _questions(good)
        # Good and bad crops count alike, however many there are.
        balance = torch.where(answer > 0.5, 0.5 / (weight * answer).sum(), 0.5 / (weight * (1.0 - answer)).sum())
        loss = (each * weight * balance).sum()
        return loss, {}

    @torch.no_grad()
    def figures(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """Held-out figures; the module must be in eval mode. ``memory_`` is the mean over three crops."""
        logits = torch.cat([self.net(batch["crops"][at : at + 8]) for at in range(0, len(batch["crops"]), 8)])
        good = batch["good"]
        asked = _questions(good) > 0.5
        answer = good[:, :, None].expand_as(logits) > 0.5
        right, wrong = logits[asked & answer], logits[asked & ~answer]
        # The first half of a group is good: its last three crops as memory, the first against the bad ones.
        half = logits.shape[1] // 2
        together = logits[:, :, half - 3 : half].mean(2)
        return {
            "pair_auroc": auroc(right, wrong),
            "memory_auroc": auroc(together[:, 0], together[:, half:].flatten()),
            "accuracy": 0.5 * float((right > 0.0).float().mean()) + 0.5 * float((wrong <= 0.0).float().mean()),
        }


def _questions(good: Tensor) -> Tensor:
    """1 where ``[n, i, j]`` asks something: ``j`` is good and not ``i`` itself."""
    g = good.shape[1]
    other = 1.0 - torch.eye(g, device=good.device)
    return good[:, None, :] * other
