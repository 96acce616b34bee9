"""Settles which side of an object an image shows, when a pose was found in it and nothing else is known.

All that may be right is refined and compared by finer evidence than a track's looks have (`side.found_evidence`): the
pose, what the registration found beside it, and the turns about the object's near-symmetries. The best wins. What
costs hardly more is told: as ambiguous where it is such a turn, and as a doubt where not. Where even the best costs
more than right poses do, more is searched for: by the registration, and by small turns, since a fine texture fits
nowhere but at its place.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.symmetry import nearest_symmetric
from storm_edge.kernels.contour_region import BIN_COUNT
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.near_symmetry import turns_about
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.side.config import SettleWeights, SideConfig
from storm_edge.pipeline.side.fan import Fan, fan_of
from storm_edge.pipeline.side.found_evidence import FoundEvidence
from storm_edge.pipeline.side.judge import Refined, SideJudge
from storm_edge.pipeline.side.rivals import turn_deg
from storm_edge.pipeline.track.contract import FoundPose, SettledPose

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_TERMS = tuple(field.name for field in fields(SettleWeights))


class Settling:
    """Settles poses of one object; buffers are made here.

    Args:
        item: The object.
        config: What is compared, and what it costs.
    """

    def __init__(self, item: ObjectOnDevice, config: SideConfig) -> None:
        self._config, self._rule = config, config.settle
        self._fan: Fan = fan_of(item.bundle.near_symmetries, item.bundle.symmetries, config)
        self._bundle = item.bundle
        self._judge = SideJudge(item, config, None)
        self._evidence = FoundEvidence(item.mesh, item.bundle.diameter_m, config.settle.evidence)

    def settle(self, frame: Frame, buffers: FrameBuffers, found: FoundPose) -> SettledPose:
        """The best of what may be right, from one image alone.

        Args:
            frame: The image.
            buffers: The same, uploaded.
            found: What was found in it.
        """
        if not self._rule.enabled:
            return SettledPose(T_cam_centre=found.T_cam_centre)
        return self._settled(self.compared(frame, buffers, found))

    def compared(self, frame: Frame, buffers: FrameBuffers, found: FoundPose) -> Candidates:
        """Exhaust `chunks`."""
        return run_to_completion(self.chunks(frame, buffers, found))

    def chunks(self, frame: Frame, buffers: FrameBuffers, found: FoundPose) -> Generator[str, None, Candidates]:
        """What may be right, and what speaks against it, in bounded chunks of work.

        Args:
            frame: As for `settle`; so are the others.
            buffers: See there; must stay as it is until the generator ends.
            found: See there.
        """
        candidates = Candidates(self._judge, self._evidence, self._bundle, self._config, (frame, buffers, found))
        candidates.add(found.T_cam_centre[None])
        if found.others is not None:
            candidates.add(found.others)
        yield "settle"
        yield from self._add_turns(candidates)
        if candidates.least_cost > self._rule.poor_cost and found.more is not None:
            candidates.add(found.more())
            yield "settle"
            self._add_small_turns(candidates)
            yield "settle"
            yield from self._add_turns(candidates)
        return candidates

    def palette_overlap(self, frame: Frame, T_cam_centre: Float64) -> float:
        """How much the model at a pose ``(4, 4)`` has of the colours of the image, 0 to 1 (`side.palette`)."""
        return self._evidence.palette_overlap(frame, T_cam_centre)

    def _add_turns(self, candidates: Candidates) -> Generator[str, None, None]:
        """The turns of the best that may win, and of what wins then."""
        if not len(self._fan.motions):
            return
        for _ in range(2):  # fixed: what turned about one axis may be turned about another
            best = candidates.best
            candidates.add(candidates.promising(best @ self._fan.motions, self._rule.fan_slack))
            yield "settle"
            if candidates.best is best:
                return

    def _add_small_turns(self, candidates: Candidates) -> None:
        """Of small turns of the best, either way up, those that fit best as they are."""
        rule, near = self._rule, self._bundle.near_symmetries
        count = round(360.0 / rule.small_turn_deg)
        stride = count / near.surface.shape[1]
        kept = np.minimum(np.arange(count) // stride, near.surface.shape[1] - 1).astype(np.int64)
        for axis, direction in enumerate(near.directions):
            motions = turns_about(direction, near.points_m[axis], count)
            motions = motions[near.surface[axis, kept] >= self._config.kept_surface]
            for T in candidates.ways_up(direction, rule.ways_up):
                candidates.add(candidates.likely(T @ motions, rule.small_turns))

    def _settled(self, candidates: Candidates) -> SettledPose:
        """The best, and what cannot be told from it: what is no turn of the fan can only be doubted.

        A found pose that stays is left as it is: its registration refined it, with what the mask told of the colours.
        """
        rule, same_deg = self._rule, self._config.same_turn_deg
        costs = candidates.compared_costs()
        index = candidates.best_of(costs)
        best, settled = candidates.poses[index], candidates.poses[index] if index else candidates.found
        turns, is_doubted = best @ self._fan.motions, False
        is_tied = np.zeros(len(turns), dtype=bool)
        for T, cost in zip(candidates.poses, costs, strict=True):
            excess = cost - costs[index]
            if excess >= rule.doubt or turn_deg(T, best) < same_deg:
                continue
            is_of_turn = np.array([turn_deg(turn, T) < same_deg for turn in turns], dtype=bool)
            is_told = excess < rule.tie and bool(is_of_turn.any())
            is_tied |= is_of_turn & is_told
            is_doubted = is_doubted or not is_told
        return SettledPose(T_cam_centre=settled, is_side_doubted=is_doubted, ambiguous=self._fan.ambiguity(is_tied))


class Candidates:
    """Poses that may be right in one image, refined, and what speaks against each.

    Args:
        judge: Refines.
        evidence: Compares.
        bundle: The object.
        config: What it costs, and when two are one.
        image: The image, the same uploaded, and what was found in it.

    Attributes:
        poses: Of the centred mesh ``(4, 4)`` each.
        costs: What speaks against each [logit] ``(N,)``.
        terms: What that is made of, see `SettleWeights` ``(N, T)``.
    """

    def __init__(
        self,
        judge: SideJudge,
        evidence: FoundEvidence,
        bundle: ObjectBundle,
        config: SideConfig,
        image: tuple[Frame, FrameBuffers, FoundPose],
    ) -> None:
        self._judge, self._evidence, self._config = judge, evidence, config
        self._apart_m, self._symmetries = config.settle.same_shift * bundle.diameter_m, bundle.symmetries
        self._frame, self._buffers, self._found = image
        self._appearance = judge.appearance_at(self._buffers, self._found.T_cam_centre)
        odds = self._appearance.log_odds()
        self._common_log_odds = np.zeros(BIN_COUNT, dtype=np.float32) if odds is None else odds
        rule = config.settle
        self._weights = (rule.weights_without_mask if self._found.mask is None else rule.weights).array()
        self._middle: Refined | None = None
        self.poses: list[Float64] = []
        self.terms: Float64 = np.zeros((0, len(self._weights)))
        self.costs: Float64 = np.zeros(0)

    @property
    def best(self) -> Float64:
        """The pose with the least cost; the one that was found first where others gain hardly more."""
        return self.poses[self._best]

    @property
    def found(self) -> Float64:
        """The pose that was found, as it was found."""
        return self._found.T_cam_centre

    @property
    def least_cost(self) -> float:
        """Its cost [logit]."""
        return float(self.costs[self._best])

    @property
    def _best(self) -> int:
        return self.best_of(self.costs)

    def best_of(self, costs: Float64) -> int:
        """Which pose costs least ``(N,)``; the one that was found, 0, where others gain hardly more."""
        best = int(np.argmin(costs))
        return best if costs[best] < costs[0] - self._config.settle.least_gain else 0

    def compared_costs(self) -> Float64:
        """`costs`, and for what costs hardly more than the best what the colours say between the two ``(N,)``."""
        rule, best = self._config.settle, self._best
        costs: Float64 = self.costs.copy()
        near = [i for i, cost in enumerate(costs) if i != best and cost <= self.least_cost + rule.close]
        if near:
            poses = np.stack([self.poses[i] for i in (best, *near)])
            costs[near] -= rule.lead * self._evidence.leads(self._frame, poses)[1:]
        return costs

    def term(self, name: str) -> Float64:
        """One of the terms, by its name in `SettleWeights` ``(N,)``."""
        return np.asarray(self.terms[:, _TERMS.index(name)])

    def palette_overlap(self, index: int) -> float:
        """How much one of the poses has of the colours of the image, 0 to 1 (`side.palette`)."""
        return self._evidence.palette_overlap(self._frame, self.poses[index])

    def add(self, starts: Float64) -> None:
        """Refine starts ``(N, 4, 4)`` and compare what they come to, if nothing is there yet."""
        new: list[Refined] = []
        for start in starts:
            refined = self._judge.refine(self._buffers, start, self._appearance)
            # Of poses that a declared symmetry makes equal one, or the same pose would be its own rival.
            T = nearest_symmetric(refined.T_cam_centre, self.found, self._symmetries)
            refined = replace(refined, T_cam_centre=T)
            others = (*self.poses, *(other.T_cam_centre for other in new))
            if not any(self._is_same(T, other) for other in others):
                new.append(refined)
        if not new:
            return
        self._middle = self._middle or new[0]
        poses = np.stack([refined.T_cam_centre for refined in new])
        terms = self._terms(poses, np.stack([refined.log_odds for refined in new]))
        residuals = [float(refined.alignment.residual[0]) for refined in new]
        self.terms = np.concatenate([self.terms, np.column_stack([terms, residuals, self._look_costs(new)])])
        self.costs = self.terms @ self._weights
        self.poses.extend(poses)

    def _look_costs(self, new: list[Refined]) -> Float64:
        """What a track's looks hold against poses ``(N,)``; nothing where the mask says more."""
        costs, size = np.zeros(len(new)), self._config.fan
        if self._found.mask is None and self._middle is not None:
            for start in range(0, len(new), size):
                part = new[start : start + size]
                found = self._judge.costs_of(self._frame, self._buffers, [self._middle, *part])
                costs[start : start + size] = found[1:]
        return costs

    def ways_up(self, direction: Float64, count: int) -> list[Float64]:
        """The best poses, no two of which differ by a turn about an axis of the object alone.

        Args:
            direction: Of that axis, in the centre frame ``(3,)``.
            count: Most of them.
        """
        found: list[Float64] = []
        for index in np.argsort(self.costs, kind="stable"):
            T = self.poses[index]
            if all(_apart_deg(T, other, direction) >= self._config.same_turn_deg for other in found):
                found.append(T)
        return found[:count]

    def promising(self, poses: Float64, slack: float) -> Float64:
        """Of poses ``(N, 4, 4)``, as they are, those that cost at most so much more than the best by a quick look."""
        costs: list[float] = []
        for start in range(0, len(poses), self._config.fan):
            part = np.concatenate([self.best[None], poses[start : start + self._config.fan]])
            found = self._judge.costs(self._frame, self._buffers, part, self._appearance)
            costs.extend(found[1:] - found[0])
        return poses[np.array(costs) <= slack]

    def likely(self, poses: Float64, count: int) -> Float64:
        """Of poses ``(N, 4, 4)``, as they are, the ``count`` with the best colours."""
        terms = self._terms(poses, np.broadcast_to(self._common_log_odds, (len(poses), BIN_COUNT)))
        costs = terms @ self._weights[: terms.shape[1]]
        return poses[np.argsort(costs, kind="stable")[:count]]

    def _terms(self, poses: Float64, log_odds: Float32) -> Float64:
        """`FoundTerms`, with the colours that each pose teaches ``(N, T - 2)``."""
        with_middle = np.concatenate([self._found.T_cam_centre[None], poses])
        odds = np.concatenate([log_odds[:1], log_odds])
        common = self._common_log_odds
        return self._evidence.terms(self._frame, with_middle, self._found.mask, odds, common).array()[1:]

    def _is_same(self, T: Float64, other: Float64) -> bool:
        is_near = float(np.linalg.norm(T[:3, 3] - other[:3, 3])) < self._apart_m
        return is_near and turn_deg(T, other) < self._config.settle.same_deg


def _apart_deg(T: Float64, other: Float64, direction: Float64) -> float:
    """Between an axis of the object at one pose ``(4, 4)`` and at another [deg]."""
    cosine = float(np.dot(T[:3, :3] @ direction, other[:3, :3] @ direction))
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))
