"""What speaks against each of several poses of one object, as one number: window, contour and residual together.

Poses are compared as they are, by the colours that a track learned, or refined, each by the colours that it would
teach itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.kernels.contour_region import BIN_COUNT
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.alignment import AlignmentTerms
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.refine.schedule import Schedule
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.evidence import SideEvidence, SideTerms

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
NetworkWord = Callable[[FrameBuffers, Float64], Float64]
"""What a network holds against poses ``(N, 4, 4)`` in a frame, 0..1 ``(N,)``."""


@dataclass(frozen=True, kw_only=True)
class Refined:
    """A pose that was refined, with the colours that it teaches itself."""

    T_cam_centre: Float64
    """Pose of the centred mesh, ``(4, 4)``."""
    alignment: AlignmentTerms
    """How it agrees with the image by them."""
    log_odds: Float32
    """Those colours, nothing where too little was seen to learn from ``(BIN_COUNT,)``."""


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
        self._geometry.descents.set_frame(buffers)
        steps = (self._small, *[self._narrow] * (len(starts) - 1))
        found = [self._descended(buffers, start, appearance, s) for start, s in zip(starts, steps, strict=True)]
        residuals = np.array([refined.alignment.residual[0] for refined in found])
        return np.stack([refined.T_cam_centre for refined in found]), self.costs_of(frame, buffers, found), residuals

    def refine(self, buffers: FrameBuffers, start: Float64, appearance: AppearanceModel) -> Refined:
        """A pose ``(4, 4)`` refined by itself.

        Args:
            buffers: The image, uploaded.
            start: Where it begins.
            appearance: Colours for where too little is seen to learn from.
        """
        self._geometry.descents.set_frame(buffers)
        return self._descended(buffers, start, appearance, self._narrow)

    def costs_of(self, frame: Frame, buffers: FrameBuffers, found: Sequence[Refined]) -> Float64:
        """What speaks against refined poses [logit] ``(N,)``, by the colours that each teaches; the first is in the
        middle, and there are at most as many as a fan has turns, and one."""
        poses, odds = (
            np.stack([getattr(refined, name) for refined in found]) for name in ("T_cam_centre", "log_odds")
        )
        alignment = AlignmentTerms.concatenate([refined.alignment for refined in found])
        return self._sum(self._evidence.terms(frame, poses, odds), alignment, buffers, poses)

    def _descended(
        self, buffers: FrameBuffers, start: Float64, appearance: AppearanceModel, steps: Schedule
    ) -> Refined:
        """A pose after steps from ``start``, and what is known of it there."""
        geometry, pose = self._geometry, start
        geometry.appearance.copy_from(appearance)
        geometry.descents.update_appearance_at(start, 1.0)
        refined = geometry.descents.descend(start, steps).poses[0]
        if _is_pose(refined):
            pose = np.asarray(refined, dtype=np.float64)
            geometry.descents.update_appearance_at(pose, 1.0)
        alignment, known = geometry.terms_at(buffers, pose), geometry.appearance.log_odds()
        odds = np.zeros(BIN_COUNT, dtype=np.float32) if known is None else known
        return Refined(T_cam_centre=pose, alignment=alignment, log_odds=odds)

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
