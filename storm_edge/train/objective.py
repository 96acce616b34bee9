"""What one network is trained for: its module, its loss on a batch, its held-out figures.

Networks run in bfloat16 where a GPU does that fast, losses and figures always in float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from storm_edge.choices import Network
from storm_edge.networks.nano import NanoConfig, NanoRefineNet, NanoScoreNet
from storm_edge.train.config import TrainConfig
from storm_edge.train.half import half_where_fast
from storm_edge.train.losses import NEAR, refine_figures, refine_loss, score_figures, score_loss
from storm_edge.train.som import SomObjective
from storm_edge.train.tom import TomObjective

_EVALUATION_CHUNK = 64  # pairs at a time, so that a held-out set needs little memory


class RefineObjective(nn.Module):
    """RefineNet with its loss, one module so that DistributedDataParallel sees every parameter used."""

    def __init__(self, nano: NanoConfig, flow_weight: float) -> None:
        super().__init__()
        self.net = NanoRefineNet(nano)
        self._flow_weight = flow_weight

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its parts on a batch of pairs."""
        with half_where_fast(batch["rendered"]):
            out = self.net.forward_with_flow(batch["rendered"], batch["observed"])
        trans, rot, flow = (tensor.float() for tensor in out)
        return refine_loss(trans, rot, flow, batch, flow_weight=self._flow_weight)

    @torch.no_grad()
    def figures(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """Held-out figures; the module must be in eval mode."""
        out = [self.net.forward_with_flow(rendered, observed) for rendered, observed in _chunks(batch)]
        return refine_figures(torch.cat([o[0] for o in out]), torch.cat([o[1] for o in out]), batch)


class ScoreObjective(nn.Module):
    """ScoreNet with its loss on sets of hypotheses.

    Each step splits the sets at random into smaller ones, down to single hypotheses: a score must mean the same for a
    lone pose, which is what a search asks about, as among many hypotheses.
    """

    def __init__(self, nano: NanoConfig) -> None:
        super().__init__()
        self.net = NanoScoreNet(nano)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its parts on sets ``(S, H, 6, 80, 80)`` with errors ``(S, H)``."""
        error = batch["add_error"]
        sets, hypotheses = error.shape
        with half_where_fast(error):
            features = self.net.features(batch["rendered"].flatten(0, 1), batch["observed"].flatten(0, 1))
        shuffled = torch.rand_like(error).argsort(dim=1)
        rows = torch.arange(sets, device=error.device)[:, None]
        features = features.reshape(sets, hypotheses, -1)[rows, shuffled]
        sizes = [size for size in range(1, hypotheses + 1) if hypotheses % size == 0]
        # A quarter of the steps keep the sets whole, half take lone hypotheses, the others any divisor.
        kind = float(torch.rand(()))
        size = hypotheses if kind < 0.25 else 1 if kind < 0.75 else sizes[int(torch.randint(len(sizes), ()))]
        with half_where_fast(error):
            score = self.net.attention(features.reshape(-1, size, features.shape[-1]))
        return score_loss(score.float(), error[rows, shuffled].reshape(-1, size))

    @torch.no_grad()
    def figures(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """Held-out figures; the module must be in eval mode. ``lone_`` is each hypothesis scored by itself."""
        sets = {key: batch[key].flatten(0, 1) for key in ("rendered", "observed")}
        features = torch.cat([self.net.features(rendered, observed) for rendered, observed in _chunks(sets)])
        error = batch["add_error"]
        score = self.net.attention(features.reshape(*error.shape, -1))
        lone = self.net.attention(features[:, None])[:, 0].reshape(error.shape)
        right = ((lone > 0.0) == (error < NEAR)).float().mean()
        return {**score_figures(score, error), "lone_near_accuracy": float(right)}


def _chunks(pairs: dict[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Rendered and observed crops ``(n, 6, S, S)``, a few pairs at a time."""
    for at in range(0, len(pairs["rendered"]), _EVALUATION_CHUNK):
        yield pairs["rendered"][at : at + _EVALUATION_CHUNK], pairs["observed"][at : at + _EVALUATION_CHUNK]


Objective = RefineObjective | ScoreObjective | SomObjective | TomObjective


def make_objective(config: TrainConfig) -> Objective:
    """The objective of the network to train, randomly initialised."""
    if config.network is Network.SOM:
        return SomObjective(config.som)
    if config.network is Network.TOM:
        return TomObjective(config.tom)
    if config.network is Network.SCORE:
        return ScoreObjective(config.nano)
    return RefineObjective(config.nano, config.flow_weight)


LEADING: dict[Network, tuple[str, bool]] = {
    Network.REFINE: ("far_rot_after_deg", False),
    Network.SCORE: ("regret_pct", False),
    Network.SOM: ("iou", True),
    Network.TOM: ("memory_auroc", True),
}
"""The held-out figure by which evaluations of a network are compared, and whether more of it is better."""
