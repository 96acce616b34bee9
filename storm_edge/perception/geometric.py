"""Geometric refinement: Gauss-Newton on depth and on the colour regions along the contour, no rendering, no network.

`GeometricRefiner.refine` is what tracking calls on every frame: a short descent from the expected pose, and only when
its residual says that the fit is bad, a wide one from several starts. `GeometricRefiner.refine_batch` is what
registration polishes its hypotheses with. Poses are of the centred mesh (``T_cam_centre``). The methods are those of
SRT3D and ICG (Stoiber et al., IJCV and CVPR 2022), the schedules are ours, measured by benchmarks/bench_geometric.py.

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
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storm_edge.geometry.se3 import exp_so3, log_so3, make_T
from storm_edge.kernels import evidence as ev
from storm_edge.kernels.device import require_device
from storm_edge.objects.viewpoints import SparseViewpoints
from storm_edge.perception.descent import Descents, GeometricStep, RgbdBuffers

Float64 = NDArray[np.float64]
Steps = Sequence[GeometricStep]

COARSE = GeometricStep(scale_px=6, contour_px=15.0, reach_m=0.05, depth_deviation=0.03)
MEDIUM = GeometricStep(scale_px=4, contour_px=5.0, reach_m=0.02, depth_deviation=0.02)
FINE = GeometricStep(scale_px=2, contour_px=3.5, reach_m=0.01, depth_deviation=0.01)
FINEST = GeometricStep(scale_px=1, contour_px=1.5, reach_m=0.01, depth_deviation=0.01)

_CONTRAST_FLOOR = 0.03**2
"""Variance of the model's colours [0, 1]^2, summed over RGB, at which the colour term counts half."""


@dataclass(frozen=True, kw_only=True)
class GeometricConfig:
    """Schedules and limits of the refinement."""

    narrow: Steps = (COARSE, MEDIUM, MEDIUM, FINE, FINE, FINEST, FINEST)
    """Steps from the first start on every frame."""
    wide: Steps = (COARSE,) * 3 + (MEDIUM,) * 3 + (FINE,)
    """Steps from every start when the narrow ones end badly."""
    finish: Steps = (MEDIUM, FINE, FINE, FINEST, FINEST)
    """Steps that follow for the best of the wide ones."""
    polish: Steps = (COARSE, COARSE, MEDIUM, MEDIUM, FINE, FINEST)
    """Steps of `GeometricRefiner.refine_batch`, stretched to the iterations asked for."""
    wide_above: float = 0.45
    """Residual of the narrow result above which the wide search starts."""
    tolerance: float = 0.05
    """How much a refined pose may raise the residual of its start and still be accepted: the residual's own noise."""
    occlusion_m: float = 0.03
    """A reading this far in front of a point hides it [m]."""
    gate_m: float = 0.010
    """Plane distance that counts as wholly wrong in the residual [m]."""
    learning_rate: float = 0.2
    """Share of the newest frame in the colour statistics."""


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


@dataclass(frozen=True, kw_only=True)
class GeometricResult:
    """A refined pose and what speaks for it."""

    T_cam_centre: Float64
    """Pose of the centred mesh, ``(4, 4)``; the first start when nothing better was found."""
    accepted: bool
    """Whether the refined pose is reported, not the first start."""
    residual: float
    """Of the reported pose, see the head of the module."""
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
    widened: bool
    """Whether the wide search ran."""


def weigh(sums: Float64, *, colours_known: bool) -> Evidence:
    """Turn sums of `kernels.evidence` ``(N, SUM_COUNT)`` into the terms of the residual.

    Args:
        sums: As the kernel left them.
        colours_known: Whether colour statistics were learned; without them the contour term is left out.
    """
    judged, lines, inliers = sums[:, ev.JUDGED], sums[:, ev.LINES], sums[:, ev.INLIERS]
    # A term that rests on few points says little: eight of them count half.
    depth_weight = judged / (judged + 8.0)
    depth = sums[:, ev.PLANE_DISTANCE] / np.maximum(judged, 1.0)
    contour_weight = lines / (lines + 8.0) if colours_known else np.zeros_like(lines)
    contour = np.clip(2.0 * (1.0 - sums[:, ev.LINE_SCORE] / np.maximum(lines, 1.0)), 0.0, 1.0)

    n = np.maximum(inliers, 1.0)
    mean_m = sums[:, ev.MODEL_SUM : ev.MODEL_SUM + 3] / n[:, None]
    mean_o = sums[:, ev.IMAGE_SUM : ev.IMAGE_SUM + 3] / n[:, None]
    variance_m = np.maximum(sums[:, ev.MODEL_SQUARE] / n - (mean_m**2).sum(axis=1), 0.0)
    variance_o = np.maximum(sums[:, ev.IMAGE_SQUARE] / n - (mean_o**2).sum(axis=1), 0.0)
    covariance = sums[:, ev.PRODUCT] / n - (mean_m * mean_o).sum(axis=1)
    correlation = covariance / np.sqrt(np.maximum(variance_m * variance_o, 1e-12))
    colour_weight = inliers / (inliers + 8.0) * variance_m / (variance_m + _CONTRAST_FLOOR)
    colour = np.clip(1.0 - correlation, 0.0, 1.0)

    terms = np.stack([depth, contour, colour])
    weights = np.stack([depth_weight, contour_weight, colour_weight])
    total = weights.sum(axis=0)
    residual = np.where(total > 0.0, (terms * weights).sum(axis=0) / np.maximum(total, 1e-9), 1.0)
    return Evidence(
        residual=residual,
        depth=depth,
        contour=contour,
        colour=colour,
        inliers=inliers / np.maximum(judged, 1.0),
        hidden=sums[:, ev.HIDDEN] / np.maximum(judged + sums[:, ev.HIDDEN], 1.0),
    )


def motion_starts(T_last: Float64, T_before: Float64) -> Float64:
    """Where to look next: the last pose, and half and all of the last motion further, ``(3, 4, 4)``."""
    w = log_so3(T_last[:3, :3] @ T_before[:3, :3].T)
    v = T_last[:3, 3] - T_before[:3, 3]
    share = np.array([0.0, 0.5, 1.0])[:, None]
    return make_T(exp_so3(share * w) @ T_last[:3, :3], T_last[:3, 3] + share * v)


class GeometricRefiner:
    """Refines poses of one object; all buffers are made here.

    Args:
        viewpoints: The object's sparse views.
        config: Schedules and limits.
        batch: Most poses of `refine_batch` and starts of `refine` that go downhill together.
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

    def learn(self, frame: RgbdBuffers, T_cam_centre: ArrayLike, *, forget: bool = False) -> None:
        """Learn the colours of object and surroundings at a pose that is trusted.

        Args:
            frame: The image.
            T_cam_centre: The pose, ``(4, 4)``.
            forget: Start anew: after registration, or on another recording.
        """
        self._descents.look(frame)
        self._descents.place(T_cam_centre)
        known = self._descents.colours_known and not forget
        self._descents.learn(self.config.learning_rate if known else 1.0)

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
                ``S <= batch``; `motion_starts` makes them from the last two poses.
        """
        config, descents = self.config, self._descents
        starts = np.asarray(starts, dtype=np.float64).reshape(-1, 4, 4)
        descents.look(frame)
        descents.place(starts[:1])
        sums = [descents.evidence()]
        poses = [starts[0]]
        matrices = []

        def descend(start: Float64, steps: Steps) -> Evidence:
            poses.append(self._descend(start, steps)[0])
            sums.append(descents.evidence())
            matrices.append(descents.normal_matrices()[0])
            return self._weigh(np.concatenate(sums))

        evidence = descend(starts[0], config.narrow)
        iterations = len(config.narrow)
        widened = bool(evidence.residual[-1] > config.wide_above)
        if widened:
            spread = self._descend(starts, config.wide)
            best = int(np.argmin(self._weigh(descents.evidence()).residual))
            evidence = descend(spread[best], config.finish)
            iterations += len(config.wide) + len(config.finish)

        # Entry 0 is the start, then the refined poses.
        best = 1 + int(np.argmin(evidence.residual[1:]))
        accepted = bool(evidence.residual[best] <= evidence.residual[0] + config.tolerance)
        kept = best if accepted else 0
        return GeometricResult(
            T_cam_centre=poses[kept],
            accepted=accepted,
            residual=float(evidence.residual[kept]),
            depth_residual_m=float(evidence.depth[kept]) * config.gate_m,
            contour=float(evidence.contour[kept]),
            colour=float(evidence.colour[kept]),
            inliers=float(evidence.inliers[kept]),
            hidden=float(evidence.hidden[kept]),
            hessian=matrices[best - 1],
            iterations=iterations,
            widened=widened,
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
            mask: Object pixels ``(H, W)``: colours are learned from it. Without a mask the learned ones are used, or
                depth alone when there are none.

        Returns:
            Poses ``(N, 4, 4)`` and their residuals ``(N,)``.
        """
        descents = self._descents
        descents.look(frame)
        if mask is not None:
            descents.learn_from_mask(mask)
        poses = np.array(T_cam_centre, dtype=np.float64).reshape(-1, 4, 4)
        residuals = np.empty(len(poses))
        steps = [self.config.polish[i * len(self.config.polish) // iterations] for i in range(iterations)]
        for first in range(0, len(poses), descents.capacity):
            part = slice(first, first + descents.capacity)
            descents.place(poses[part])
            before = self._weigh(descents.evidence()).residual
            moved = self._descend(poses[part], steps)
            after = self._weigh(descents.evidence()).residual
            poses[part] = np.where((after <= before)[:, None, None], moved, poses[part])
            residuals[part] = np.minimum(after, before)
        return poses, residuals

    def _descend(self, T_cam_centre: Float64, steps: Steps) -> Float64:
        """Poses ``(N, 4, 4)`` after ``steps``; evidence and normal matrices are then those of these poses."""
        self._descents.place(T_cam_centre)
        for step in steps:
            self._descents.step(step)
        return self._descents.poses()

    def _weigh(self, sums: Float64) -> Evidence:
        return weigh(sums, colours_known=self._descents.colours_known)
