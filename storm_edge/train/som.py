"""What the nano segmenter is trained for: its loss and its held-out figures."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.networks.nano_som import NanoSom, NanoSomConfig
from storm_edge.train.half import half_where_fast

_PRESENCE_WEIGHT = 0.3


def som_loss(mask: Tensor, present: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of every cell, overlap of the mask where there is one, and presence.

    Args:
        mask: Mask logits ``(N, T, h, w)``.
        present: Presence logits ``(N, T)``.
        batch: ``mask`` ``(N, T, h, w)`` in [0, 1] and ``present`` ``(N, T)``.

    Returns:
        Loss (scalar) and its parts, detached. Cross-entropy is summed over a picture and divided by the size of the
        object (at least a usual one), so that small objects count as much as large ones.
    """
    target, there = batch["mask"], batch["present"]
    cells = F.binary_cross_entropy_with_logits(mask, target, reduction="none").sum((2, 3))
    cells = (cells / target.sum((2, 3)).clamp_min(80.0)).mean()
    probability = torch.sigmoid(mask)
    shared = (probability * target).sum((2, 3))
    dice = 1.0 - (2.0 * shared + 1.0) / (probability.sum((2, 3)) + target.sum((2, 3)) + 1.0)
    overlap = (dice * there).sum() / there.sum().clamp_min(1.0)
    presence = F.binary_cross_entropy_with_logits(present, there)
    loss = cells + overlap + _PRESENCE_WEIGHT * presence
    return loss, {"cells": cells.detach(), "overlap": overlap.detach(), "presence": presence.detach()}


def som_figures(mask: Tensor, present: Tensor, batch: dict[str, Tensor]) -> dict[str, float]:
    """Held-out figures: mean IoU over objects that are there, share found, and how well presence is told."""
    found, wanted = mask > 0.0, batch["mask"] > 0.5
    union = (found | wanted).sum((2, 3)).clamp_min(1)
    iou = (found & wanted).sum((2, 3)) / union
    there = batch["present"] > 0.5
    return {
        "iou": float(iou[there].mean()),
        "iou_over_half": float((iou[there] > 0.5).float().mean()),
        "presence_auroc": auroc(present[there], present[~there]),
    }


def auroc(right: Tensor, wrong: Tensor) -> float:
    """Chance that a right sample scores above a wrong one; ties count half."""
    difference = right[:, None] - wrong[None, :]
    return float(((difference > 0).double() + 0.5 * (difference == 0).double()).mean())


class SomObjective(nn.Module):
    """The segmenter with its loss."""

    def __init__(self, config: NanoSomConfig) -> None:
        super().__init__()
        self.net = NanoSom(config)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its parts on a batch, see `generator.contract.Source`."""
        with half_where_fast(batch["image"]):
            mask, present = self.net(batch["image"], batch["objects"], batch["views"])
        return som_loss(mask.float(), present.float(), batch)

    @torch.no_grad()
    def figures(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """Held-out figures; the module must be in eval mode."""
        out = [
            self.net(*(batch[key][at : at + 8] for key in ("image", "objects", "views")))
            for at in range(0, len(batch["image"]), 8)
        ]
        return som_figures(torch.cat([o[0] for o in out]), torch.cat([o[1] for o in out]), batch)
