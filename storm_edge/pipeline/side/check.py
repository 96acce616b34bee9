"""Asks a track for its side, a little at a time: a fan of turns in one look, the best of them refined in the next.

Turns that may fit better become rivals of the pose (`pipeline.side.rivals`). When all of them were heard, and the
best gains more than noise and model errors make, the track is turned to it. Each is judged, like the pose itself, by
the colours that it would teach: what a track learned at a wrong pose may speak against the right one.
A rival is kept relative to the pose, so that both move with the object. A turn that lost is not heard again before
the view changes. After a turn the side that was left is the next rival: it comes back only if the evidence turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.side.ambiguity import Ambiguity
from storm_edge.pipeline.side.config import SideConfig
from storm_edge.pipeline.side.fan import fan_of
from storm_edge.pipeline.side.fan_memory import FanMemory, Turns
from storm_edge.pipeline.side.judge import NetworkWord, SideJudge
from storm_edge.pipeline.side.rivals import Rival, Rivals, turn_deg

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


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
        self._config = config
        self._memory = FanMemory(fan_of(item.bundle.near_symmetries, item.bundle.symmetries, config), config)
        self._judge = SideJudge(item, config, network)
        self._rivals = Rivals(config)
        self.ambiguity: Ambiguity | None = None

    @property
    def has_questions(self) -> bool:
        """Whether there is any turn to ask about."""
        return len(self._memory.fan.motions) > 0 or bool(self._rivals)

    @property
    def is_hearing(self) -> bool:
        """Whether rivals wait to be heard, which should not last."""
        return bool(self._rivals)

    @property
    def is_new(self) -> bool:
        """Whether nobody looked at the fan of this track yet."""
        return self._memory.is_new

    @property
    def has_near_turns(self) -> bool:
        """Whether a look at the nearest turns alone says something."""
        return len(self._memory.near) > 0

    def forget(self) -> None:
        """The track begins anew."""
        self._rivals.clear()
        self._memory.forget()
        self.ambiguity = None

    def interrupt(self) -> None:
        """The pose jumped: who knows whether the object turned, or the track about it. No rival is heard further."""
        self._rivals.clear()

    def look(
        self,
        frame: Frame,
        buffers: FrameBuffers,
        T_cam_centre: Float64,
        appearance: AppearanceModel,
        *,
        near_only: bool = False,
        hear_nearest: bool = False,
    ) -> SideAnswer:
        """Ask once.

        Args:
            frame: The image.
            buffers: The same, uploaded.
            T_cam_centre: The track's pose ``(4, 4)``.
            appearance: What the track learned of the object's colours.
            near_only: Where no rival waits, compare the nearest turns alone: much cheaper, and a track that stays
                behind an object that turns fast is behind by one of them.
            hear_nearest: Where no rival waits, let the nearest turns become rivals, whatever they seem to cost and
                whenever they were heard: something says that the pose is wrong by a little.
        """
        answer = SideAnswer()
        if self._rivals:
            answer = self._hear(frame, buffers, T_cam_centre, appearance)
        else:
            turns = self._memory.near if near_only else self._memory.next_part(T_cam_centre)
            self._glance(frame, buffers, T_cam_centre, appearance, turns)
            if hear_nearest:
                self._add_missing(self._memory.near)
        self.ambiguity = self._memory.ambiguity()
        return answer

    def _glance(
        self,
        frame: Frame,
        buffers: FrameBuffers,
        T: Float64,
        appearance: AppearanceModel,
        turns: Turns,
    ) -> None:
        """Compare turns of the fan; the best of them become rivals where they may win."""
        if not len(turns):
            return
        poses = np.concatenate([T[None], T @ self._memory.fan.motions[turns]])
        costs = self._judge.costs(frame, buffers, poses, appearance)
        self._memory.note_glance(turns, costs[1:] - costs[0])
        self._queue(turns)

    def _queue(self, turns: Turns) -> None:
        """Turns that may win become rivals; with them the nearest, whatever they seem to cost.

        A track slips by small turns most often, and by little until it is stopped by a pose from which the right one
        seems worse than a far one.
        """
        config, rivals, motions = self._config, self._rivals, self._memory.fan.motions
        for turn in self._memory.promising(turns):
            if not rivals.has_near(motions[turn], config.rivals_apart_deg) and len(rivals) < config.queue:
                self._add(int(turn))
        if rivals:
            self._add_missing(self._memory.nearest(turns))

    def _add_missing(self, turns: Turns) -> None:
        """Let turns wait to be heard that do not yet."""
        waiting = {rival.turn for rival in self._rivals}
        for turn in turns:
            if turn not in waiting:
                self._add(int(turn))

    def _add(self, turn: int) -> None:
        """Let a turn of the fan wait to be heard."""
        self._rivals.add(Rival(motion=self._memory.fan.motions[turn], turn=turn))
        self._memory.note_waiting(turn)

    def _hear(self, frame: Frame, buffers: FrameBuffers, T: Float64, appearance: AppearanceModel) -> SideAnswer:
        """Refine some rivals and compare them; the track is turned to the best of all, or none."""
        config, asked = self._config, self._rivals.next()
        starts = np.stack([T, *(T @ rival.motion for rival in asked)])
        poses, costs, residuals = self._judge.refined(frame, buffers, starts, appearance)
        apart_deg = [min(turn_deg(pose, T), turn_deg(pose, poses[0])) for pose in poses]
        is_same = np.array(apart_deg) < config.same_turn_deg
        end = int(np.argmin(np.where(is_same, costs, np.inf)))
        is_best = costs[end] <= costs.min() and len(asked) == len(self._rivals)
        if is_best and self._is_behind(frame, buffers, T, poses[end], float(costs[end])):
            self.forget()
            return SideAnswer(T_cam_centre_better=poses[end])
        for rival, pose, cost, has_returned in zip(asked, poses[1:], costs[1:], is_same[1:], strict=True):
            if has_returned:  # it came to the same pose
                self._memory.note_heard(rival.turn, np.inf)
                self._rivals.drop([rival])
                continue
            rival.motion = invert(T) @ pose
            rival.gains.append(float(costs[0] - cost))
            self._memory.note_heard(rival.turn, -rival.mean_gain)
        self._rivals.join(config.same_turn_deg)
        best = self._rivals.best()
        if best is None:
            return SideAnswer()
        index = next((i for i, rival in enumerate(asked) if rival is best), -1)
        if config.bias < best.mean_gain < config.lead and self._rivals.are_heard:
            self._add_missing(self._memory.unheard_of_part())  # any might gain as much as the best so far
        is_sure = index >= 0 and self._rivals.is_sure(best)
        slack = np.inf if best.mean_gain > config.clear_gain else config.residual_slack
        if is_sure and residuals[1 + index] <= residuals[0] + slack:
            left = Rival(motion=invert(best.motion), turn=None, gains=[-best.mean_gain])
            self.forget()
            self._rivals.add(left)
            return SideAnswer(T_cam_centre_better=poses[1 + index], is_doubted=True)
        is_doubted = self._rivals.is_strong(best)
        self._rivals.drop([rival for rival in self._rivals if not self._rivals.is_open(rival)])
        return SideAnswer(is_doubted=is_doubted)

    def _is_behind(self, frame: Frame, buffers: FrameBuffers, T: Float64, T_end: Float64, end_cost: float) -> bool:
        """Whether a pose is several degrees from where a refinement near it ended, and costs clearly more."""
        if turn_deg(T, T_end) <= self._config.behind_deg:
            return False
        own_cost = self._judge.costs(frame, buffers, T[None], self._judge.appearance_at(buffers, T))[0]
        return bool(own_cost - end_cost > self._config.behind_gain)
