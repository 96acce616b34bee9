"""Features of a pose in an image, and how probable they make that the object is there.

Tracking asks whether a known object is still there (`pipeline.track.confidence`). A search asks more: something of
the same size may stand there, or nothing. So colours count here as much as depth, and the weights are fitted to
searches that were right and wrong.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.kernels.depth_noise import depth_limits
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.kernels.segment_inputs.colour_fit import colour_fit
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.detect.coarse_colours import ColourCells, compare_cells
from storm_edge.pipeline.detect.config import PoseFeatureConfig, PresenceConfig
from storm_edge.pipeline.detect.shape_evidence import ShapeEvidence, evidence_logit
from storm_edge.pipeline.detect.standing import standing
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.config import GeometricConfig
from storm_edge.pipeline.refine.geometric import GeometricRefiner
from storm_edge.pipeline.refine.judge import PoseJudge
from storm_edge.pipeline.segment.image_features import ImageFeatures
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_LEAST_BRIGHT = 0.02  # fixed: a black image is as dark as any model in it


@dataclass(frozen=True, kw_only=True)
class CandidateFeatures:
    """What speaks for and against the object being at a pose; `PresenceConfig` has a weight for each."""

    visible: float
    """Agreeing share of what should be seen (`pipeline.refine.judge`), 0..1."""
    pattern: float
    """Correlation of rendered and observed colours, -1..1, 0 without contrast."""
    occluded: float
    """Share of the model that something in front hides, 0..1."""
    colour: float
    """Mean log2 density of the colours seen under those of the object, less what the object itself has [bits]: about
    0 for the object, negative for other colours."""
    imbalance: float
    """Log of the largest over the smallest channel gain that would make the model's colours the image's; beyond what
    white balance does, the colours are others."""
    residual: float
    """Root mean square of what those gains leave, of colours in [0, 1]."""
    contour: float
    """Contour term of `pipeline.refine.alignment` with colours learned at this very pose, 0 where inside and outside
    of the outline differ, to 1."""
    depth: float
    """Its depth term, 0 (agrees) to 1."""
    coarse_pattern: float
    """As ``pattern``, by large cells, and times how much the model has of one (`coarse_colours`)."""
    coarse_residual: float
    """What gains leave of the colours of those cells, over their brightness."""
    colour_shift: float
    """By how much the image's colours are others than the model's, brightness aside, 0..1 (`compare_colours`)."""
    darkness: float
    """Log of how much darker the image shows the model's colours than its own brightest parts are: 0 where white
    looks as bright as the brightest tenth of the image, 0.7 where it looks half as bright (`compare_colours`)."""
    stands: float
    """How well the object stands on a large plane, 0..1 (`detect.standing`)."""

    @property
    def alignment_residual(self) -> float:
        """What outline and depth hold against the pose, 0 to 2. Tells the sides of an object apart, where colours
        mislead: a mug turned the wrong way is as grey as the right one, but its handle sticks out elsewhere.
        """
        return self.contour + self.depth


def presence_probability(
    features: CandidateFeatures, evidence: ShapeEvidence | None, prior_logit: float, config: PresenceConfig
) -> float:
    """Probability that the object is at a pose, 0..1; 0 where too little of it is visible.

    Args:
        features: Of the pose.
        evidence: What its shape says; None where too little depth was read to say anything.
        prior_logit: What else speaks for or against it.
        config: Weights.
    """
    if features.occluded > 1.0 - config.min_visible_share:
        return 0.0
    if evidence is not None and evidence.blocked > config.all_blocked:
        features = replace(features, contour=min(features.contour, config.usual_contour))
    features = replace(
        features,
        colour_shift=max(features.colour_shift - config.usual_colour_shift, 0.0),
        darkness=max(features.darkness - config.usual_darkness, 0.0),
    )
    weights = [getattr(config, item.name) for item in fields(features)]
    logit = float(np.dot(weights, astuple(features))) + config.constant + prior_logit
    if evidence is not None:
        logit += evidence_logit(evidence, config.evidence)
    limited = np.clip(logit, -30.0, 30.0)  # fixed: beyond, the answer is 0 or 1, and exp must not overflow
    return float(1.0 / (1.0 + np.exp(-limited)))


@dataclass(frozen=True, kw_only=True)
class VisibleModel:
    """The model at a pose, where nothing in front hides it."""

    mask: Bool
    """Its visible pixels ``(H, W)``."""
    rendered: Float32
    """Colours of the model where depth agrees, RGB in [0, 1] ``(P, 3)``."""
    observed: Float32
    """Colours of the image there ``(P, 3)``."""
    silhouette: Bool
    """All of the model, in a window that holds it ``(h, w)``."""
    agrees: Bool
    """Where depth agrees, P pixels of that window ``(h, w)``."""

    @staticmethod
    def at(
        mesh: MeshBuffers, T_cam_centre: Float64, frame: Frame, gate_m: float, noise_per_m: float = 0.0
    ) -> VisibleModel:
        """Render the model and compare.

        Args:
            mesh: The model.
            T_cam_centre: Its pose [m] ``(4, 4)``.
            frame: The image.
            gate_m: Readings that differ from the model by more than this are something else.
            noise_per_m: What depth noise allows, see `kernels.depth_noise` [1/m].
        """
        picture = render(mesh, T_cam_centre, frame.K, frame.size_px)
        z, model, silhouette = frame.depth_m[picture.window], picture.cut("depth")[0], picture.cut("mask")[0] > 0
        limit_m = depth_limits(gate_m, noise_per_m, model)
        visible = silhouette & ~((z > 0.0) & (z < model - limit_m))
        agrees = visible & ((z == 0.0) | (np.abs(z - model) < limit_m))
        mask = np.zeros(frame.size_px, dtype=bool)
        mask[picture.window] = visible
        return VisibleModel(
            mask=mask,
            rendered=picture.cut("colour")[0][agrees],
            observed=frame.rgb[picture.window][agrees].astype(np.float32) / 255.0,
            silhouette=silhouette,
            agrees=agrees,
        )


class PoseFeatureExtractor:
    """Measures the features of poses of one object; buffers are made here.

    Args:
        item: The object.
        embedding: The segmenter's embedding of it, for its colours.
        config: How features are measured.
        geometry: The geometric refinement whose alignment residual is one of them.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        embedding: TemplateEmbedding,
        config: PoseFeatureConfig,
        geometry: GeometricConfig | None = None,
    ) -> None:
        self._colours, self._gain_floor = embedding.colours, config.gain_floor
        self._coarse, self._standing = config.coarse, config.standing
        self._vertices, self._diameter_m = item.bundle.mesh_lod.vertices, item.diameter_m
        self._noise_per_m = config.judge.depth_noise_per_m
        self._mesh = item.mesh_lod
        # Its own refiner: it learns the colours of places that may be wrong.
        self._geometry = GeometricRefiner(item.viewpoints, config=geometry)
        self._judge = PoseJudge(self._mesh, diameter_m=item.diameter_m, batch=1, config=config.judge)

    def visible_model(self, frame: Frame, T_cam_centre: Float64) -> VisibleModel:
        """The model at a pose; see `VisibleModel.at`."""
        return VisibleModel.at(self._mesh, T_cam_centre, frame, self._judge.tau_m, self._noise_per_m)

    def extract(
        self, image: ImageFeatures, buffers: FrameBuffers, T_cam_centre: Float64, visible: VisibleModel
    ) -> CandidateFeatures:
        """Features of a pose.

        Args:
            image: The frame, encoded by the segmenter.
            buffers: The frame, uploaded.
            T_cam_centre: The pose of the centred mesh [m] ``(4, 4)``.
            visible: The model there.
        """
        judged = self._judge.judge(buffers, T_cam_centre[None], mask=None)
        colours = compare_colours(visible.rendered, visible.observed, self._gain_floor)
        cells = ColourCells.of(visible.silhouette, visible.agrees, visible.rendered, visible.observed, self._coarse)
        coarse = compare_cells(cells, self._gain_floor, self._coarse)
        self._geometry.update_appearance(buffers, T_cam_centre, forget=True)
        outline = self._geometry.terms_at(buffers, T_cam_centre)
        return CandidateFeatures(
            visible=float(judged.visible[0]),
            pattern=float(judged.colour[0]),
            occluded=float(judged.occluded[0]),
            colour=colour_fit(image.small, self._colours, visible.mask),
            imbalance=colours.imbalance,
            residual=colours.residual,
            contour=float(outline.contour[0]),
            depth=float(outline.depth[0]),
            coarse_pattern=coarse.pattern,
            coarse_residual=coarse.residual,
            colour_shift=colours.shift,
            darkness=float(np.log(max(image.small.brightest, _LEAST_BRIGHT) / colours.gain)),
            stands=standing(self._vertices, T_cam_centre, image.small, self._diameter_m, self._standing),
        )


@dataclass(frozen=True, kw_only=True)
class ColourComparison:
    """How far a model's colours are from an image's, as only light and camera may change them; 0 without a pixel."""

    imbalance: float = 0.0
    """`CandidateFeatures.imbalance`."""
    residual: float = 0.0
    """`CandidateFeatures.residual`."""
    shift: float = 0.0
    """`CandidateFeatures.colour_shift`: root of the share of the image's square colours that a gain for each channel
    explains and one gain for all of them does not. Unlike the imbalance it is small where a channel is dark."""
    gain: float = 1.0
    """Mean over the channels of what the model's colours are to be multiplied by; 1 without a pixel."""


def compare_colours(rendered: Float32, observed: Float32, gain_floor: float) -> ColourComparison:
    """Compare the colours of a model and of an image, pixel by pixel.

    Args:
        rendered: RGB in [0, 1] ``(P, 3)``.
        observed: RGB in [0, 1] ``(P, 3)``.
        gain_floor: Added to the mean products that gains are made of: a black channel says nothing of its gain.
    """
    if not len(rendered):
        return ColourComparison()
    product, square = (rendered * observed).mean(axis=0), (rendered**2).mean(axis=0)
    gains = (product + gain_floor) / (square + gain_floor)
    left = observed - gains * rendered
    # Least squares leaves of a channel o - (ro / rr) r, so gains of their own explain so much of its square, ...
    by_channel = float((product**2 / np.maximum(square, 1e-9)).sum())
    by_one = float(product.sum() ** 2 / max(float(square.sum()), 1e-9))  # ... and one gain for all so much
    all_there_is = max(float((observed**2).mean(axis=0).sum()), 1e-9)
    return ColourComparison(
        imbalance=float(np.log(gains.max() / gains.min())),
        residual=float(np.sqrt((left**2).mean())),
        shift=float(np.sqrt(max(by_channel - by_one, 0.0) / all_there_is)),
        gain=float(gains.mean()),
    )
