"""What speaks against each of several poses of one object, as one number: window, contour and residual together.

Poses are compared as they are, by the colours that a track learned, or refined, each by the colours that it would
teach itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.kernels.contour_region import BIN_COUNT
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.alignment import AlignmentTerms
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.evidence import SideEvidence, SideTerms

Float64 = NDArray[np.float64]
NetworkWord = Callable[[FrameBuffers, Float64], Float64]
"""What a network holds against poses ``(N, 4, 4)`` in a frame, 0..1 ``(N,)``."""


class SideJudge:
    """Compares poses of one object; buffers are made here.

    Args:
        item: The object.
        config: What the evidence is made of.
        network: A network that is asked beside, see `SideWeights.network`; None where there is none.
    """

    def __init__(self, item: ObjectOnDevice, config: SideConfig, network: NetworkWord | None) -> None:
        self._weights, self._network = config.weights, network
        # Its own refiner: rivals must not move the track's residual baseline, nor teach it colours.
        self._geometry = GeometricRefiner(item.viewpoints, config=config.geometry, batch=config.fan + 1)
        schedule = self._geometry.descents.schedule
        self._small, self._narrow = schedule(config.geometry.small), schedule(config.geometry.narrow)
        self._evidence = SideEvidence(item.mesh_lod, item.diameter_m, config.evidence, config.fan + 1)
        self._learned = AppearanceModel(item.viewpoints.device)

    def appearance_at(self, buffers: FrameBuffers, T_cam_centre: Float64) -> AppearanceModel:
        """The colours that a pose ``(4, 4)`` teaches, until the next call."""
        self._geometry.update_appearance(buffers, T_cam_centre, forget=True)
        self._learned.copy_from(self._geometry.appearance)
        return self._learned

    def costs(self, frame: Frame, buffers: FrameBuffers, poses: Float64, appearance: AppearanceModel) -> Float64:
        """What speaks against poses ``(N, 4, 4)`` as they are [logit] ``(N,)``; the first is in the middle."""
        self._geometry.appearance.copy_from(appearance)
        terms = self._evidence.terms(frame, poses, self._geometry.appearance.log_odds())
        return self._sum(terms, self._geometry.terms_at(buffers, poses), buffers, poses)

    def refined(
        self, frame: Frame, buffers: FrameBuffers, starts: Float64, appearance: AppearanceModel
    ) -> tuple[Float64, Float64, Float64]:
        """Poses ``(N, 4, 4)`` refined, their costs [logit] and geometric residuals, each with its own colours.

        Args:
            frame: The image.
            buffers: The same, uploaded.
            starts: Where they begin; the first is in the middle, and was refined before.
            appearance: What the track learned of the object's colours.
        """
        geometry, poses, odds, found = self._geometry, starts.copy(), [], []
        geometry.descents.set_frame(buffers)
        for index, start in enumerate(starts):
            geometry.appearance.copy_from(appearance)  # where too little is seen to learn from
            geometry.descents.update_appearance_at(start, 1.0)
            steps = self._narrow if index else self._small
            refined = geometry.descents.descend(start, steps).poses[0]
            if _is_pose(refined):
                poses[index] = refined
                geometry.descents.update_appearance_at(refined, 1.0)
            found.append(geometry.terms_at(buffers, poses[index]))
            known = geometry.appearance.log_odds()
            odds.append(np.zeros(BIN_COUNT, dtype=np.float32) if known is None else known)
        alignment = AlignmentTerms.concatenate(found)
        terms = self._evidence.terms(frame, poses, np.stack(odds))
        return poses, self._sum(terms, alignment, buffers, poses), alignment.residual

    def _sum(self, terms: SideTerms, alignment: AlignmentTerms, buffers: FrameBuffers, poses: Float64) -> Float64:
        """What speaks against poses ``(N, 4, 4)`` [logit] ``(N,)``."""
        weights = self._weights
        costs = weights.through * terms.through + weights.veiled * terms.veiled + weights.outside * terms.outside
        costs += weights.texture * terms.texture + weights.hidden * terms.hidden
        costs += weights.contour * alignment.contour + weights.residual * alignment.residual
        if self._network is not None and weights.network:
            costs += weights.network * self._network(buffers, poses)
        return costs


def _is_pose(T: Float64) -> bool:
    return bool(np.isfinite(T).all() and T[2, 3] > 0.0)
