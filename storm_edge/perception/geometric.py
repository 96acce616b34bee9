"""Geometric refinement: Gauss-Newton on depth, contour colours and model colours; no rendering, no network.

`GeometricRefiner.refine` is what tracking calls on every frame. It spends as little as the residual allows: a
*small* descent where the object hardly moved, a *narrow* one with a larger reach, and a *wide* one from many starts
when the fit stays worse than it usually is. Every few frames a turned pose is tried as well, since a slip about the
object's axis may agree with the image nearly as well as the truth. `GeometricRefiner.refine_batch` polishes the
hypotheses of a registration. Poses are of the centred mesh (``T_cam_centre``). The depth and contour modalities are
those of SRT3D and ICG (Stoiber et al., IJCV and CVPR 2022); schedules, learning and search are ours, measured by
benchmarks/bench_geometric.py.

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

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.geometry.se3 import exp_so3, log_so3, make_T
from storm_edge.kernels import evidence as ev
from storm_edge.kernels.device import require_device
from storm_edge.objects.viewpoints import SparseViewpoints
from storm_edge.perception.descent import Descents, GeometricStep, RgbdBuffers

Float64 = NDArray[np.float64]
Steps = Sequence[GeometricStep]
Effort = Literal["small", "narrow", "wide"]

ROUGH = GeometricStep(scale_px=6, contour_px=15.0, reach_m=0.05, depth_deviation=0.03, print_deviation=0.0, every=2)
COARSE = GeometricStep(scale_px=6, contour_px=15.0, reach_m=0.05, depth_deviation=0.03, print_deviation=0.0)
MEDIUM = GeometricStep(scale_px=4, contour_px=5.0, reach_m=0.02, depth_deviation=0.02, print_deviation=1.5)
FINE = GeometricStep(scale_px=2, contour_px=3.5, reach_m=0.01, depth_deviation=0.01, print_deviation=2.0)
FINEST = GeometricStep(scale_px=1, contour_px=1.5, reach_m=0.01, depth_deviation=0.01, print_deviation=2.0)

_CONTRAST_FLOOR = 0.03**2
"""Variance of the model's tones at which the colour term counts half; RGB counted from 0 to 1."""


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
    usual_rates: tuple[float, float] = (0.3, 0.03)
    """Share of the newest residual in the usual one, when it is lower and when it is higher: what a track once
    reached is not soon forgotten."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
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

    def part(self, of: slice) -> Evidence:
        """The same for some of the poses."""
        return Evidence(**{field.name: getattr(self, field.name)[of] for field in fields(self)})


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
    effort: Effort
    """How far the search went."""


def weigh(sums: Float64, *, colours_known: bool) -> Evidence:
    """Turn sums of `kernels.evidence` ``(N, SUM_COUNT)`` into the terms of the residual.

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
    colour_weight = inliers / (inliers + 8.0) * (variance_m / (variance_m + _CONTRAST_FLOOR))
    total = depth_weight + contour_weight + colour_weight
    weighted = depth * depth_weight + contour * contour_weight + colour * colour_weight
    residual = np.where(total > 0.0, weighted / np.maximum(total, 1e-9), 1.0)
    return Evidence(
        residual=residual,
        depth=depth,
        contour=contour,
        colour=colour,
        inliers=inliers / np.maximum(judged, 1.0),
        hidden=sums[:, ev.HIDDEN] / np.maximum(judged + sums[:, ev.HIDDEN], 1.0),
    )


def turned(T_cam_centre: Float64, angle_deg: float) -> Float64:
    """The pose turned both ways about each axis of the object, ``(6, 4, 4)``."""
    w = np.deg2rad(angle_deg) * np.concatenate([np.eye(3), -np.eye(3)])
    return make_T(T_cam_centre[:3, :3] @ exp_so3(w), T_cam_centre[:3, 3])


def motion_starts(T_last: Float64, T_before: Float64) -> Float64:
    """Where to look next: the last pose, and half and all of the last motion further, ``(3, 4, 4)``."""
    w = log_so3(T_last[:3, :3] @ T_before[:3, :3].T)
    v = T_last[:3, 3] - T_before[:3, 3]
    share = np.array([0.0, 0.5, 1.0])[:, None]
    return make_T(exp_so3(share * w) @ T_last[:3, :3], T_last[:3, 3] + share * v)


class GeometricRefiner:
    """Refines poses of one object; all buffers are made here.

    Call `learn` with ``forget`` at the first pose, then for every frame `refine`, and `learn` where its pose is
    trusted: light and background change, and the usual residual is kept there.

    Args:
        viewpoints: The object's sparse views.
        config: Schedules and limits.
        batch: Most poses that go downhill together.
        device: Warp device name.
    """

    def __init__(
        self,
        viewpoints: SparseViewpoints,
        *,
        config: GeometricConfig | None = None,
        batch: int = 32,
        device: str = "cpu",
    ) -> None:
        self.config = config or GeometricConfig()
        self._descents = Descents(
            viewpoints,
            capacity=batch,
            occlusion_m=self.config.occlusion_m,
            gate_m=self.config.gate_m,
            device=require_device(device),
        )
        self._usual = 1.0
        self._frame_count = 0
        self._pause = 0
        self._futile_residual = 0.0

    def learn(self, frame: RgbdBuffers, T_cam_centre: ArrayLike, *, forget: bool = False) -> None:
        """Learn the colours of object and surroundings, and the usual residual, at a pose that is trusted.

        Args:
            frame: The image.
            T_cam_centre: The pose, ``(4, 4)``.
            forget: Start anew: after registration, or on another recording.
        """
        descents, config = self._descents, self.config
        descents.look(frame)
        descents.place(T_cam_centre)
        anew = forget or not descents.exposure_known
        sums = descents.learn(1.0 if anew else config.learning_rate)
        if anew:  # judged by what was just learned: before, there was nothing to judge the contour by
            sums = descents.evidence()
        residual = float(self._weigh(sums).residual[0])
        if anew:
            self._pause = 0
        rate = 1.0 if anew else config.usual_rates[residual > self._usual]
        self._usual += rate * (residual - self._usual)

    def colour_log_odds(self) -> NDArray[np.float32] | None:
        """What was learned of colours, see `nearby.nearby_mask`, ``(BIN_COUNT,)``; None before `learn`."""
        return self._descents.log_odds() if self._descents.colours_known else None

    def evidence(self, frame: RgbdBuffers, T_cam_centre: ArrayLike) -> Evidence:
        """Judge poses ``(N, 4, 4)``, ``N <= batch``, without moving them."""
        self._descents.look(frame)
        self._descents.place(T_cam_centre)
        return self._weigh(self._descents.evidence())

    def refine(self, frame: RgbdBuffers, starts: ArrayLike) -> GeometricResult:
        """Refine one pose.

        Args:
            frame: The image.
            starts: The expected pose ``(4, 4)``, or it and others to try when the fit is bad ``(S, 4, 4)``,
                ``S + 6 <= batch``; `motion_starts` makes them from the last two poses.
        """
        config = self.config
        starts = np.asarray(starts, dtype=np.float64).reshape(-1, 4, 4)
        self._frame_count += 1
        self._pause = max(self._pause - 1, 0)
        self._descents.look(frame)

        # Begin where the image agrees most; where starts agree alike, with the first.
        begun = self._descend(starts, ())
        lead = np.where(np.arange(len(starts)) == 0, config.first_lead, 0.0)
        chosen = int(np.argmin(begun.evidence.residual - lead))
        start, before = starts[chosen : chosen + 1], begun.only(chosen)

        effort: Effort = "small"
        iterations = 0
        found: list[_Descended] = []
        if before.residual <= self._usual + config.narrow_margin:
            found.append(self._descend(start, config.small))
            iterations += len(config.small)
        if not found or found[0].residual > self._usual + config.small_margin:
            found.append(self._descend(start, config.narrow))
            iterations += len(config.narrow)
            effort = "narrow"
        best = min(found, key=_residual)
        if best.residual > self._usual + config.narrow_margin and not self._is_paused(best.residual):
            best = self._search(np.concatenate([starts, turned(start[0], config.turn_deg)]), best)
            iterations += len(config.spread) + len(config.gather) + len(config.finish)
            effort = "wide"
        if config.probe_every and self._frame_count % config.probe_every == 0:
            axis = self._frame_count // config.probe_every % 3
            both_ways = turned(best.poses[0], config.probe_deg)[axis::3]
            probes = self._descend(both_ways, config.narrow)
            probe = probes.only(int(np.argmin(probes.evidence.residual)))
            iterations += len(config.narrow)
            best = probe if probe.residual < best.residual - config.probe_gain else best

        accepted = best.residual <= before.residual + config.tolerance
        final = best if accepted else before
        return GeometricResult(
            T_cam_centre=final.poses[0],
            accepted=accepted,
            residual=final.residual,
            trusted=final.residual <= max(self._usual + config.trust_margin, config.trust_below),
            depth_residual_m=float(final.evidence.depth[0]) * config.gate_m,
            contour=float(final.evidence.contour[0]),
            colour=float(final.evidence.colour[0]),
            inliers=float(final.evidence.inliers[0]),
            hidden=float(final.evidence.hidden[0]),
            hessian=best.hessian,
            iterations=iterations,
            effort=effort,
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
        descents.look(frame)
        if mask is not None:
            descents.learn_from_mask(mask)
        poses = np.array(T_cam_centre, dtype=np.float64).reshape(-1, 4, 4)
        residuals = np.empty(len(poses))
        steps = [schedule[i * len(schedule) // iterations] for i in range(iterations)]
        for first in range(0, len(poses), descents.capacity):
            part = slice(first, first + descents.capacity)
            before = self._descend(poses[part], ()).evidence.residual
            moved = self._descend(poses[part], steps)
            better = moved.evidence.residual <= before
            poses[part] = np.where(better[:, None, None], moved.poses, poses[part])
            residuals[part] = np.where(better, moved.evidence.residual, before)
        return poses, residuals

    def _search(self, starts: Float64, so_far: _Descended) -> _Descended:
        """The wide search: all starts a little, the best of them further, the last one to the end."""
        config = self.config
        poses = starts
        for steps, count in ((config.spread, config.gather_count), (config.gather, 1)):
            reached = self._descend(poses, steps)
            poses = reached.poses[np.argsort(reached.evidence.residual, kind="stable")[:count]]
        found = self._descend(poses, config.finish)
        if found.residual > so_far.residual - config.small_margin:
            self._pause, self._futile_residual = config.wide_pause, so_far.residual
        return min(found, so_far, key=_residual)

    def _is_paused(self, residual: float) -> bool:
        """Whether a search lately found nothing better than this residual."""
        return self._pause > 0 and residual <= self._futile_residual + self.config.small_margin

    def _descend(self, T_cam_centre: Float64, steps: Steps) -> _Descended:
        descents = self._descents
        descents.place(T_cam_centre)
        for step in steps:
            descents.step(step)
        return _Descended(descents.poses(), self._weigh(descents.evidence()), descents.normal_matrices()[0])

    def _weigh(self, sums: Float64) -> Evidence:
        return weigh(sums, colours_known=self._descents.colours_known)


class _Descended(NamedTuple):
    """Where a descent ended."""

    poses: Float64
    evidence: Evidence
    hessian: Float64

    def only(self, index: int) -> _Descended:
        """One of the poses."""
        one = slice(index, index + 1)
        return _Descended(self.poses[one], self.evidence.part(one), self.hessian)

    @property
    def residual(self) -> float:
        """Of the first pose."""
        return float(self.evidence.residual[0])


def _residual(descended: _Descended) -> float:
    return descended.residual
