"""Judge poses against the image without a network: depth, silhouette and colour agreement in one number.

Registration ranks hypotheses with it beside ScoreNet, tracking reads it as "is this still the object". The sums come
from `kernels.agreement`; here they become scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.kernels import agreement as ag
from storm_edge.kernels import crop_window
from storm_edge.kernels.commands import Commands
from storm_edge.kernels.device import WpArray, put
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.raster import Renderer
from storm_edge.perception.inputs import FrameBuffers, crop_windows

Float64 = NDArray[np.float64]

_CONTRAST_FLOOR = 0.02**2
"""Colour variance [0, 1]^2 below which a pattern counts as noise and correlation fades to 0."""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """How poses are judged."""

    size_px: int = 64
    """Side of the rendered crops [px]."""
    crop_ratio: float = 1.2
    """Crop side over object diameter."""
    depth_gate: float = 0.06
    """Depth differences up to this share of the diameter count as the same surface."""
    min_depth_gate_m: float = 0.008
    """But never less than a depth camera's own error [m]."""
    colour_weight: float = 0.15
    """Weight of the colour correlation beside the visible agreement."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Scores of N poses, higher is better."""

    score: Float64
    """``visible + colour_weight * colour``, ``(N,)``."""
    visible: Float64
    """Agreeing share of what should be seen, depth residual weighed in, 0..1, ``(N,)``."""
    colour: Float64
    """Correlation of rendered and observed RGB on the agreeing pixels, -1..1, 0 without contrast, ``(N,)``."""
    occluded: Float64
    """Share of the model that something in front hides, 0..1, ``(N,)``."""


def judge_sums(
    sums: NDArray[np.floating], mask_px: NDArray[np.floating] | None, *, colour_weight: float
) -> Judgement:
    """Scores from the sums of `kernels.agreement`.

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

    n = np.maximum(good, 1.0)[:, None]
    mean_m, mean_o = s[:, ag.MODEL_SUM : ag.MODEL_SUM + 3] / n, s[:, ag.OBSERVED_SUM : ag.OBSERVED_SUM + 3] / n
    var_m = (s[:, ag.MODEL_SQUARE : ag.MODEL_SQUARE + 3] / n - mean_m**2).clip(min=0.0).sum(axis=1)
    var_o = (s[:, ag.OBSERVED_SQUARE : ag.OBSERVED_SQUARE + 3] / n - mean_o**2).clip(min=0.0).sum(axis=1)
    covariance = (s[:, ag.PRODUCT : ag.PRODUCT + 3] / n - mean_m * mean_o).sum(axis=1)
    colour = covariance / (np.sqrt(var_m * var_o) + _CONTRAST_FLOOR)

    model = covered + s[:, ag.SPILL] + s[:, ag.OCCLUDED]
    return Judgement(
        score=visible + colour_weight * colour,
        visible=visible,
        colour=colour,
        occluded=s[:, ag.OCCLUDED] / np.maximum(model, 1.0),
    )


class PoseJudge:
    """Renders batches of poses of one object and judges them; buffers are allocated here.

    Args:
        mesh: The object in its centred frame.
        diameter_m: Its diameter.
        batch: Most poses per call of the renderer.
        config: How to judge.

    Attributes:
        sums_buffer: Sums of `kernels.agreement` as last made, ``(batch, SUM_COUNT)`` float32.
    """

    def __init__(self, mesh: MeshBuffers, *, diameter_m: float, batch: int, config: JudgeConfig) -> None:
        self._config = config
        self._diameter_m = diameter_m
        self._device = mesh.device
        self._commands = Commands(mesh.device)
        self._renderer = Renderer(mesh, batch=batch, size_px=config.size_px)
        self._batch = batch
        self._T = wp.empty(batch, dtype=wp.mat44f, device=mesh.device)
        self._K = wp.empty(batch, dtype=wp.mat33f, device=mesh.device)
        self._window = wp.empty(batch, dtype=wp.vec4f, device=mesh.device)
        self.sums_buffer: WpArray = wp.zeros((batch, ag.SUM_COUNT), dtype=wp.float32, device=mesh.device)
        self._no_mask = wp.zeros((1, 1), dtype=wp.uint8, device=mesh.device)
        self.tau_m = max(config.depth_gate * diameter_m, config.min_depth_gate_m)

    def judge(
        self,
        frame: FrameBuffers,
        T_cam_centre: NDArray[np.floating],
        *,
        mask: wp.array | None,
        mask_area_px: float = 0.0,
    ) -> Judgement:
        """Judge poses ``(N, 4, 4)``, any N; blocks until done.

        Args:
            frame: The image, uploaded.
            T_cam_centre: Poses of the centred mesh.
            mask: Object mask on the device, ``(H, W)`` uint8, or None.
            mask_area_px: Number of mask pixels in the image.
        """
        config = self._config
        T_all = np.asarray(T_cam_centre, dtype=np.float64)
        sums = np.empty((len(T_all), ag.SUM_COUNT), dtype=np.float32)
        windows, K_crops = crop_windows(
            T_all, frame.K, diameter_m=self._diameter_m, crop_ratio=config.crop_ratio, size_px=config.size_px
        )
        for start in range(0, len(T_all), self._batch):
            part = slice(start, min(start + self._batch, len(T_all)))
            count = part.stop - start
            put(T_all[part], self._T)
            put(K_crops[part], self._K)
            put(windows[part], self._window)
            self._sum(frame, self._T, count, mask)
            sums[part] = self.sums_buffer.numpy()[:count]
        mask_px = None if mask is None else mask_area_px / (windows[:, 0] * windows[:, 2])
        return judge_sums(sums, mask_px, colour_weight=config.colour_weight)

    def enqueue(self, frame: FrameBuffers, T_cam_centre: WpArray, count: int) -> None:
        """Put the sums of the first ``count`` poses, mat44f on the device, into ``sums_buffer``. Enqueues only.

        Args:
            frame: The image, uploaded.
            T_cam_centre: Poses of the centred mesh, at least ``count``; there is no mask.
            count: At most the batch.
        """
        crop_window.launch_windows(
            T_cam_centre,
            frame.K_device,
            reach_m=0.5 * self._diameter_m * self._config.crop_ratio,
            size_px=self._config.size_px,
            image_size_px=frame.size_px,
            upstream=False,
            windows=self._window,
            K_crop=self._K,
            count=count,
            commands=self._commands,
        )
        self._sum(frame, T_cam_centre, count, None)

    def _sum(self, frame: FrameBuffers, T: WpArray, count: int, mask: WpArray | None) -> None:
        self._renderer.launch(T, self._K, count)
        ag.launch_agreement(
            self._renderer.depth,
            self._renderer.colour,
            self._window,
            frame.depth,
            frame.rgb,
            self._no_mask if mask is None else mask,
            mask_given=mask is not None,
            tau_m=self.tau_m,
            sums=self.sums_buffer,
            count=count,
            device=self._device,
        )
