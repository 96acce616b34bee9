"""Asks a track for its side, a little at a time: a fan of turns in one look, the best of them refined in the next.

Turns that may fit better become rivals of the pose (`pipeline.side.rivals`). When all of them were heard, and the
best gains more than noise and model errors make, the track is turned to it. Each is judged, like the pose itself, by
the colours that it would teach: what a track learned at a wrong pose may speak against the right one.
A rival is kept relative to the pose, so that both move with the object. A turn that lost is not heard again before
the view changes. After a turn the side that was left is the next rival: it comes back only if the evidence turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert
from storm_edge.kernels.contour_region import BIN_COUNT
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.alignment import AlignmentTerms
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.side.ambiguity import Ambiguity
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.evidence import SideEvidence, SideTerms
from storm_edge.pipeline.side.fan import fan_of
from storm_edge.pipeline.side.rivals import Rival, Rivals, turn_deg

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
NetworkWord = Callable[[FrameBuffers, Float64], Float64]
"""What a network holds against poses ``(N, 4, 4)`` in a frame, 0..1 ``(N,)``."""


@dataclass(frozen=True, kw_only=True)
class SideAnswer:
    """What a look said."""

    T_cam_centre_better: Float64 | None = None
    """The pose to go on from ``(4, 4)``; None where the track's own is not contradicted."""
    is_doubted: bool = False
    """Whether another side fits better, without being sure enough, or without fitting well enough, to turn to it."""


class SideCheck:
    """Knows the side of one track; buffers are made here.

    Args:
        item: The object.
        config: When the side is asked for, and when the answer counts.
        network: A network that is asked beside, see `SideWeights.network`; None where there is none.

    Attributes:
        ambiguity: What the looks so far could not tell.
    """

    def __init__(self, item: ObjectOnDevice, config: SideConfig, network: NetworkWord | None = None) -> None:
        self._config, self._network = config, network
        self._fan = fan_of(item.bundle.near_symmetries, item.bundle.symmetries, config)
        # Its own refiner: rivals must not move the track's residual baseline, nor teach it colours.
        self._geometry = GeometricRefiner(item.viewpoints, config=config.geometry, batch=config.fan + 1)
        schedule = self._geometry.descents.schedule
        self._small, self._narrow = schedule(config.geometry.small), schedule(config.geometry.narrow)
        self._evidence = SideEvidence(item.mesh_lod, item.diameter_m, config.evidence, config.fan + 1)
        self._rivals = Rivals(config)
        turns = len(self._fan.motions)
        self._glanced, self._heard = np.full(turns, np.inf), np.full(turns, np.nan)
        self._heard_at = np.eye(4)
        self._part, self._fan_looks = slice(0, 0), 0
        self.ambiguity: Ambiguity | None = None

    @property
    def has_questions(self) -> bool:
        """Whether there is any turn to ask about."""
        return len(self._fan.motions) > 0 or bool(self._rivals)

    @property
    def is_urgent(self) -> bool:
        """Whether to look in the next frame: rivals wait to be heard, or nobody looked at this track yet."""
        return bool(self._rivals) or self._part.stop == 0

    def forget(self) -> None:
        """The track begins anew."""
        self._rivals.clear()
        self._part, self.ambiguity = slice(0, 0), None
        self._glanced[:] = np.inf
        self._forget_heard(np.eye(4))

    def interrupt(self) -> None:
        """The pose jumped: who knows whether the object turned, or the track about it. No rival is heard further."""
        self._rivals.clear()

    def propose(self, motion: Float64) -> None:
        """Ask about a pose ``T_cam_centre @ motion`` first, such as the runner-up of a registration."""
        self._rivals.add(Rival(motion=motion, turn=None), first=True)

    def look(
        self, frame: Frame, buffers: FrameBuffers, T_cam_centre: Float64, appearance: AppearanceModel
    ) -> SideAnswer:
        """Ask once.

        Args:
            frame: The image.
            buffers: The same, uploaded.
            T_cam_centre: The track's pose ``(4, 4)``.
            appearance: What the track learned of the object's colours.
        """
        answer = SideAnswer()
        if self._rivals:
            answer = self._hear(frame, buffers, T_cam_centre, appearance)
        else:
            self._geometry.appearance.copy_from(appearance)
            self._glance(frame, buffers, T_cam_centre)
        excess = np.where(np.isnan(self._heard), self._glanced, self._heard)
        self.ambiguity = self._fan.ambiguity(excess < self._config.tie)
        return answer

    def _glance(self, frame: Frame, buffers: FrameBuffers, T: Float64) -> None:
        """Compare the next part of the fan; the best turns of it become rivals where they may win."""
        config, fan = self._config, self._fan
        if not len(fan.motions):
            return
        if turn_deg(T, self._heard_at) > config.other_view_deg or self._fan_looks >= config.remembered_looks:
            self._forget_heard(T)
        first = self._part.stop if self._part.stop < len(fan.motions) else 0
        self._part = part = slice(first, first + config.fan)
        self._fan_looks += first == 0
        poses = np.concatenate([T[None], T @ fan.motions[part]])
        terms = self._evidence.terms(frame, poses, self._geometry.appearance.log_odds())
        costs = self._costs(terms, self._geometry.terms_at(buffers, poses), buffers, poses)
        excess = costs[1:] - costs[0]
        self._glanced[part] = excess
        self._queue(part.start + np.argsort(excess, kind="stable"), config.fan_slack)

    def _queue(self, turns: NDArray[np.int64], slack: float) -> None:
        """Turns that may win become rivals, in this order; with them the nearest, whatever they seem to cost.

        A track slips by small turns most often, and by little until it is stopped by a pose from which the right one
        seems worse than a far one.
        """
        config, rivals, motions = self._config, self._rivals, self._fan.motions
        size_deg = np.abs(self._fan.angle_deg)
        nearest = turns[size_deg[turns] == size_deg[turns].min()]
        is_new = np.isnan(self._heard)
        for turn in turns[is_new[turns] & (self._glanced[turns] <= slack)]:
            if not rivals.has_near(motions[turn], config.rivals_apart_deg) and len(rivals) < config.queue:
                rivals.add(Rival(motion=motions[turn], turn=int(turn)))
        if rivals:
            for turn in nearest[is_new[nearest]]:
                if not any(rival.turn == turn for rival in rivals):
                    rivals.add(Rival(motion=motions[turn], turn=int(turn)))

    def _hear(self, frame: Frame, buffers: FrameBuffers, T: Float64, appearance: AppearanceModel) -> SideAnswer:
        """Refine some rivals and compare them; the track is turned to the best of all, or none."""
        config, asked = self._config, self._rivals.next()
        starts = np.stack([T, *(T @ rival.motion for rival in asked)])
        poses, costs, residuals = self._judged(frame, buffers, starts, appearance)
        for rival, pose, cost in zip(asked, poses[1:], costs[1:], strict=True):
            if turn_deg(pose, T) < config.same_turn_deg:  # it came to the same pose
                self._note(rival, np.inf)
                self._rivals.drop([rival])
                continue
            rival.motion = invert(T) @ pose
            rival.gains.append(float(costs[0] - cost))
            self._note(rival, -rival.mean_gain)
        self._rivals.join(config.same_turn_deg)
        best = self._rivals.best()
        if best is None:
            return SideAnswer()
        index = next((i for i, rival in enumerate(asked) if rival is best), -1)
        if config.bias < best.mean_gain < config.lead and self._rivals.are_heard:
            self._hear_all_turns()
        is_sure = index >= 0 and self._rivals.is_sure(best)
        if is_sure and residuals[1 + index] <= residuals[0] + config.residual_slack:
            left = Rival(motion=invert(best.motion), turn=None, gains=[-best.mean_gain])
            self.forget()
            self._rivals.add(left)
            return SideAnswer(T_cam_centre_better=poses[1 + index], is_doubted=True)
        gain = best.mean_gain
        self._rivals.drop([rival for rival in self._rivals if not self._rivals.is_open(rival)])
        return SideAnswer(is_doubted=gain > config.bias)

    def _hear_all_turns(self) -> None:
        """Let all turns of the part wait to be heard: any might gain as much as the best so far."""
        part, waiting = self._part, {rival.turn for rival in self._rivals}
        for turn in part.start + np.flatnonzero(np.isnan(self._heard[part])):
            if turn not in waiting:
                self._rivals.add(Rival(motion=self._fan.motions[turn], turn=int(turn)))

    def _judged(
        self, frame: Frame, buffers: FrameBuffers, starts: Float64, appearance: AppearanceModel
    ) -> tuple[Float64, Float64, Float64]:
        """Poses ``(N, 4, 4)`` refined, their costs [logit] and geometric residuals, each with its own colours."""
        geometry, poses, odds, found = self._geometry, starts.copy(), [], []
        geometry.descents.set_frame(buffers)
        for index, start in enumerate(starts):
            geometry.appearance.copy_from(appearance)  # where too little is seen to learn from
            geometry.descents.update_appearance_at(start, 1.0)
            steps = self._narrow if index else self._small  # the track's pose was refined before
            refined = geometry.descents.descend(start, steps).poses[0]
            if _is_pose(refined):
                poses[index] = refined
                geometry.descents.update_appearance_at(refined, 1.0)
            found.append(geometry.terms_at(buffers, poses[index]))
            known = geometry.appearance.log_odds()
            odds.append(np.zeros(BIN_COUNT, dtype=np.float32) if known is None else known)
        alignment = AlignmentTerms.concatenate(found)
        terms = self._evidence.terms(frame, poses, np.stack(odds))
        return poses, self._costs(terms, alignment, buffers, poses), alignment.residual

    def _costs(self, terms: SideTerms, alignment: AlignmentTerms, buffers: FrameBuffers, poses: Float64) -> Float64:
        """What speaks against poses ``(N, 4, 4)`` [logit] ``(N,)``."""
        weights = self._config.weights
        costs = weights.through * terms.through + weights.veiled * terms.veiled + weights.outside * terms.outside
        costs += weights.texture * terms.texture + weights.hidden * terms.hidden
        costs += weights.contour * alignment.contour + weights.residual * alignment.residual
        if self._network is not None and weights.network:
            costs += weights.network * self._network(buffers, poses)
        return costs

    def _note(self, rival: Rival, excess: float) -> None:
        """Keep what a rival costs more than the pose, for the turn that it began as."""
        if rival.turn is not None:
            self._heard[rival.turn] = excess

    def _forget_heard(self, T: Float64) -> None:
        """Turns may be heard again, from the pose ``(4, 4)`` on."""
        self._heard[:] = np.nan
        self._heard_at, self._fan_looks = T, 0


def _is_pose(T: Float64) -> bool:
    return bool(np.isfinite(T).all() and T[2, 3] > 0.0)
