"""What the nano segmenter is trained for: its loss, its held-out figures, and free variety of its pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.networks.nano_som import NanoSom, NanoSomConfig

_PRESENCE_WEIGHT = 0.3
_NORMAL_U = 3  # channel of the normal's horizontal part, in image and view channels


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
        """Loss and its parts on a batch of `synthetic.queries`."""
        mask, present = self.net(batch["image"], batch["objects"], batch["views"])
        return som_loss(mask, present, batch)

    @torch.no_grad()
    def figures(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """Held-out figures; the module must be in eval mode."""
        out = [
            self.net(*(batch[key][at : at + 8] for key in ("image", "objects", "views")))
            for at in range(0, len(batch["image"]), 8)
        ]
        return som_figures(torch.cat([o[0] for o in out]), torch.cat([o[1] for o in out]), batch)


def augment_queries(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """A changed copy: pictures and views mirrored together, and their colours exchanged together.

    Both keep the object channels true: a mirrored picture has mirrored ones, and how well a colour fits does not
    depend on the order of the channels.
    """
    out = {key: value.clone() for key, value in batch.items()}
    n, device = len(out["image"]), out["image"].device
    mirror = torch.nonzero(torch.rand(n, generator=generator) < 0.5)[:, 0].to(device)
    if len(mirror):
        for key in ("image", "objects", "views", "mask"):
            out[key][mirror] = out[key][mirror].flip(-1)
        out["image"][mirror, _NORMAL_U] *= -1.0
        out["views"][mirror, :, :, _NORMAL_U] *= -1.0
    for i in range(n):
        if float(torch.rand(1, generator=generator)) < 0.5:
            order = torch.randperm(3, generator=generator).to(device)
            out["image"][i, :3] = out["image"][i, order]
            out["views"][i, :, :, :3] = out["views"][i][:, :, order]
    return out
