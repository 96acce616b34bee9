"""What STORM's segmenter is trained for (reference-networks 2.9), and what its masks are judged by.

A weighted sum of five terms on one map of logits per picture, each a mean over the pictures. All take flattened
logits and targets ``(N, P)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class SomLoss:
    """Weights and shapes of the terms; the defaults are those of upstream's training configuration."""

    focal: float = 20.0
    """Weight of the focal cross-entropy."""
    focal_alpha: float = 0.25
    """Part of its weight that cells of the object have."""
    focal_gamma: float = 2.0
    """How much it turns to cells that are still wrong."""
    dice: float = 1.0
    """Weight of the overlap by Dice."""
    tversky: float = 0.1
    """Weight of the overlap by Tversky."""
    tversky_missed: float = 0.5
    """What a missed cell counts in it."""
    tversky_wrong: float = 0.5
    """What a wrong cell counts in it."""
    iou: float = 1.0
    """Weight of one minus the IoU of the mask as it is decided; it has no gradient."""
    fbeta: float = 0.0
    """Weight of one minus the F score."""
    beta: float = 0.5
    """How much recall counts in it beside precision."""

    def of(self, logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its unweighted terms, detached.

        Args:
            logits: Maps of logits ``(N, 1, h, w)``; they are resized to the masks.
            target: Masks ``(N, H, W)``, 0 or 1.
        """
        flat, wanted = at_masks(logits, target).flatten(1), target.flatten(1)
        terms: dict[str, tuple[float, Tensor]] = {}
        if self.focal:
            terms["focal"] = self.focal, focal(flat, wanted, alpha=self.focal_alpha, gamma=self.focal_gamma)
        if self.dice:
            terms["dice"] = self.dice, dice(flat, wanted)
        if self.tversky:
            value = tversky(flat, wanted, missed=self.tversky_missed, wrong=self.tversky_wrong)
            terms["tversky"] = self.tversky, value
        if self.iou:
            terms["iou"] = self.iou, decided_iou(flat, wanted)
        if self.fbeta:
            terms["fbeta"] = self.fbeta, f_score(flat, wanted, beta=self.beta)
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        return loss, {name: value.detach() for name, (_, value) in terms.items()}


def at_masks(logits: Tensor, target: Tensor) -> Tensor:
    """Logits ``(N, 1, h, w)`` at the size of masks ``(N, H, W)``, ``(N, H, W)``, of their type."""
    resized = F.interpolate(logits.to(target), size=target.shape[-2:], mode="bilinear", align_corners=False)
    return resized[:, 0]


def focal(logits: Tensor, target: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Cross-entropy of every cell, times the probability of the other answer to the power of ``gamma``."""
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = torch.sigmoid(logits)
    other = probability * (1.0 - target) + (1.0 - probability) * target
    weight = alpha * target + (1.0 - alpha) * (1.0 - target)
    return (weight * entropy * other**gamma).mean()


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """One minus twice the overlap over the sum of both."""
    probability = torch.sigmoid(logits)
    shared = (probability * target).sum(1)
    return (1.0 - (2.0 * shared + 1.0) / (probability.sum(1) + target.sum(1) + 1.0)).mean()


def tversky(logits: Tensor, target: Tensor, *, missed: float, wrong: float) -> Tensor:
    """One minus the overlap over overlap, missed and wrong, each counted as it is said."""
    probability = torch.sigmoid(logits)
    shared = (probability * target).sum(1)
    left = ((1.0 - probability) * target).sum(1)
    extra = (probability * (1.0 - target)).sum(1)
    return (1.0 - (shared + _EPS) / (shared + missed * left + wrong * extra + _EPS)).mean()


def f_score(logits: Tensor, target: Tensor, *, beta: float) -> Tensor:
    """One minus the F score of probabilities."""
    probability = torch.sigmoid(logits)
    shared = (1.0 + beta**2) * (probability * target).sum(1)
    left = ((1.0 - probability) * target).sum(1)
    extra = (probability * (1.0 - target)).sum(1)
    return (1.0 - (shared + _EPS) / (shared + beta**2 * left + extra + _EPS)).mean()


def decided_iou(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the IoU of the cells above zero."""
    return 1.0 - _ious(logits, target).mean()


def _ious(logits: Tensor, target: Tensor) -> Tensor:
    found, wanted = logits > 0.0, target > 0.5
    shared, either = (found & wanted).sum(1), (found | wanted).sum(1)
    return (shared + _EPS) / (either + _EPS)


def mask_figures(logits: Tensor, target: Tensor) -> dict[str, float]:
    """Held-out figures as upstream has them: mean IoU; precision, recall and average precision over all pixels.

    Args:
        logits: Maps of logits ``(N, H, W)``.
        target: Masks ``(N, H, W)``, 0 or 1.
    """
    flat, wanted = logits.flatten(), target.flatten() > 0.5
    found = flat >= 0.0
    right = float((found & wanted).sum())
    return {
        "ap": average_precision(flat, wanted),
        "iou": float(_ious(logits.flatten(1), target.flatten(1)).mean()),
        "precision": right / max(float(found.sum()), 1.0),
        "recall": right / max(float(wanted.sum()), 1.0),
    }


def average_precision(score: Tensor, positive: Tensor) -> float:
    """Sum of precision times gain of recall over all thresholds; equal scores pass together.

    Args:
        score: ``(P,)``.
        positive: Whether each should score high ``(P,)`` bool.
    """
    order = score.argsort(descending=True)
    ranked, hits = score[order], positive[order].double().cumsum(0)
    last = torch.ones_like(positive)
    last[:-1] = ranked[1:] != ranked[:-1]
    places = torch.nonzero(last)[:, 0]
    hits = hits[places]
    if not len(hits) or hits[-1] == 0:
        return 0.0
    gain = torch.diff(hits, prepend=hits.new_zeros(1)) / hits[-1]
    return float((gain * hits / (places + 1)).sum())
