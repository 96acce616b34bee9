"""Geometric refinement: Gauss-Newton on depth, contour colours and model colours; no rendering, no network.

`GeometricRefiner.refine` is what tracking calls on every frame. It spends as little as the residual allows: a
*small* descent where the object hardly moved, a *narrow* one with a larger reach, and a *wide* one from many starts
when the fit stays worse than the track's baseline. Every few frames a turned pose is tried as well, since a slip
about the object's axis may agree with the image nearly as well as the truth. `GeometricRefiner.refine_batch` polishes
the hypotheses of a registration. Poses are of the centred mesh (``T_cam_centre``). The depth and contour terms are
those of SRT3D and ICG (Stoiber et al., IJCV and CVPR 2022); schedules, appearance and search are ours, measured by
``benchmarks run geometric``. The residual (`pipeline.refine.alignment`) is the live sign of a wrong track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.kernels import evidence as ev
from storm_edge.objects.on_device import ViewpointBuffers
from storm_edge.pipeline.refine.alignment import AlignmentTerms
from storm_edge.pipeline.refine.appearance import AppearanceModel
from storm_edge.pipeline.refine.config import GeometricConfig, GeometricStep
from storm_edge.pipeline.refine.descent import Descended, Descents
from storm_edge.pipeline.refine.launches import RgbdBuffers
from storm_edge.pipeline.refine.motion import turned
from storm_edge.pipeline.refine.schedule import Schedule

Float64 = NDArray[np.float64]
SearchBudget = Literal["small", "narrow", "wide"]


@dataclass(frozen=True, kw_only=True)
class GeometricResult:
    """A refined pose and what speaks for it."""

    T_cam_centre: Float64
    """Pose of the centred mesh, ``(4, 4)``; the start when nothing better was found."""
    accepted: bool
    """Whether a refined pose is reported, not the start that the image agreed with most."""
    residual: float
    """Of the reported pose, see `pipeline.refine.alignment`."""
    trusted: bool
    """Whether the residual is near this track's baseline, or low anyhow: only then is appearance learned there."""
    depth_residual_m: float
    """Mean plane distance of the judged surface points, each counted up to ``gate_m`` [m]."""
    contour: float
    """Contour term of the residual."""
    colour: float
    """Colour term of the residual."""
    inliers: float
    """Share of the judged surface points within ``gate_m`` of their plane."""
    hidden: float
    """Share of the surface points with a reading that something nearer hides."""
    hessian: Float64
    """Normal matrix of the last step, rotation [1/rad] first, then translation [1/m], ``(6, 6)``; small eigenvalues
    are directions in which the image does not hold the object."""
    iterations: int
    """Steps taken one after the other."""
    budget: SearchBudget
    """How far the search went."""


class ResidualBaseline:
    """The residual that a track has where it is right; what is worse by a margin is doubtful.

    Args:
        config: Margins and rates.

    Attributes:
        value: The baseline, 0 to 1.
    """

    def __init__(self, config: GeometricConfig) -> None:
        self._config = config
        self.value = 1.0

    def update(self, residual: float, *, rate: float | None = None) -> None:
        """Let the residual of a trusted pose move the baseline, by the configured rate where none is given."""
        if rate is None:
            rate = self._config.baseline_rates[residual > self.value]
        self.value += rate * (residual - self.value)

    def is_doubtful(self, residual: float) -> bool:
        """Whether a residual is where a wide search begins."""
        return residual > self.value + self._config.narrow_margin

    def is_trusted(self, residual: float) -> bool:
        """Whether appearance may be learned at a pose with this residual."""
        return residual <= max(self.value + self._config.trust_margin, self._config.trust_below)


class GeometricRefiner:
    """Refines poses of one object; all buffers are made here.

    Call `update_appearance` with ``forget`` at the first pose, then for every frame `refine`, and
    `update_appearance` where its pose is trusted: light and background change, and the residual baseline is kept
    there.

    Args:
        viewpoints: The object's sparse views; their device is used.
        config: Schedules and limits.
        batch: Most poses that descend together; by the configuration where None.

    Attributes:
        config: As given.
        descents: Poses and appearance on the device.
        baseline: Of the residual on this track.
    """

    def __init__(
        self, viewpoints: ViewpointBuffers, *, config: GeometricConfig | None = None, batch: int | None = None
    ) -> None:
        self.config = config = config or GeometricConfig()
        self.descents = Descents(viewpoints, capacity=batch or config.batch, config=config)
        self.baseline = ResidualBaseline(config)
        self._schedules: dict[tuple[GeometricStep, ...], Schedule] = {}
        self._judge_only = self._schedule(())
        self._small, self._narrow = self._schedule(config.small), self._schedule(config.narrow)
        self._search_stages = (
            (self._schedule(config.spread), config.gather_count),
            (self._schedule(config.gather), 1),
        )
        self._finish = self._schedule(config.finish)
        self._frame_count = 0
        self._pause = 0
        self._futile_residual = 0.0

    @property
    def appearance(self) -> AppearanceModel:
        """What is known of the object's colours and of the exposure."""
        return self.descents.appearance

    def reset(self, residual: float) -> None:
        """Take the residual of a first pose, whose appearance was learned elsewhere, as the baseline."""
        self.baseline.value, self._pause = residual, 0

    def update_appearance(self, frame: RgbdBuffers, T_cam_centre: ArrayLike, *, forget: bool = False) -> None:
        """Learn the colours of object and surroundings, and the residual baseline, at a pose that is trusted.

        Args:
            frame: The image.
            T_cam_centre: The pose, ``(4, 4)``.
            forget: Start anew: after registration, or on another recording.
        """
        descents, config = self.descents, self.config
        descents.set_frame(frame)
        anew = forget or not descents.appearance.exposure_known
        terms = descents.update_appearance_at(T_cam_centre, 1.0 if anew else config.learning_rate)
        if anew:  # judged by what was just learned: before, there was nothing to judge the contour by
            terms = descents.descend(T_cam_centre, self._judge_only).terms[0]
            self._pause = 0
        self.baseline.update(float(terms[ev.RESIDUAL]), rate=1.0 if anew else None)

    def terms_at(self, frame: RgbdBuffers, T_cam_centre: ArrayLike) -> AlignmentTerms:
        """Judge poses ``(N, 4, 4)``, ``N <= batch``, without moving them."""
        self.descents.set_frame(frame)
        return AlignmentTerms.of_terms(self.descents.descend(T_cam_centre, self._judge_only).terms)

    def refine(self, frame: RgbdBuffers, starts: ArrayLike) -> GeometricResult:
        """Refine one pose.

        Args:
            frame: The image.
            starts: The expected pose ``(4, 4)``, or it and others to try when the fit is bad ``(S, 4, 4)``,
                ``S + 6 <= batch``; `motion_starts` makes them from the last two poses.
        """
        config, descents, baseline = self.config, self.descents, self.baseline.value
        starts = np.asarray(starts, dtype=np.float64).reshape(-1, 4, 4)
        self._frame_count += 1
        self._pause = max(self._pause - 1, 0)
        descents.set_frame(frame)

        # Begin where the image agrees most; where starts agree alike, with the first.
        begun = descents.descend(starts, self._judge_only)
        residuals = begun.terms[:, ev.RESIDUAL].copy()
        residuals[0] -= config.first_start_bonus
        chosen = int(residuals.argmin())
        start, before = starts[chosen : chosen + 1], _one(begun, chosen)

        budget: SearchBudget = "small"
        iterations = 0
        found: list[Descended] = []
        if _residual(before) <= baseline + config.narrow_margin:
            found.append(descents.descend(start, self._small))
            iterations += len(config.small)
        if not found or _residual(found[0]) > baseline + config.small_margin:
            found.append(descents.descend(start, self._narrow))
            iterations += len(config.narrow)
            budget = "narrow"
        best = min(found, key=_residual)
        if _residual(best) > baseline + config.narrow_margin and not self._is_paused(_residual(best)):
            best = self._search(np.concatenate([starts, turned(start[0], config.turn_deg)]), best)
            iterations += len(config.spread) + len(config.gather) + len(config.finish)
            budget = "wide"
        if config.probe_every and self._frame_count % config.probe_every == 0:
            best = self._probe(best)
            iterations += len(config.narrow)
        return self._result(before, best, iterations, budget)

    def refine_batch(
        self,
        frame: RgbdBuffers,
        T_cam_centre: ArrayLike,
        *,
        iterations: int | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[Float64, Float64]:
        """Refine hypotheses ``(N, 4, 4)``, any N, each on its own; a pose that got worse is left as it was.

        Args:
            frame: The image.
            T_cam_centre: The hypotheses.
            iterations: Gauss-Newton steps; as many as ``config.polish`` has where None.
            mask: Object pixels ``(H, W)``: contour colours are learned from it. Without a mask what is known is used,
                or depth alone when nothing is.

        Returns:
            Poses ``(N, 4, 4)`` and their residuals ``(N,)``.
        """
        descents, schedule = self.descents, self.config.polish
        iterations = len(schedule) if iterations is None else iterations
        descents.set_frame(frame)
        if mask is not None:
            descents.update_appearance_from_mask(mask)
        poses = np.array(T_cam_centre, dtype=np.float64).reshape(-1, 4, 4)
        residuals = np.empty(len(poses))
        steps = self._schedule(tuple(schedule[i * len(schedule) // iterations] for i in range(iterations)))
        for first in range(0, len(poses), descents.capacity):
            part = slice(first, first + descents.capacity)
            before = descents.descend(poses[part], self._judge_only).terms[:, ev.RESIDUAL]
            moved = descents.descend(poses[part], steps)
            after = moved.terms[:, ev.RESIDUAL]
            better = after <= before
            poses[part] = np.where(better[:, None, None], moved.poses, poses[part])
            residuals[part] = np.where(better, after, before)
        return poses, residuals

    def _schedule(self, steps: Sequence[GeometricStep]) -> Schedule:
        """These steps on the device."""
        steps = tuple(steps)
        if steps not in self._schedules:
            self._schedules[steps] = self.descents.schedule(steps)
        return self._schedules[steps]

    def _search(self, starts: Float64, so_far: Descended) -> Descended:
        """The wide search: all starts a little, the best of them further, the last one to the end."""
        config = self.config
        poses = starts
        for steps, count in self._search_stages:
            reached = self.descents.descend(poses, steps)
            poses = reached.poses[np.argsort(reached.terms[:, ev.RESIDUAL], kind="stable")[:count]]
        found = self.descents.descend(poses, self._finish)
        if _residual(found) > _residual(so_far) - config.small_margin:
            self._pause, self._futile_residual = config.wide_pause, _residual(so_far)
        return min(found, so_far, key=_residual)

    def _is_paused(self, residual: float) -> bool:
        """Whether a search lately found nothing better than this residual."""
        return self._pause > 0 and residual <= self._futile_residual + self.config.small_margin

    def _probe(self, best: Descended) -> Descended:
        """The best pose, or one turned about an axis of the object from which the image agrees clearly better."""
        config = self.config
        axis = self._frame_count // config.probe_every % 3  # fixed: the object's axes, in turn
        both_ways = turned(best.poses[0], config.probe_deg)[axis::3]
        probes = self.descents.descend(both_ways, self._narrow)
        probe = _one(probes, int(probes.terms[:, ev.RESIDUAL].argmin()))
        return probe if _residual(probe) < _residual(best) - config.probe_gain else best

    def _result(self, before: Descended, best: Descended, iterations: int, budget: SearchBudget) -> GeometricResult:
        accepted = _residual(best) <= _residual(before) + self.config.tolerance
        final = best if accepted else before
        residual, depth, contour, colour, inliers, hidden = final.terms[0].tolist()
        return GeometricResult(
            T_cam_centre=final.poses[0],
            accepted=accepted,
            residual=residual,
            trusted=self.baseline.is_trusted(residual),
            depth_residual_m=depth * self.config.gate_m,
            contour=contour,
            colour=colour,
            inliers=inliers,
            hidden=hidden,
            hessian=best.hessian,
            iterations=iterations,
            budget=budget,
        )


def _one(descended: Descended, index: int) -> Descended:
    """One of the poses; the normal matrix stays that of the first."""
    one = slice(index, index + 1)
    return Descended(descended.poses[one], descended.terms[one], descended.hessian)


def _residual(descended: Descended) -> float:
    """Of the first pose."""
    return float(descended.terms[0, ev.RESIDUAL])
