"""What the full networks are trained for: STORM's segmenter and verifier with their losses and held-out figures.

Of the segmenter the encoder is frozen, and so are the entries that its mask does not depend on, which upstream's
trainer leaves as they were, too. Of the verifier all is trained.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from storm_edge.generator.contract import Batch
from storm_edge.networks.attention import fused_attention
from storm_edge.networks.som import Som
from storm_edge.networks.tom import Tom
from storm_edge.train.half import half_where_fast
from storm_edge.train.som import auroc
from storm_edge.train.som_loss import SomLoss, at_masks, mask_figures

ViewTokens = Callable[[Som, Tensor], Tensor]
"""Tokens ``(objects V, 256, C)`` of the views of some objects ``(objects,)``, by their numbers."""
_CHUNK = 8  # held-out items at a time


class FullSomObjective(nn.Module):
    """STORM's segmenter with its loss.

    A batch has ``image (N, 3, 224, 224)`` and ``mask (N, H, W)``; either ``views (N, V, 3, 224, 224)`` or
    ``object (N,)``, the numbers of objects whose tokens are kept; and ``context (N, length)`` where the network takes
    one.

    Args:
        net: The network.
        loss: Weights of its terms.
        view_tokens: Looks up the tokens of objects; not needed for batches with views.
    """

    def __init__(self, net: Som, loss: SomLoss, view_tokens: ViewTokens | None = None) -> None:
        super().__init__()
        self.net, self._loss, self._view_tokens = net, loss, view_tokens
        for part in _untrained(net):
            part.requires_grad_(False)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its terms."""
        return self._loss.of(self._logits(batch), batch["mask"])

    def _logits(self, batch: Batch) -> Tensor:
        image = batch["image"]
        with half_where_fast(image), fused_attention():
            with torch.no_grad():
                x = self.net.tokens(image)
                r, objects, shown = self._views(batch)
            return self.net.masks(x, r, objects=objects, shown=shown, context=batch.get("context"))

    def _views(self, batch: Batch) -> tuple[Tensor, int, Tensor | None]:
        """Tokens of views, of how many objects they are, and which each image shows."""
        if "views" in batch:
            views = batch["views"]
            return self.net.tokens(views.flatten(0, 1)), len(views), None
        assert self._view_tokens is not None
        numbers, shown = torch.unique(batch["object"].long(), return_inverse=True)
        return self._view_tokens(self.net, numbers), len(numbers), shown

    @torch.no_grad()
    def figures(self, batch: Batch) -> dict[str, float]:
        """Held-out figures."""
        found = []
        for at in range(0, len(batch["image"]), _CHUNK):
            part = {key: value[at : at + _CHUNK] for key, value in batch.items()}
            found.append(at_masks(self._logits(part), part["mask"]))
        return mask_figures(torch.cat(found), batch["mask"])


def _untrained(net: Som) -> list[nn.Module | nn.Parameter]:
    """The encoder, the last block's update of the views, and the IoU head."""
    last = net.blocks[-1]
    parts: list[nn.Module | nn.Parameter] = [net.dino, net.decoder.iou_head]
    parts += [last.ref_view_self_attn, last.ref_global_self_attn, *last.norms(4), *last.norms(5)]
    for i in (4, 5):
        scale = last.scale(i)
        assert isinstance(scale, nn.Parameter)
        parts.append(scale)
    return parts


class FullTomObjective(nn.Module):
    """STORM's verifier with its loss: cross-entropy of every pair.

    A batch has ``current`` and ``memory`` ``(N, 3, 224, 224)``, and ``label (N,)``.

    Args:
        net: The network.
    """

    def __init__(self, net: Tom) -> None:
        super().__init__()
        self.net = net
        net.backbone.mask_token.requires_grad_(False)  # of its own training; here nothing reads it

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss; it has no parts."""
        with half_where_fast(batch["current"]), fused_attention():
            logits = self.net(batch["current"], batch["memory"])
        return F.binary_cross_entropy_with_logits(logits.to(batch["label"]), batch["label"]), {}

    @torch.no_grad()
    def figures(self, batch: Batch) -> dict[str, float]:
        """Held-out figures: share of right answers at a probability of a half, and the chance of the right order."""
        with half_where_fast(batch["current"]), fused_attention():
            found = [
                self.net(batch["current"][at : at + _CHUNK], batch["memory"][at : at + _CHUNK])
                for at in range(0, len(batch["label"]), _CHUNK)
            ]
        logits, same = torch.cat(found).float(), batch["label"] > 0.5
        figures = {"accuracy": float(((logits >= 0.0) == same).float().mean())}
        if bool(same.any()) and not bool(same.all()):
            figures["auroc"] = auroc(logits[same], logits[~same])
        loss = F.binary_cross_entropy_with_logits(logits, batch["label"])
        return {**figures, "loss": float(loss)}
