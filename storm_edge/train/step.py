"""One step of training: loss, gradients, weights, averages. What is not finite changes nothing, and is counted.

The device never waits for the host here: whether a gradient was finite is decided and acted on where it was computed,
and sums for the log stay there until they are read.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from storm_edge.generator.contract import Batch
from storm_edge.train.run_state import Average

LONGEST_GRADIENT = 1.0
"""Norm of all gradients together beyond which they are shortened, of the nano networks."""


class Stepper:
    """Steps of one network.

    Args:
        model: What is called with a batch: the objective, or its parallel wrapper.
        objective: The module with the weights.
        average: Its averaged weights.
        optimizer: Fused, so that it can be told on the device to leave the weights.
        longest: Norm of all gradients together beyond which they are shortened.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: nn.Module,
        average: Average,
        optimizer: torch.optim.AdamW,
        *,
        longest: float = LONGEST_GRADIENT,
    ) -> None:
        self._model, self._objective, self._average, self._optimizer = model, objective, average, optimizer
        self._parameters = [p for p in objective.parameters() if p.requires_grad]
        self._longest = longest
        self._statistics = [b for b in objective.buffers() if b.is_floating_point()]
        device = self._parameters[0].device
        self._sums: dict[str, Tensor] = {}
        self._good = torch.zeros((), device=device)
        self._skipped = torch.zeros((), device=device)
        self._in_a_row = torch.zeros((), device=device)

    def step(self, batch: Batch, *, number: int, rate: float) -> None:
        """Learn from a batch.

        Args:
            batch: Items on the network's device.
            number: Steps done before this one.
            rate: Learning rate.

        Raises:
            OutOfMemoryError: The device has no room; the weights are as before.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        before = self._flat_statistics()
        loss, parts = self._model(batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        length = nn.utils.clip_grad_norm_(self._parameters, self._longest)
        bad = ~torch.isfinite(length)
        self._optimizer.found_inf = bad.float()  # type: ignore[attr-defined]  # what a gradient scaler sets, too
        self._optimizer.step()
        self._restore_statistics(before, bad)
        self._average.update(self._objective, number + 1)
        self._note({"loss": loss.detach(), **parts}, bad)

    def bad_in_a_row(self) -> int:
        """Skipped steps since the last good one; waits for the device."""
        return int(self._in_a_row)

    def skipped(self) -> int:
        """Skipped steps since the start; waits for the device."""
        return int(self._skipped)

    def means(self) -> dict[str, float]:
        """Mean loss and parts over the good steps since the last call; empty without any. Waits for the device."""
        count = float(self._good)
        means = {key: float(value) / count for key, value in self._sums.items()} if count else {}
        self._sums = {}
        self._good.zero_()
        return means

    def _note(self, values: dict[str, Tensor], bad: Tensor) -> None:
        for key, value in values.items():
            added = torch.where(bad, 0.0, value.float())
            self._sums[key] = self._sums[key] + added if key in self._sums else added
        self._good += ~bad
        self._skipped += bad
        self._in_a_row = (self._in_a_row + 1.0) * bad

    def _flat_statistics(self) -> Tensor | None:
        """Running means and variances, which a forward pass changes, in one tensor."""
        if not self._statistics:
            return None
        return torch.cat([buffer.flatten() for buffer in self._statistics])

    @torch.no_grad()
    def _restore_statistics(self, before: Tensor | None, bad: Tensor) -> None:
        if before is None:
            return
        now = self._flat_statistics()
        assert now is not None
        kept = torch.split(torch.where(bad, before, now), [buffer.numel() for buffer in self._statistics])
        torch._foreach_copy_(self._statistics, [k.view_as(b) for k, b in zip(kept, self._statistics, strict=True)])
