"""Judge poses against the image without a network: depth, silhouette and colour agreement in one number.

Registration ranks hypotheses with it beside ScoreNet, tracking reads it as "is this still the object". The sums come
from `kernels.agreement`; here they become scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.kernels import agreement as ag
from storm_edge.kernels import crop_window
from storm_edge.kernels import fused as fused_kernels
from storm_edge.kernels.depth_noise import depth_limits
from storm_edge.kernels.device import HostSide, WpArray
from storm_edge.kernels.fused import judge as judging
from storm_edge.kernels.launch_cache import LaunchCache
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import Renderer
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.config import JudgeConfig

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PoseScores:
    """Scores of N poses, higher is better."""

    score: Float64
    """``visible + colour_weight * colour``, ``(N,)``."""
    visible: Float64
    """Agreeing share of what should be seen, depth residual weighed in, 0..1, ``(N,)``."""
    colour: Float64
    """Correlation of rendered and observed RGB on the agreeing pixels, -1..1, 0 without contrast, ``(N,)``."""
    occluded: Float64
    """Share of the model that something in front hides, 0..1, ``(N,)``."""
    colour_angle: Float64
    """Sine of the angle between rendered and observed RGB of the agreeing pixels, each as one long vector, ``(N,)``:
    0 where they differ in brightness alone or nothing agrees, to 1."""


def judge_sums(
    sums: NDArray[np.floating], mask_px: NDArray[np.floating] | None, *, colour_weight: float
) -> PoseScores:
    """Scores from the sums of `kernels.agreement`; `kernels.fused.judge.score_sums` says the same.

    Args:
        sums: ``(N, SUM_COUNT)``.
        mask_px: Size of the whole mask in pixels of each crop ``(N,)``; mask that no model pixel covers counts
            against the pose. None when there is no mask.
        colour_weight: Weight of colour in the score.
    """
    s = np.asarray(sums, dtype=np.float64)
    good = s[:, ag.GOOD]
    # Pixels without a reading say nothing about depth, but the mask says that the object is there.
    covered = good + s[:, ag.CONFLICT] + s[:, ag.UNKNOWN]
    uncovered = np.maximum(mask_px - covered, 0.0) if mask_px is not None else np.zeros(len(s))
    expected = good + s[:, ag.CONFLICT] + s[:, ag.SPILL] + uncovered
    visible = s[:, ag.GOOD_WEIGHT] / np.maximum(expected, 1.0)

    # Sum of the model, of the image, of their squares, and of the product; RGB each.
    moments = s[:, ag.MODEL_SUM :].reshape(-1, 5, 3) / np.maximum(good, 1.0)[:, None, None]
    means = moments[:, :2]
    variances = np.maximum(moments[:, 2:4] - means * means, 0.0).sum(axis=2)
    covariance = (moments[:, 4] - means[:, 0] * means[:, 1]).sum(axis=1)
    colour = covariance / (np.sqrt(variances[:, 0] * variances[:, 1]) + judging.COLOUR_CONTRAST_FLOOR)

    squares = (s[:, start : start + 3].sum(axis=1) for start in (ag.MODEL_SQUARE, ag.OBSERVED_SQUARE, ag.PRODUCT))
    model_square, observed_square, product = squares
    lengths = model_square * observed_square
    likeness = np.where(lengths > 0.0, product * product / np.where(lengths > 0.0, lengths, 1.0), 1.0)

    model = covered + s[:, ag.SPILL] + s[:, ag.OCCLUDED]
    return PoseScores(
        score=visible + colour_weight * colour,
        visible=visible,
        colour=colour,
        occluded=s[:, ag.OCCLUDED] / np.maximum(model, 1.0),
        colour_angle=np.sqrt(np.maximum(1.0 - likeness, 0.0)),
    )


def _joined(parts: Sequence[PoseScores]) -> PoseScores:
    names = ("score", "visible", "colour", "occluded", "colour_angle")
    return PoseScores(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


class PoseJudge:
    """Renders batches of poses of one object and judges them; buffers are allocated here.

    Args:
        mesh: The object in its centred frame.
        diameter_m: Its diameter.
        batch: Most poses per call of the renderer.
        config: How to judge.
        fused: Whether `judge` is one launch per batch (`kernels.fused.judge`); by the device where None.
        has_colours: Whether the model says what colour it has.

    Attributes:
        sums_buffer: Sums of `kernels.agreement` as last made, ``(batch, SUM_COUNT)`` float32.
    """

    def __init__(
        self,
        mesh: MeshBuffers,
        *,
        diameter_m: float,
        batch: int,
        config: JudgeConfig,
        fused: bool | None = None,
        has_colours: bool = True,
    ) -> None:
        self._config, self._has_colours = config, has_colours
        reach_m = 0.5 * diameter_m * config.crop_ratio
        self._window_rule = crop_window.window_rule(reach_m=reach_m, size_px=config.size_px)
        self._launch_cache = LaunchCache(mesh.device)
        self._renderer = Renderer(mesh, batch=batch, size_px=config.size_px)
        self._batch = batch
        self._T = wp.empty(batch, dtype=wp.mat44f, device=mesh.device)
        self._K = wp.empty(batch, dtype=wp.mat33f, device=mesh.device)
        self._window = wp.empty(batch, dtype=wp.vec4f, device=mesh.device)
        self.sums_buffer: WpArray = wp.zeros((batch, ag.SUM_COUNT), dtype=wp.float32, device=mesh.device)
        self._no_mask = wp.zeros((1, 1), dtype=wp.uint8, device=mesh.device)
        self._T_host, self._window_host = HostSide(self._T), HostSide(self._window)
        self._sums_host = HostSide(self.sums_buffer)
        self._scores: WpArray = wp.zeros((batch, judging.SCORE_COUNT), dtype=wp.float64, device=mesh.device)
        self._scores_host = HostSide(self._scores)
        self.tau_m = max(config.depth_gate * diameter_m, config.min_depth_gate_m)
        self._crops = ag.rendered_crops(
            self._renderer.depth,
            self._renderer.colour,
            self._window,
            tau_m=self.tau_m,
            noise_per_m=config.depth_noise_per_m,
        )
        self._fused = fused_kernels.is_preferred(mesh.device) if fused is None else fused
        self._model, self._buffers = self._fused_mesh(), self._fused_buffers()

    def _fused_mesh(self) -> Any:
        model = judging.JudgedMesh()
        model.mesh, model.lights = self._renderer.mesh.arrays, self._renderer.lights
        model.window, model.colour_weight = self._window_rule, self._config.colour_weight
        return model

    def _fused_buffers(self) -> Any:
        renderer, buffers = self._renderer, judging.JudgeBuffers()
        buffers.T_cam_obj, buffers.scores = self._T, self._scores
        buffers.crops, buffers.K_crop, buffers.sums = self._crops, self._K, self.sums_buffer
        buffers.screen, buffers.keys = renderer.visibility.screen, renderer.visibility.keys
        return buffers

    def judge(
        self,
        frame: FrameBuffers,
        T_cam_centre: NDArray[np.floating],
        *,
        mask: wp.array | None,
        mask_area_px: float = 0.0,
    ) -> PoseScores:
        """Judge poses ``(N, 4, 4)``, any N; blocks until done.

        Args:
            frame: The image, uploaded.
            T_cam_centre: Poses of the centred mesh.
            mask: Object mask on the device, ``(H, W)`` uint8, or None.
            mask_area_px: Number of mask pixels in the image.
        """
        T_all = np.asarray(T_cam_centre)
        parts = [
            self._judge(frame, T_all[start : start + self._batch], mask, mask_area_px)
            for start in range(0, len(T_all), self._batch)
        ]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _judge(
        self, frame: FrameBuffers, T_cam_centre: NDArray[np.floating], mask: WpArray | None, mask_area_px: float
    ) -> PoseScores:
        """`judge` for a batch."""
        count = len(T_cam_centre)
        self._T_host.write(T_cam_centre)
        if self._fused:
            assert frame.descriptor is not None
            given, area_px = (0, 0.0) if mask is None else (1, mask_area_px)
            self._launch_cache.launch_rows(
                judging.judge_kernel,
                count,
                [frame.descriptor.array, frame.K_device, self._no_mask if mask is None else mask, given, area_px]
                + [self._model, self._buffers],
                changing=(2, 4),  # fixed: the mask and its size among them
            )
            score, visible, colour, occluded, angle = self._scores_host.read(count).T.copy()
            return PoseScores(score=score, visible=visible, colour=colour, occluded=occluded, colour_angle=angle)
        self._place(frame, self._T, count)
        self._sum(frame, self._T, count, mask)
        mask_px = None
        if mask is not None:
            scale = self._window_host.read(count)[:, ::2].astype(np.float64)
            mask_px = mask_area_px / (scale[:, 0] * scale[:, 1])
        return judge_sums(self._sums_host.read(count), mask_px, colour_weight=self._config.colour_weight)

    def noise_share(self, z_m: float) -> float:
        """How much of the depth gate at a depth [m] is there for noise: 0 for near things, towards 1 far away.

        What depth cannot say there, colours must; so it is 0 for a model without colours.
        """
        if not self._has_colours:
            return 0.0
        limit_m = float(depth_limits(self.tau_m, self._config.depth_noise_per_m, z_m))
        return 1.0 - self.tau_m / limit_m if limit_m > self.tau_m else 0.0

    def enqueue(self, frame: FrameBuffers, T_cam_centre: WpArray, count: int) -> None:
        """Put the sums of the first ``count`` poses, mat44f on the device, into ``sums_buffer``. Enqueues only.

        Args:
            frame: The image, uploaded.
            T_cam_centre: Poses of the centred mesh, at least ``count``; there is no mask.
            count: At most the batch.
        """
        self._place(frame, T_cam_centre, count)
        self._sum(frame, T_cam_centre, count, None)

    def _place(self, frame: FrameBuffers, T_cam_centre: WpArray, count: int) -> None:
        crop_window.launch_windows(
            T_cam_centre,
            frame.K_device,
            rule=self._window_rule,
            windows=self._window,
            K_crop=self._K,
            count=count,
            launch_cache=self._launch_cache,
        )

    def _sum(self, frame: FrameBuffers, T: WpArray, count: int, mask: WpArray | None) -> None:
        self._renderer.launch(T, self._K, count)
        ag.launch_agreement(
            self._crops,
            (frame.depth, frame.rgb),
            self._no_mask if mask is None else mask,
            mask_given=mask is not None,
            sums=self.sums_buffer,
            count=count,
            launch_cache=self._launch_cache,
        )
