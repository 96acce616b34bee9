"""What depth alone says for an object being at a pose: nearly all there is where the model has no colours.

Most things in a room are flat or round, so depth that agrees with a model inside its silhouette says little: an arm
agrees with a mug. What says more is where the surface ends. At the object it ends at the model's outline, all around
but for where it stands on something; an arm goes on beyond it. And depth that a plane, or a smooth curved surface,
explains as well as the model does, is no evidence for the model.

Of a search these are features among others (`pose_features.presence_probability`). Of a track they are asked alone
(`shape_probability`), by a logistic regression; `benchmarks run fit_shape` fits its weights.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.pixels import marked_pixels
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.config import ShapeConfig, ShapeWeights
from storm_edge.pipeline.detect.shape_crop import PlaneMap, ShapeCrop, shape_crop
from storm_edge.pipeline.detect.shape_outline import Outline, edge_m, outline_of

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_RIDGE = 1e-9  # fixed: the terms are near 1
"""Of the mean square of a term, so that points on a line leave no fit without a solution."""


@dataclass(frozen=True, kw_only=True)
class ShapeEvidence:
    """What depth says for and against a pose. Shares are of the silhouette, or of its outline where that is said."""

    outline: float
    """Share of the outline at which the measured surface ends: what is behind it is farther, or, counted half, has
    no reading."""
    sectors: float
    """Share of the directions from the middle in which most of the outline is such an end."""
    goes_on: float
    """Share of the outline beyond which the surface goes on at the same depth, off the planes that it may stand
    on."""
    beyond: float
    """Area of the surface that continues the one inside, over that of the silhouette, limited."""
    hidden: float
    """Share that something in front hides."""
    through: float
    """Share of what is not hidden at which the camera sees through the model."""
    over_plane: float
    """How much better the model explains the depth inside than a plane does, -1..1."""
    over_quadric: float
    """How much better than a smooth curved surface, -1..1."""
    relief: float
    """How badly such a surface explains the model itself, limited."""
    open_outline: float
    """As ``outline``, of the outline that nothing in front blocks and that the image shows; where little of it is,
    near to what is usual."""
    open_sectors: float
    """As ``sectors``, of the directions in which there is such outline."""
    open_goes_on: float
    """As ``goes_on``, of such outline."""
    blocked: float
    """Share of the outline of which nothing can be said: something in front, or the end of the image."""


def shape_probability(evidence: ShapeEvidence | None, known_logit: float, config: ShapeConfig) -> float:
    """Probability that the object is at a pose by its shape and what else is known of it, 0..1.

    Args:
        evidence: Of the pose; None where too little of the object is seen, and then it is 0.
        known_logit: What else speaks for or against it.
        config: What the evidence is worth.
    """
    if evidence is None:
        return 0.0
    logit = evidence_logit(evidence, config.weights) + known_logit
    limited = np.clip(logit, -30.0, 30.0)  # fixed: beyond, the answer is 0 or 1
    return float(1.0 / (1.0 + np.exp(-limited)))


def evidence_logit(evidence: ShapeEvidence, weights: ShapeWeights) -> float:
    """What the shape says for a pose [logit]."""
    return (
        float(np.dot([getattr(weights, item.name) for item in fields(evidence)], astuple(evidence)))
        + weights.constant
    )


class ShapeEvidenceExtractor:
    """Measures what the shape of one object says.

    Args:
        item: The object.
        config: How it is measured, and what it is worth.
    """

    def __init__(self, item: ObjectOnDevice, config: ShapeConfig) -> None:
        self._mesh, self._diameter_m, self._config = item.mesh_lod, item.diameter_m, config

    def measure(self, frame: Frame, T_cam_centre: Float64, planes: PlaneMap | None = None) -> ShapeEvidence | None:
        """The evidence at a pose ``(4, 4)`` of the centred mesh [m]; None where too little of it can be seen."""
        planes = planes or PlaneMap.of(frame, self._diameter_m)
        crop = shape_crop(self._mesh, T_cam_centre, frame, planes, self._diameter_m, self._config)
        if crop is None:
            return None
        return evidence_of(crop, self._diameter_m, self._config)


def evidence_of(crop: ShapeCrop, diameter_m: float, config: ShapeConfig) -> ShapeEvidence | None:
    """What a window says; None where less than ``min_seen_px`` of the model are seen.

    Args:
        crop: The window.
        diameter_m: Of the object [m].
        config: How it is measured.
    """
    z, model, silhouette = crop.measured_m, crop.model_m, crop.silhouette
    gate_m = max(config.gate_diameters * diameter_m, config.min_gate_m)
    hidden = silhouette & (z > 0.0) & (z < model - gate_m)
    seen = silhouette & (z > 0.0) & ~hidden
    if np.count_nonzero(seen) < config.min_seen_px:
        return None
    apart_m = (z - model)[seen]
    over_plane, over_quadric, relief = _explained(crop, seen, diameter_m, config)
    ends = outline_of(crop, diameter_m, config)
    core = seen.copy()
    core[seen] = np.abs(apart_m) < gate_m
    area = np.count_nonzero(silhouette)
    return ShapeEvidence(
        **_open_outline(ends, config),
        outline=ends.share(ends.falls_away) + config.no_reading_weight * ends.share(ends.fades),
        sectors=ends.sector_share(config.sector_count),
        goes_on=ends.share(ends.goes_on),
        beyond=min(_beyond(crop, core, diameter_m, config) / area, config.max_beyond),
        hidden=np.count_nonzero(hidden) / area,
        through=float((apart_m > gate_m).mean()),
        over_plane=over_plane,
        over_quadric=over_quadric,
        relief=relief,
    )


def _open_outline(ends: Outline, config: ShapeConfig) -> dict[str, float]:
    """The evidence of the outline that nothing blocks.

    An outline of which a tenth is open says a tenth of what a whole one says: shares are drawn to their usual values,
    as if ``usual_share`` of the outline had been seen beside.
    """
    usual = config.usual
    open_share = 1.0 - ends.share(ends.blocked)
    end_share = ends.open_share(ends.falls_away) + config.no_reading_weight * ends.open_share(ends.fades)
    end_sectors, open_sectors = ends.open_sector_shares(config.sector_count)

    def drawn(share: float, of: float, towards: float) -> float:
        return (share + usual.share * towards) / (of + usual.share)

    return {
        "open_outline": drawn(end_share, open_share, usual.outline),
        "open_sectors": drawn(end_sectors, open_sectors, usual.sectors),
        "open_goes_on": drawn(ends.open_share(ends.goes_on), open_share, usual.goes_on),
        "blocked": 1.0 - open_share,
    }


def _explained(crop: ShapeCrop, seen: Bool, diameter_m: float, config: ShapeConfig) -> tuple[float, float, float]:
    """How much better the model explains the depth that is seen than a plane and a quadric do; its own relief."""
    v, u = marked_pixels(seen)
    every = max(len(v) // config.fit_px, 1)
    v, u = v[::every], u[::every]
    z, model = crop.measured_m[v, u], crop.model_m[v, u]
    scale_m = np.maximum(
        config.residual_diameters * diameter_m, config.residual_noises * (config.noise_m + config.noise_per_m * model)
    )
    x, y = ((at - at.mean()) / max(float(at.std()), 1.0) for at in (u, v))
    quadric = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    plane = quadric[:, :3]  # fixed: its terms up to the first order
    misfit = float(_limited(z - model, scale_m).mean())
    most = config.max_misfit
    return (
        min(_fit_misfit(plane, z, scale_m, config), most) - misfit,
        min(_fit_misfit(quadric, z, scale_m, config), most) - misfit,
        min(_fit_misfit(quadric, model, scale_m, config), config.max_relief),
    )


def _limited(residual_m: Float64, scale_m: Float64) -> Float64:
    return np.asarray(np.minimum((residual_m / scale_m) ** 2, 1.0))


def _fit_misfit(terms: Float64, z: Float64, scale_m: Float64, config: ShapeConfig) -> float:
    """Mean limited square of what a robust fit of ``terms (N, C)`` to depths ``(N,)`` leaves (Cauchy's weights)."""
    columns = terms.T
    weight = np.ones(len(z))
    residual = z
    ridge = _RIDGE * len(z) * np.eye(len(columns))
    for _ in range(config.fit_iterations):
        weighted = columns * weight
        residual = z - terms @ np.linalg.solve(weighted @ terms + ridge, weighted @ z)  # the normal equations
        weight = 1.0 / (1.0 + (residual / scale_m) ** 2)
    return float(_limited(residual, scale_m).mean())


def _beyond(crop: ShapeCrop, core: Bool, diameter_m: float, config: ShapeConfig) -> float:
    """Pixels of the surfaces that continue those inside beyond the silhouette, off the planes."""
    z = crop.measured_m
    ring = np.ones((3, 3), np.uint8)  # fixed: a pixel and its neighbours
    step_m = cv2.dilate(z, ring) - cv2.erode(np.where(z > 0.0, z, np.inf), ring)
    smooth = (z > 0.0) & (step_m < edge_m(z, diameter_m, config)) & ~crop.on_plane
    count, labels = cv2.connectedComponents(
        smooth.astype(np.uint8), connectivity=4
    )  # fixed: pixels that share a side
    within = np.bincount(labels[core & smooth], minlength=count)
    within[0] = 0
    continued = (within > config.min_core_share * np.count_nonzero(core))[labels]
    width = 2 * config.outside_px[0] + 1
    around = cv2.dilate(crop.silhouette.astype(np.uint8), np.ones((width, width), np.uint8)) > 0
    return float(np.count_nonzero(continued & ~around))
