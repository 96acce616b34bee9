"""Geometric refinement: Gauss-Newton on depth, contour colours and model colours; no rendering, no network.

`GeometricRefiner.refine` is what tracking calls on every frame. It spends as little as the residual allows: a
*small* descent where the object hardly moved, a *narrow* one with a larger reach, and a *wide* one from many starts
when the fit stays worse than it usually is. Every few frames a turned pose is tried as well, since a slip about the
object's axis may agree with the image nearly as well as the truth. `GeometricRefiner.refine_batch` polishes the
hypotheses of a registration. Poses are of the centred mesh (``T_cam_centre``). The depth and contour modalities are
those of SRT3D and ICG (Stoiber et al., IJCV and CVPR 2022); schedules, learning and search are ours, measured by
benchmarks/cases/geometric.py.

The residual is the live sign of a wrong track. It is the mean of three numbers from 0 (agrees) to 1, taken over the
view's surface points and contour lines that nothing hides:

=======  ========================================================================================
depth    distance of the reading from the tangent plane over ``gate_m``, each at most 1
contour  twice the mean probability that a pixel within 8 px of the contour is on the wrong side
colour   one minus the correlation of the model's colours with the image; counts as much as the
         model has contrast, a plain object has no such term
=======  ========================================================================================
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.geometry.se3 import exp_so3, log_so3, make_T
from storm_edge.kernels import evidence as ev
from storm_edge.objects.on_device import ViewpointBuffers
from storm_edge.pipeline.refine.descent import Descended, Descents, GeometricStep, RgbdBuffers, Schedule

Float64 = NDArray[np.float64]
Steps = Sequence[GeometricStep]
SearchBudget = Literal["small", "narrow", "wide"]

ROUGH = GeometricStep(scale_px=6, contour_px=15.0, reach_m=0.05, depth_deviation=0.03, texture_deviation=0.0, every=2)
COARSE = GeometricStep(scale_px=6, contour_px=15.0, reach_m=0.05, depth_deviation=0.03, texture_deviation=0.0)
MEDIUM = GeometricStep(scale_px=4, contour_px=5.0, reach_m=0.02, depth_deviation=0.02, texture_deviation=1.5)
FINE = GeometricStep(scale_px=2, contour_px=3.5, reach_m=0.01, depth_deviation=0.01, texture_deviation=2.0)
FINEST = GeometricStep(scale_px=1, contour_px=1.5, reach_m=0.01, depth_deviation=0.01, texture_deviation=2.0)


@dataclass(frozen=True, kw_only=True)
class GeometricConfig:
    """Schedules and limits of the refinement."""

    first_lead: float = 0.05
    """How much lower the residual of another start must be to begin there and not at the first."""
    small: Steps = (FINE, FINE, FINEST, FINEST)
    """Steps from the first start while it agrees with the image nearly as well as usual."""
    narrow: Steps = (COARSE, MEDIUM, MEDIUM, FINE, FINE, FINEST, FINEST)
    """Steps from the first start otherwise, or when the small ones end worse than usual."""
    spread: Steps = (ROUGH, ROUGH, ROUGH)
    """Wide search: steps from every start and from the first start turned about each axis of the object."""
    gather: Steps = (MEDIUM, MEDIUM, MEDIUM, FINE)
    """Wide search: steps of the ``gather_count`` best of them."""
    finish: Steps = (MEDIUM, FINE, FINE, FINEST, FINEST)
    """Wide search: steps of the best."""
    gather_count: int = 3
    """Poses that go on after the first stage of the wide search."""
    turn_deg: float = 25.0
    """Turn of the additional starts of the wide search [deg]."""
    probe_every: int = 3
    """Frames between two tries of turned poses; 0 never tries. After three all axes had their turn."""
    probe_deg: float = 40.0
    """Turn of these tries, both ways about one axis of the object [deg]."""
    probe_gain: float = 0.04
    """Fall of the residual by which such a try replaces the track."""
    small_margin: float = 0.03
    """Rise of the residual over its usual value that still ends the search after the small steps."""
    narrow_margin: float = 0.08
    """Rise of the residual over its usual value that still ends the search after the narrow steps."""
    wide_pause: int = 8
    """Frames to wait after a wide search that found nothing better, unless the fit grows worse still."""
    trust_margin: float = 0.12
    """Rise of the residual over its usual value up to which a pose is trusted."""
    trust_below: float = 0.45
    """Residual up to which a pose is trusted, whatever is usual."""
    tolerance: float = 0.05
    """How much a refined pose may raise the residual of its start and still be accepted: the residual's own noise."""
    polish: Steps = (COARSE, COARSE, MEDIUM, MEDIUM, FINE, FINEST)
    """Steps of `GeometricRefiner.refine_batch`, stretched to the iterations asked for."""
    occlusion_m: float = 0.03
    """A reading this far in front of a point hides it [m]."""
    gate_m: float = 0.010
    """Plane distance that counts as wholly wrong in the residual [m]."""
    learning_rate: float = 0.2
    """Share of the newest frame in the colour statistics."""
    baseline_rates: tuple[float, float] = (0.3, 0.03)
    """Share of the newest residual in the usual one, when it is lower and when it is higher: what a track once
    reached is not soon forgotten."""


@dataclass(frozen=True, kw_only=True)
class AlignmentTerms:
    """What speaks for N poses; arrays of shape ``(N,)``."""

    residual: Float64
    """Mean of the terms that can be judged, 0 (agrees) to 1; 1 when nothing can be judged."""
    depth: Float64
    """Depth term of the residual."""
    contour: Float64
    """Contour term of the residual."""
    colour: Float64
    """Colour term of the residual."""
    inliers: Float64
    """Share of the judged surface points within ``gate_m`` of their plane."""
    hidden: Float64
    """Share of the surface points with a reading that something nearer hides."""

    @classmethod
    def of_terms(cls, terms: Float64) -> AlignmentTerms:
        """From the terms of `kernels.evidence`, ``(N, TERM_COUNT)``."""
        residual, depth, contour, colour, inliers, hidden = terms.T
        return cls(residual=residual, depth=depth, contour=contour, colour=colour, inliers=inliers, hidden=hidden)


@dataclass(frozen=True, kw_only=True)
class GeometricResult:
    """A refined pose and what speaks for it."""

    T_cam_centre: Float64
    """Pose of the centred mesh, ``(4, 4)``; the start when nothing better was found."""
    accepted: bool
    """Whether a refined pose is reported, not the start that the image agreed with most."""
    residual: float
    """Of the reported pose, see the head of the module."""
    trusted: bool
    """Whether the residual is near its usual value on this track, or low anyhow: only then should it be learned."""
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


def fuse_terms(sums: Float64, *, colours_known: bool) -> AlignmentTerms:
    """Turn sums of `kernels.evidence` ``(N, SUM_COUNT)`` into the terms of the residual.

    `kernels.evidence.fuse_sums` says the same on the device.

    Args:
        sums: As the kernel left them.
        colours_known: Whether colour statistics were learned; without them the contour term is left out.
    """
    column = sums.T
    judged, lines, inliers = column[ev.JUDGED], column[ev.LINES], column[ev.INLIERS]
    depth = column[ev.PLANE_DISTANCE] / np.maximum(judged, 1.0)
    contour = np.minimum(2.0 * (1.0 - column[ev.LINE_SCORE] / np.maximum(lines, 1.0)), 1.0)

    moments = column[ev.MODEL_SUM :] / np.maximum(inliers, 1.0)
    mean_m, mean_o, square_m, square_o, product = moments
    variance_m = np.maximum(square_m - mean_m**2, 0.0)
    variance_o = np.maximum(square_o - mean_o**2, 0.0)
    correlation = (product - mean_m * mean_o) / np.sqrt(np.maximum(variance_m * variance_o, 1e-12))
    colour = np.minimum(1.0 - correlation, 1.0)

    # A term that rests on few points says little: eight of them count half.
    depth_weight = judged / (judged + 8.0)
    contour_weight = lines / (lines + 8.0) if colours_known else np.zeros_like(lines)
    colour_weight = inliers / (inliers + 8.0) * (variance_m / (variance_m + ev.CONTRAST_FLOOR))
    total = depth_weight + contour_weight + colour_weight
    weighted = depth * depth_weight + contour * contour_weight + colour * colour_weight
    residual = np.where(total > 0.0, weighted / np.maximum(total, 1e-9), 1.0)
    return AlignmentTerms(
        residual=residual,
        depth=depth,
        contour=contour,
        colour=colour,
        inliers=inliers / np.maximum(judged, 1.0),
        hidden=sums[:, ev.HIDDEN] / np.maximum(judged + sums[:, ev.HIDDEN], 1.0),
    )


def turned(T_cam_centre: Float64, angle_deg: float) -> Float64:
    """The pose turned both ways about each axis of the object, ``(6, 4, 4)``."""
    return T_cam_centre @ _turns(angle_deg)


@functools.cache
def _turns(angle_deg: float) -> Float64:
    """Turns both ways about each axis, ``(6, 4, 4)``."""
    w = np.deg2rad(angle_deg) * np.concatenate([np.eye(3), -np.eye(3)])
    turns = make_T(exp_so3(w), np.zeros(3))
    turns.flags.writeable = False
    return turns


_SHARES = np.array([[0.5], [1.0]])


def motion_starts(T_last: Float64, T_before: Float64) -> Float64:
    """Where to look next: the last pose, and half and all of the last motion further, ``(3, 4, 4)``."""
    R, t = T_last[:3, :3], T_last[:3, 3]
    x, y, z = _rotation_vector(R @ T_before[:3, :3].T)
    shift = t - T_before[:3, 3]
    starts = np.empty((3, 4, 4))
    starts[:] = T_last
    starts[1:, :3, :3] = np.array([_turn(0.5 * x, 0.5 * y, 0.5 * z), _turn(x, y, z)]) @ R
    starts[1:, :3, 3] += _SHARES * shift
    return starts


def _rotation_vector(R: Float64) -> tuple[float, float, float]:
    """`se3.log_so3` in plain numbers, many times quicker than NumPy on a single matrix."""
    (r00, r01, r02), (r10, r11, r12), (r20, r21, r22) = R.tolist()
    x, y, z = 0.5 * (r21 - r12), 0.5 * (r02 - r20), 0.5 * (r10 - r01)
    sine, cosine = math.sqrt(x * x + y * y + z * z), 0.5 * (r00 + r11 + r22 - 1.0)
    if sine <= 1e-7:
        x, y, z = log_so3(R).tolist()
        return x, y, z
    scale = math.atan2(sine, cosine) / sine
    return x * scale, y * scale, z * scale


def _turn(x: float, y: float, z: float) -> list[list[float]]:
    """`se3.exp_so3` likewise, ``(3, 3)``."""
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < 1e-6:
        a, b = 1.0 - angle * angle / 6.0, 0.5 - angle * angle / 24.0
    else:
        a, b = math.sin(angle) / angle, (1.0 - math.cos(angle)) / (angle * angle)
    xx, yy, zz = x * x, y * y, z * z
    return [
        [1.0 - b * (yy + zz), b * x * y - a * z, b * x * z + a * y],
        [b * x * y + a * z, 1.0 - b * (xx + zz), b * y * z - a * x],
        [b * x * z - a * y, b * y * z + a * x, 1.0 - b * (xx + yy)],
    ]


class GeometricRefiner:
    """Refines poses of one object; all buffers are made here.

    Call `update_appearance` with ``forget`` at the first pose, then for every frame `refine`, and
    `update_appearance` where its pose is trusted: light and background change, and the residual baseline is kept
    there.

    Args:
        viewpoints: The object's sparse views; their device is used.
        config: Schedules and limits.
        batch: Most poses that go downhill together.
    """

    def __init__(
        self,
        viewpoints: ViewpointBuffers,
        *,
        config: GeometricConfig | None = None,
        batch: int = 32,
    ) -> None:
        self.config = config or GeometricConfig()
        self._descents = Descents(
            viewpoints,
            capacity=batch,
            occlusion_m=self.config.occlusion_m,
            gate_m=self.config.gate_m,
        )
        config = self.config
        self._schedules: dict[Steps, Schedule] = {}
        self._judge_only = self._schedule(())
        self._small, self._narrow = self._schedule(config.small), self._schedule(config.narrow)
        self._search_stages = (
            (self._schedule(config.spread), config.gather_count),
            (self._schedule(config.gather), 1),
        )
        self._finish = self._schedule(config.finish)
        self._residual_baseline = 1.0
        self._frame_count = 0
        self._pause = 0
        self._futile_residual = 0.0

    def update_appearance(self, frame: RgbdBuffers, T_cam_centre: ArrayLike, *, forget: bool = False) -> None:
        """Learn the colours of object and surroundings, and the usual residual, at a pose that is trusted.

        Args:
            frame: The image.
            T_cam_centre: The pose, ``(4, 4)``.
            forget: Start anew: after registration, or on another recording.
        """
        descents, config = self._descents, self.config
        descents.set_frame(frame)
        anew = forget or not descents.exposure_known
        terms = descents.update_appearance_at(T_cam_centre, 1.0 if anew else config.learning_rate)
        if anew:  # judged by what was just learned: before, there was nothing to judge the contour by
            terms = descents.descend(T_cam_centre, self._judge_only).terms[0]
        residual = float(terms[ev.RESIDUAL])
        if anew:
            self._pause = 0
        rate = 1.0 if anew else config.baseline_rates[residual > self._residual_baseline]
        self._residual_baseline += rate * (residual - self._residual_baseline)

    def colour_log_odds(self) -> NDArray[np.float32] | None:
        """What was learned of colours, ``(BIN_COUNT,)``; None before `update_appearance`."""
        return self._descents.log_odds() if self._descents.colours_known else None

    def terms_at(self, frame: RgbdBuffers, T_cam_centre: ArrayLike) -> AlignmentTerms:
        """Judge poses ``(N, 4, 4)``, ``N <= batch``, without moving them."""
        self._descents.set_frame(frame)
        return AlignmentTerms.of_terms(self._descents.descend(T_cam_centre, self._judge_only).terms)

    def refine(self, frame: RgbdBuffers, starts: ArrayLike) -> GeometricResult:
        """Refine one pose.

        Args:
            frame: The image.
            starts: The expected pose ``(4, 4)``, or it and others to try when the fit is bad ``(S, 4, 4)``,
                ``S + 6 <= batch``; `motion_starts` makes them from the last two poses.
        """
        config, descents = self.config, self._descents
        starts = np.asarray(starts, dtype=np.float64).reshape(-1, 4, 4)
        self._frame_count += 1
        self._pause = max(self._pause - 1, 0)
        descents.set_frame(frame)

        # Begin where the image agrees most; where starts agree alike, with the first.
        begun = descents.descend(starts, self._judge_only)
        residuals = begun.terms[:, ev.RESIDUAL].copy()
        residuals[0] -= config.first_lead
        chosen = int(residuals.argmin())
        start, before = starts[chosen : chosen + 1], _one(begun, chosen)

        budget: SearchBudget = "small"
        iterations = 0
        found: list[Descended] = []
        if _residual(before) <= self._residual_baseline + config.narrow_margin:
            found.append(descents.descend(start, self._small))
            iterations += len(config.small)
        if not found or _residual(found[0]) > self._residual_baseline + config.small_margin:
            found.append(descents.descend(start, self._narrow))
            iterations += len(config.narrow)
            budget = "narrow"
        best = min(found, key=_residual)
        if _residual(best) > self._residual_baseline + config.narrow_margin and not self._is_paused(_residual(best)):
            best = self._search(np.concatenate([starts, turned(start[0], config.turn_deg)]), best)
            iterations += len(config.spread) + len(config.gather) + len(config.finish)
            budget = "wide"
        if config.probe_every and self._frame_count % config.probe_every == 0:
            axis = self._frame_count // config.probe_every % 3
            both_ways = turned(best.poses[0], config.probe_deg)[axis::3]
            probes = descents.descend(both_ways, self._narrow)
            probe = _one(probes, int(probes.terms[:, ev.RESIDUAL].argmin()))
            iterations += len(config.narrow)
            best = probe if _residual(probe) < _residual(best) - config.probe_gain else best

        accepted = _residual(best) <= _residual(before) + config.tolerance
        final = best if accepted else before
        residual, depth, contour, colour, inliers, hidden = final.terms[0].tolist()
        return GeometricResult(
            T_cam_centre=final.poses[0],
            accepted=accepted,
            residual=residual,
            trusted=residual <= max(self._residual_baseline + config.trust_margin, config.trust_below),
            depth_residual_m=depth * config.gate_m,
            contour=contour,
            colour=colour,
            inliers=inliers,
            hidden=hidden,
            hessian=best.hessian,
            iterations=iterations,
            budget=budget,
        )

    def refine_batch(
        self,
        frame: RgbdBuffers,
        T_cam_centre: ArrayLike,
        *,
        iterations: int = 6,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[Float64, Float64]:
        """Refine hypotheses ``(N, 4, 4)``, any N, each on its own; a pose that got worse is left as it was.

        Args:
            frame: The image.
            T_cam_centre: The hypotheses.
            iterations: Gauss-Newton steps.
            mask: Object pixels ``(H, W)``: contour colours are learned from it. Without a mask what is known is used,
                or depth alone when nothing is.

        Returns:
            Poses ``(N, 4, 4)`` and their residuals ``(N,)``.
        """
        descents, schedule = self._descents, self.config.polish
        descents.set_frame(frame)
        if mask is not None:
            descents.learn_from_mask(mask)
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

    def _schedule(self, steps: Steps) -> Schedule:
        """These steps on the device."""
        steps = tuple(steps)
        if steps not in self._schedules:
            self._schedules[steps] = self._descents.schedule(steps)
        return self._schedules[steps]

    def _search(self, starts: Float64, so_far: Descended) -> Descended:
        """The wide search: all starts a little, the best of them further, the last one to the end."""
        config = self.config
        poses = starts
        for steps, count in self._search_stages:
            reached = self._descents.descend(poses, steps)
            poses = reached.poses[np.argsort(reached.terms[:, ev.RESIDUAL], kind="stable")[:count]]
        found = self._descents.descend(poses, self._finish)
        if _residual(found) > _residual(so_far) - config.small_margin:
            self._pause, self._futile_residual = config.wide_pause, _residual(so_far)
        return min(found, so_far, key=_residual)

    def _is_paused(self, residual: float) -> bool:
        """Whether a search lately found nothing better than this residual."""
        return self._pause > 0 and residual <= self._futile_residual + self.config.small_margin


def _one(descended: Descended, index: int) -> Descended:
    """One of the poses; the normal matrix stays that of the first."""
    one = slice(index, index + 1)
    return Descended(descended.poses[one], descended.terms[one], descended.hessian)


def _residual(descended: Descended) -> float:
    """Of the first pose."""
    return float(descended.terms[0, ev.RESIDUAL])
