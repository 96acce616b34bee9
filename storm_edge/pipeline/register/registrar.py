"""Register: from a mask to the object's pose, as a generator of bounded chunks.

Every rotation of the grid is put where the mask's depth says; then stages follow that each move the hypotheses with
RefineNet, with geometry, or with both, judge them, and keep the best. The last ranking is finer: the whole mesh, more
pixels, and ScoreNet. A caller that must not wait runs one chunk at a time between its frames;
`Registrar.register` runs all of them at once.

Poses are of the centred mesh (``T_cam_centre``).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import EngineError, mismatch
from storm_edge.geometry.symmetry import nearest_symmetric
from storm_edge.kernels.device import WpArray
from storm_edge.kernels.renderer import render
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.chunks import run_to_completion
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.config import GeometricConfig
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.refine.judge import PoseJudge
from storm_edge.pipeline.refine.networks import PoseRefiner, PoseScorer
from storm_edge.pipeline.register.box_placement import box_poses
from storm_edge.pipeline.register.config import DEFAULT, RegisterConfig, RegistrationStage
from storm_edge.pipeline.register.mask_scale import MaskScaleCheck
from storm_edge.pipeline.register.mask_surface import check_scale, masked_surface
from storm_edge.pipeline.register.placement import Placement
from storm_edge.pipeline.register.ranking import relative_probability
from storm_edge.pipeline.register.scale_probe import Explained, ScaleProbe

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A pose found from a mask."""

    T_cam_centre: Float64
    """Pose of the centred mesh, ``(4, 4)``."""
    score: float
    """The judge's score of that pose, see `pipeline.refine.judge`."""
    visible: float
    """Agreeing share of what should be seen, 0..1."""
    ranked: Float64
    """All poses of the last ranking, best first, ``(N, 4, 4)``."""
    ranked_scores: Float64
    """Their combined scores, ``(N,)``."""
    is_non_finite: bool = False
    """Whether a network gave no number for some hypotheses, which went on without it."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What one registration works on."""

    frame: FrameBuffers
    mask: NDArray[np.bool_]
    mask_device: WpArray
    mask_area_px: float


class Registrar:
    """Registers one object; buffers and per-object tables are made here.

    Args:
        item: The object; its device is used.
        networks: RefineNet and ScoreNet; may be None for a schedule that asks neither.
        config: The schedule.
        geometry: The geometric refinement of its stages.
        options: Where and how the engines run.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        networks: NetworkBundle | None,
        *,
        config: RegisterConfig = DEFAULT,
        geometry: GeometricConfig | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        self._bundle = item.bundle
        self._config = config
        mesh, d, chunk = item.mesh_lod, item.diameter_m, config.chunk
        self._device, self._mesh = item.device, mesh
        # Its own refiner: the colours it learns from a mask are not to mix with those of a running track.
        self._geometry = GeometricRefiner(item.viewpoints, config=geometry)
        self._learned_from: Callable[[], _Task | None] = lambda: None
        self._refine: PoseRefiner | None = None
        self._score: PoseScorer | None = None
        if config.asks_networks and networks is None:
            raise EngineError(
                mismatch("registration", "no network bundle", "one", "give --bundle, or a schedule without")
            )
        if networks is not None and any(stage.network for stage in config.stages):
            self._refine = PoseRefiner(item, networks, batch=chunk, options=options)
        if networks is not None and config.network_weight:
            capacity = len(item.rotation_grid)
            self._score = PoseScorer(item, networks, batch=chunk, capacity=capacity, options=options)
        self._judge = PoseJudge(mesh, diameter_m=d, batch=chunk, config=config.judge)
        self._last_judge = PoseJudge(item.mesh, diameter_m=d, batch=config.last_batch, config=config.last_judge)
        self._scale_probe = ScaleProbe(config.scale)
        self._rotations = item.rotation_grid
        self._placement: Placement | None = None
        if config.placement.rule == "surface":
            self._placement = Placement(mesh, self._rotations, d, config.placement)

    @property
    def config(self) -> RegisterConfig:
        """The schedule."""
        return self._config

    @property
    def non_finite_count(self) -> dict[str, int]:
        """Answers so far that were no numbers, by network."""
        return {
            "refine": 0 if self._refine is None else self._refine.non_finite_count,
            "score": 0 if self._score is None else self._score.non_finite_count,
        }

    def register(self, frame: FrameBuffers, mask: NDArray[np.bool_], *, near: Float64 | None = None) -> Registration:
        """Do all of `chunks` at once, for a mask from outside: it is held against the model's size, too.

        Args:
            frame: As for `chunks`; so is all else.
            mask: Object pixels, ``(H, W)`` bool.
            near: See `chunks`.

        Raises:
            MaskError: As `chunks`.
            UnitError: Mask and model differ in size by a factor that nothing explains.
                So do they where the model explains much more of what is seen at another scale.
            CameraError: They do, and the intrinsics are of another resolution.
        """
        masked_surface(frame, mask, min_depth_px=self._config.min_depth_px)
        check = MaskScaleCheck(frame, mask, self._bundle.diameter_m, self._config.scale)
        check.check_extent()
        found = run_to_completion(self.chunks(frame, mask, near=near))
        model_depth_m = render(self._mesh, found.T_cam_centre, frame.K, mask.shape).depth[0]
        check.check_pose(model_depth_m)
        given = self._explained(frame, mask, found)
        better = self._scale_probe.better_scale(
            frame, mask, given, quick=self._registered_quickly, whole=self._registered
        )
        if better is not None:
            check.refuse(given, better)
        return found

    def _registered(self, frame: FrameBuffers, mask: NDArray[np.bool_]) -> Explained:
        """What the model explains where it is registered in a frame."""
        return self._explained(frame, mask, run_to_completion(self.chunks(frame, mask)))

    def _registered_quickly(self, frame: FrameBuffers, mask: NDArray[np.bool_]) -> Explained:
        work = self.chunks(frame, mask, stages=self._config.scale.quick_stages)
        return self._explained(frame, mask, run_to_completion(work))

    def _explained(self, frame: FrameBuffers, mask: NDArray[np.bool_], found: Registration) -> Explained:
        silhouette = render(self._mesh, found.T_cam_centre, frame.K, mask.shape).depth[0] > 0.0
        either = max(int(np.count_nonzero(silhouette | mask)), 1)
        by_depth = self._judge.judge(frame, found.T_cam_centre[None], mask=None)
        return Explained(
            visible=found.visible,
            agreeing=float(by_depth.visible[0]),
            overlap=float(np.count_nonzero(silhouette & mask) / either),
        )

    def chunks(
        self,
        frame: FrameBuffers,
        mask: NDArray[np.bool_],
        *,
        near: Float64 | None = None,
        starts: Float64 | None = None,
        stages: Sequence[RegistrationStage] | None = None,
    ) -> Generator[str, None, Registration]:
        """Work in bounded chunks; yields the kind of work a chunk did, returns the registration.

        Args:
            frame: The image, uploaded; must stay as it is until the generator ends.
            mask: Object pixels, ``(H, W)`` bool.
            near: For a symmetric object, report the pose nearest to this one ``(4, 4)``.
            starts: Poses ``(N, 4, 4)`` that are tried instead of all turns; stages that would keep more only move.
            stages: Others than those of the schedule; None takes those.

        Raises:
            MaskError: The mask has another size, marks nothing, or has too few pixels with depth.
            UnitError: What the mask shows and the model differ in size by a unit.
        """
        non_finite_count = self.non_finite_count
        surface = masked_surface(frame, mask, min_depth_px=self._config.min_depth_px)
        check_scale(
            surface,
            self._bundle.diameter_m,
            max_factor=self._config.max_size_factor,
            stray_percent=self._config.stray_depth_percent,
        )
        task = _Task(
            frame=frame,
            mask=mask,
            mask_device=wp.array(mask.astype(np.uint8), dtype=wp.uint8, device=self._device),
            mask_area_px=float(mask.sum()),
        )
        poses = self._first_poses(frame, mask, surface) if starts is None else starts.copy()
        yield "hypotheses"
        for stage in self._config.stages if stages is None else stages:
            yield from self._moved(task, poses, stage)
            keep = stage.keep if starts is None else stage.keep_of_starts or stage.keep
            if keep is not None and (starts is None or keep < len(poses)):
                scores = yield from self._scores(task, poses)
                stops = float(scores.max()) < stage.stop_below
                poses = poses[np.argsort(-scores, kind="stable")[: 1 if stops else keep]]
                if stops:
                    break
        ranked = yield from self._ranked(task, poses)
        pose = ranked.ranked[0]
        if near is not None:
            pose = nearest_symmetric(pose, near, self._bundle.symmetries)
        return replace(ranked, T_cam_centre=pose, is_non_finite=self.non_finite_count != non_finite_count)

    def _first_poses(self, frame: FrameBuffers, mask: NDArray[np.bool_], surface: Float64) -> Float64:
        """A pose per rotation ``(G, 4, 4)``, placed by the configured rule."""
        if self._placement is None:
            return box_poses(frame, mask, self._rotations, min_depth_px=self._config.min_depth_px)
        return self._placement.poses(surface, mask, frame.K)

    def _moved(self, task: _Task, poses: Float64, stage: RegistrationStage) -> Generator[str, None, None]:
        """Move the hypotheses ``(N, 4, 4)`` of a stage in place."""
        for part in _parts(len(poses), self._config.chunk):
            if self._refine is not None:
                for _ in range(stage.network):
                    poses[part] = self._refine(task.frame, poses[part])
                    yield "refine"
            if stage.geometry:
                # Learned once, and again where another registration came in between.
                mask = None if self._learned_from() is task else task.mask
                poses[part], _ = self._geometry.refine_batch(
                    task.frame, poses[part], iterations=stage.geometry, mask=mask
                )
                self._learned_from = weakref.ref(task)
                yield "geometry"

    def _scores(self, task: _Task, poses: Float64) -> Generator[str, None, Float64]:
        """The judge's scores ``(N,)``."""
        scores = np.empty(len(poses))
        for part in _parts(len(poses), self._config.chunk):
            judged = self._judge.judge(task.frame, poses[part], mask=task.mask_device, mask_area_px=task.mask_area_px)
            scores[part] = judged.score
            yield "judge"
        return scores

    def _ranked(self, task: _Task, poses: Float64) -> Generator[str, None, Registration]:
        """The last ranking: the whole mesh, more pixels, and ScoreNet."""
        config = self._config
        judged = self._last_judge.judge(task.frame, poses, mask=task.mask_device, mask_area_px=task.mask_area_px)
        combined = config.judge_weight * judged.score
        yield "judge"
        if self._score is not None:
            self._score.begin()
            for part in _parts(len(poses), config.chunk):
                self._score.add(task.frame, poses[part])
                yield "score"
            combined = combined + config.network_weight * relative_probability(self._score.scores())
        order = np.argsort(-combined, kind="stable")
        best = int(order[0])
        return Registration(
            T_cam_centre=poses[best],
            score=float(judged.score[best]),
            visible=float(judged.visible[best]),
            ranked=poses[order],
            ranked_scores=combined[order],
        )


def _parts(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
