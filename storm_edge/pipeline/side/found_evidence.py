"""What speaks against each of several poses that were found in one image, pixel by pixel, finer than `side.evidence`.

Here time does not press, and nothing is known but this image: the window has more pixels, the whole mesh is rendered,
and the object's mask has a say where there is one. Colours are compared twice after gain and shading: as they are,
and without what varies slowly, so that small print tells sides apart that differ by little else.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.kernels.depth_noise import depth_limits
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.pipeline.side.config import FoundEvidenceConfig, SideEvidenceConfig
from storm_edge.pipeline.side.evidence import colour_likelihood
from storm_edge.pipeline.side.palette import palette_overlap
from storm_edge.pipeline.side.shading import FittedColours, fitted_colours, rendered_normals
from storm_edge.pipeline.side.window import SideWindow, WindowRenderer

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_BATCH = 16  # fixed: what it comes to is the same
"""Poses rendered at a time."""


@dataclass(frozen=True, kw_only=True)
class FoundTerms:
    """What the window says of each of N poses, ``(N,)`` each; less is better.

    All but ``detail`` are shares of the first pose's silhouette.
    """

    texture: Float64
    """Colours that are not those of this part of the model, after gain and shading."""
    detail: Float64
    """The same without what varies slowly, over what both have of it: -0.5 where the model has it as it is seen, 0
    where it has none, 1 where it alone has it."""
    depth: Float64
    """Squared differences of the depth over what is allowed, each at most 1; what hides does not count. Parts of the
    model before a surface that is measured farther count less where the object's colours are seen: a camera smooths
    the depth of thin parts away."""
    hidden: Float64
    """Parts of the model that something nearer hides."""
    spill: Float64
    """Parts of the model beyond the mask that nothing hides; 0 without a mask."""
    uncovered: Float64
    """Parts of the mask that the model does not cover; 0 without a mask."""
    outside: Float64
    """Surface of the object's colours and at its depth beyond the outline: a handle that the model does not cover.
    The colours are the same for all poses, since each pose that leaves a part out learns its colours as others'."""

    def array(self) -> Float64:
        """The terms in the order of the fields ``(N, T)``."""
        return np.stack([getattr(self, field.name) for field in fields(self)], axis=1)


class FoundEvidence:
    """Measures what speaks for poses of one object; buffers are made here.

    Args:
        mesh: The object in its centred frame.
        diameter_m: Its diameter [m].
        config: How the window is measured.
    """

    def __init__(self, mesh: MeshBuffers, diameter_m: float, config: FoundEvidenceConfig) -> None:
        self._config, self._diameter_m = config, diameter_m
        self._renderer = WindowRenderer(mesh, diameter_m, config.window, _BATCH)

    def terms(
        self, frame: Frame, T_cam_centre: Float64, mask: Bool | None, log_odds: Float32, common_log_odds: Float32
    ) -> FoundTerms:
        """What a frame says of poses ``(N, 4, 4)``, any N, of which the first is in the middle of the window.

        Args:
            frame: The image.
            T_cam_centre: Poses of the centred mesh [m].
            mask: The object's pixels ``(H, W)``, or None.
            log_odds: What is learned of the object's colours, by all poses ``(BIN_COUNT,)`` or each
                ``(N, BIN_COUNT)``.
            common_log_odds: What all poses are told of them where they leave something out ``(BIN_COUNT,)``.
        """
        window = self._renderer.window(frame, T_cam_centre[0])
        depth, colour = self._renderer.render(window, T_cam_centre)
        marked = None if mask is None else window.of_mask(mask)
        likely, common = (colour_likelihood(window.rgb, odds) for odds in (log_odds, common_log_odds))
        z_m = float(T_cam_centre[0, 2, 3])
        return found_terms(window, depth, colour, (marked, likely, common), (z_m, self._diameter_m), self._config)

    def leads(self, frame: Frame, T_cam_centre: Float64) -> Float64:
        """`colour_leads` of poses ``(N, 4, 4)`` over the first, in the middle of the window ``(N,)``.

        Args:
            frame: The image.
            T_cam_centre: Poses of the centred mesh [m].
        """
        return colour_leads(self._fitted(frame, T_cam_centre), self._config)

    def palette_overlap(self, frame: Frame, T_cam_centre: Float64) -> float:
        """`palette.palette_overlap` of one pose ``(4, 4)``, 0 to 1.

        Args:
            frame: The image.
            T_cam_centre: Pose of the centred mesh [m].
        """
        return palette_overlap(self._fitted(frame, T_cam_centre[None]), 0, self._config.palette_bins)

    def _fitted(self, frame: Frame, T_cam_centre: Float64) -> FittedColours:
        """Colours at poses ``(N, 4, 4)`` where depth agrees, in the window around the first."""
        window, rule = self._renderer.window(frame, T_cam_centre[0]), self._config.window
        depth, colour = self._renderer.render(window, T_cam_centre)
        silhouette = (depth > 0.0) & window.in_image
        size_m = (float(T_cam_centre[0, 2, 3]), self._diameter_m)
        agrees = silhouette & (np.abs(_depth_apart(window, depth, silhouette, size_m, rule)) <= 1.0)
        return fitted_colours(window.rgb, colour, rendered_normals(depth, window.K), agrees, rule)


def found_terms(
    window: SideWindow,
    model_m: Float32,
    model_rgb: Float32,
    known: tuple[Bool | None, Float32, Float32],
    size_m: tuple[float, float],
    config: FoundEvidenceConfig,
) -> FoundTerms:
    """Terms of N rendered poses.

    Args:
        window: What was seen.
        model_m: Depth of the model at each pose [m] ``(N, S, S)``, 0 where it is not.
        model_rgb: Its colours in [0, 1] ``(N, S, S, 3)``.
        known: The object's pixels in the window ``(S, S)``, or None; the probability that a pixel's colours are the
            object's, by all or each pose, ``(S, S)`` or ``(N, S, S)``; and that by all ``(S, S)``.
        size_m: Distance and diameter of the object [m].
        config: How they are measured.
    """
    rule, z, (z_m, diameter_m) = config.window, window.depth_m, size_m
    silhouette = (model_m > 0.0) & window.in_image
    apart = _depth_apart(window, model_m, silhouette, size_m, rule)
    is_hidden = apart < -1.0
    agrees = silhouette & (np.abs(apart) <= 1.0)
    fitted = fitted_colours(window.rgb, model_rgb, rendered_normals(model_m, window.K), agrees, rule)
    unlike = np.minimum(fitted.distance / rule.colour_deviation, 1.0) ** 2
    area = max(float(silhouette[0].sum()), 1.0)

    def share(cost: NDArray[Any]) -> Float64:
        return np.asarray(cost.sum(axis=tuple(range(1, cost.ndim)), dtype=np.float64) / area)

    mask, likely, common = known
    near = (z > 0.0) & (np.abs(z - z_m) < 0.5 * diameter_m)  # fixed: within the bounding sphere
    marked = silhouette if mask is None else mask
    return FoundTerms(
        texture=share(unlike),
        detail=_detail(fitted, config),
        depth=share(agrees * apart**2 + (apart > 1.0) * (1.0 - config.veil * likely)),
        hidden=share(is_hidden),
        spill=share(silhouette & ~marked & ~is_hidden),
        uncovered=share(marked & ~silhouette),
        outside=share(~silhouette * np.where(near, common, np.float32(0.0))),
    )


def colour_leads(fitted: FittedColours, config: FoundEvidenceConfig) -> Float64:
    """Where poses differ from the first in their colours, whose the image has ``(N,)``: 1 their own, -1 the first's.

    A small mark on a large plain face hardly changes how well the whole face fits, but it may be all in which two
    poses differ. Averaged over a pixel's neighbours, since edges are seldom met to the pixel; near 0 where hardly
    anything differs, so that noise decides nothing.
    """
    seen = fitted.in_window(fitted.seen).transpose(1, 2, 0)
    models = np.moveaxis(fitted.in_window(fitted.model), 1, -1)
    counted = fitted.in_window(fitted.counted)
    most = config.mark_contrast**2

    def unlike(difference: Float32) -> float:
        smooth = _blurred(difference, config.mark_blur_px)
        return float(np.minimum((smooth * smooth).mean(axis=-1), most).sum()) / most

    leads = []
    for model, also in zip(models, counted, strict=True):
        both = (also * counted[0])[..., None]
        own, first, each = ((a - b) * both for a, b in ((seen, model), (seen, models[0]), (model, models[0])))
        # What fits better by more than the two differ owes it to gain and shading.
        differs = unlike(each)
        leads.append(np.clip(unlike(first) - unlike(own), -differs, differs) / (differs + config.least_mark_px))
    return np.array(leads)


def _depth_apart(
    window: SideWindow, model_m: Float32, silhouette: Bool, size_m: tuple[float, float], rule: SideEvidenceConfig
) -> Float32:
    """How far behind the model the surface was measured, 1 where it may just be so ``(N, S, S)``; 0 without depth."""
    z_m, diameter_m = size_m
    is_read = silhouette & (window.depth_m > 0.0)
    gate_m = max(rule.depth_gate * diameter_m, rule.min_depth_gate_m)
    apart = np.where(is_read, window.depth_m - model_m, 0.0) / depth_limits(gate_m, rule.depth_noise_per_m, z_m)
    return np.asarray(apart)


def _detail(fitted: FittedColours, config: FoundEvidenceConfig) -> Float64:
    """`FoundTerms.detail`: from both images what a wide blur leaves is taken away. By how much the squared difference
    of the rest is larger than with a model that has none, over the sum of both squares."""
    sigma_px = config.window.size_px * config.slow_share
    seen = fitted.in_window(fitted.seen).transpose(1, 2, 0)
    found = []
    for model, counted in zip(fitted.in_window(fitted.model), fitted.in_window(fitted.counted), strict=True):
        weight = np.maximum(_blurred(counted, sigma_px), np.float32(1e-3))[..., None]

        def fast(image: Float32, counted: Float32 = counted, weight: Float32 = weight) -> Float32:
            image = image * counted[..., None]
            return np.asarray((image - _blurred(image, sigma_px) / weight) * counted[..., None])

        s, m = fast(seen), fast(model.transpose(1, 2, 0))
        floor = config.contrast_floor**2 * max(float(counted.sum()), 1.0)
        own, common = float((m * m).sum()), float((s * m).sum())
        found.append((own - 2.0 * common) / (float((s * s).sum()) + own + floor))
    return np.array(found)


def _blurred(image: Float32, sigma_px: float) -> Float32:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), dtype=np.float32)
