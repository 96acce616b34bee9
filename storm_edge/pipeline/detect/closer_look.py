"""A closer look at a place where a search is in doubt: the pose is settled there, and small print has a say.

A search tries many poses and looks at each but coarsely. Where the best of them is neither clearly the object nor
clearly not, what else may be right at that place is refined and compared as for a pose that was found
(`pipeline.side.settling`). So a right place is not missed because its pose is turned. And what is like the object in
size, shape and colours is told from it by what varies fast on its surface, by how much there is of each colour, by
its contour, by how well depth fits pixel by pixel, and by ScoreNet, where one is there that knows single poses.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.candidate_scoring import logit_of
from storm_edge.pipeline.detect.config import CloserLookConfig
from storm_edge.pipeline.detect.detection import Detection, Look, SearchState
from storm_edge.pipeline.refine.lone_scores import LonePoseScorer
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.settling import Settling
from storm_edge.pipeline.track.contract import FoundPose

Float64 = NDArray[np.float64]


class CloserLook:
    """Looks closer at places where one object may be; buffers are made here.

    Args:
        item: The object.
        side: How poses are settled.
        config: What is doubtful, and what the closer look is worth.
        scorer: The ScoreNet that is asked, if one knows single poses.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        side: SideConfig,
        config: CloserLookConfig,
        scorer: LonePoseScorer | None = None,
    ) -> None:
        self._settling, self._config, self._scorer = Settling(item, side), config, scorer

    def is_due(self, search: SearchState, detection: Detection) -> bool:
        """Whether a detection is doubtful: neither hopeless nor probable, or probable in colours that it hardly has,
        or not to ScoreNet.

        Shape alone can make a place probable: a box of the same size in a print of its own.
        """
        probability, config, T = detection.presence_probability, self._config, detection.T_cam_centre
        if probability < config.below:
            return probability >= config.least
        if self._settling.palette_overlap(search.frame, T) < config.least_palette:
            return True
        network = self._network_logit(search, T)
        return network is not None and network < config.least_network

    def chunks(
        self, search: SearchState, first: Detection, scored: Callable[[Float64], Detection]
    ) -> Generator[str, None, Detection]:
        """Settle a detection's pose in bounded chunks of work.

        Args:
            search: The search under way.
            first: The detection.
            scored: Makes one of another pose ``(4, 4)`` at its place.

        Returns:
            The better of both poses, with the probability that all this gives it.
        """
        known = FoundPose(T_cam_centre=first.T_cam_centre)
        candidates = yield from self._settling.chunks(search.frame, search.buffers, known)
        best = int(np.argmin(candidates.costs))
        settled = scored(candidates.poses[best])
        yield "judge"
        search.tried.append(settled)
        is_better = settled.presence_probability > first.presence_probability
        chosen, row = (settled, best) if is_better else (first, 0)
        others = (one.presence_probability for one in search.detections if one is not first)
        look = Look(
            first_probability=chosen.presence_probability,
            detail=float(candidates.term("detail")[row]),
            depth=float(candidates.term("depth")[row]),
            elsewhere=max(others, default=0.0),
            palette=candidates.palette_overlap(row),
            contour=chosen.features.contour,
            network=self._network_logit(search, chosen.T_cam_centre),
        )
        return replace(chosen, presence_probability=presence_after(look, self._config), look=look)

    def _network_logit(self, search: SearchState, T_cam_centre: Float64) -> float | None:
        """What ScoreNet says of a pose ``(4, 4)`` by itself."""
        if self._scorer is None:
            return None
        return float(self._scorer.logits(search.buffers, T_cam_centre[None])[0])


def presence_after(look: Look, config: CloserLookConfig) -> float:
    """Presence probability after a closer look, 0..1."""
    weights = config.weights_without_network if look.network is None else config.weights
    logit = weights.constant + sum(getattr(weights, name) * value for name, value in regressors(look, config).items())
    return float(expit(logit))


def regressors(look: Look, config: CloserLookConfig) -> dict[str, float]:
    """What each weight of `CloserLookWeights` is multiplied by."""
    least, most = config.least_elsewhere, config.most_logit
    return {
        "first": logit_of(look.first_probability),
        "detail": look.detail,
        "depth": look.depth,
        "elsewhere": logit_of(float(np.clip(look.elsewhere, least, 1.0 - least))),
        "palette": look.palette,
        "contour": look.contour,
        "network": 0.0 if look.network is None else float(np.clip(look.network, -most, most)),
    }
