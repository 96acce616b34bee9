"""Segment: where in the image is the object, told by its 3D model alone.

`Segmenter.encode_image` brings a frame to the working size once for all objects; `Segmenter.segment` asks for one
object and returns candidates, best first, or none: "not found" is an answer. What a candidate is worth is decided by
whoever can register it (`pipeline.detect.detector`); the score here only says in which order to try.

This class puts the parts together. The map of probabilities comes from `pipeline.segment.maps`, candidates are made
of it by `pipeline.segment.proposals`, and SAM2, if wanted, sharpens them (`pipeline.segment.sharpen`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import EngineError, mismatch
from storm_edge.frame import Frame
from storm_edge.kernels.segment_inputs import contract
from storm_edge.kernels.segment_inputs.letterbox import halved
from storm_edge.kernels.segment_inputs.object_channels import object_channels
from storm_edge.kernels.segment_inputs.object_views import object_views
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.segment.cells import cells_of
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.image_features import ImageEncoder, ImageFeatures
from storm_edge.pipeline.segment.maps import make_maps
from storm_edge.pipeline.segment.marks import best_marks
from storm_edge.pipeline.segment.proposals import add_colour_log_odds, candidates_of_marks, propose_candidates
from storm_edge.pipeline.segment.segmentation import Candidate, Segmentation
from storm_edge.pipeline.segment.sharpen import open_candidate_sharpener
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
from storm_edge.pipeline.segment.tiling import merge_max

Float32 = NDArray[np.float32]


class Segmenter:
    """Finds any number of objects in images.

    Args:
        networks: Bundle with ``som_reference``, ``som_query`` and ``som_head``, and with SAM2 if that is to sharpen;
            may be None with `Source.COLOUR` and without SAM2.
        config: How candidates are made.
        device: Warp device name, for rendering the views of objects.
        options: Where and how the engines run.

    Raises:
        EngineError: A network is asked for and the bundle has none.
    """

    def __init__(
        self,
        networks: NetworkBundle | None,
        *,
        config: SegmentConfig | None = None,
        device: str = "cpu",
        options: EngineOptions | None = None,
    ) -> None:
        self.config = config or SegmentConfig()
        required = networks if self.config.source is Source.NETWORK else None
        if required is None and self.config.source is Source.NETWORK:
            remedy = "give --bundle, or find the object by its colours alone (--colour)"
            raise EngineError(mismatch("segmentation", "no network bundle", "one with a segmenter", remedy))
        self._maps = make_maps(required, config=self.config, options=options, device=device)
        self._encoder = ImageEncoder(self._maps, self.config.tiling)
        sharpen = self.config.sharpen
        self._sharpener = open_candidate_sharpener(networks, sharpen, options) if sharpen.enabled else None

    @property
    def fingerprint(self) -> str:
        """Of the network that encodes objects; template embeddings are bound to it."""
        return self._maps.fingerprint

    @property
    def encodes_quickly(self) -> bool:
        """Whether `encode_object` takes a moment only, so that embeddings need not be stored."""
        return self._maps.encodes_quickly

    @property
    def context_length(self) -> int | None:
        """Length of the language context that `encode_object` takes; None if it takes none."""
        return self._maps.context_length

    @property
    def report(self) -> dict[str, object]:
        """How it segments, for reports; JSON types."""
        return {**self._maps.report, "sam2": self._sharpener is not None}

    def encode_object(self, item: ObjectOnDevice, *, context: Float32 | None = None) -> TemplateEmbedding:
        """Encode 16 views of an object, once: 0.1 s for our network, up to a minute for STORM's.

        Args:
            item: The object.
            context: What a text encoder makes of its description ``(length,)``, for networks that take one.

        Raises:
            ConfigError: The network takes no context, or another.
            MeshError: The model shows nothing from any side.
        """
        bundle = item.bundle
        views = object_views(item.mesh_lod, bundle.diameter_m)
        return TemplateEmbedding(
            diameter_m=bundle.diameter_m,
            colours=views.colours,
            tensors=self._maps.encode_object(bundle, views, context),
            network=self.fingerprint,
            model=bundle.source.sha256,
        )

    def check(self, embedding: TemplateEmbedding, bundle: ObjectBundle) -> None:
        """Refuse a stored embedding of another object, or by another network.

        Raises:
            ObjectBundleError: It does not belong here.
        """
        embedding.check(bundle, self.fingerprint)

    def encode_image(self, frame: Frame) -> ImageFeatures:
        """What all objects share of a frame; asked again for the same `Frame`, the answer is at hand."""
        return self._encoder.encode(frame)

    def segment(
        self, image: ImageFeatures, embedding: TemplateEmbedding, colour_log_odds: Float32 | None = None
    ) -> Segmentation:
        """Candidates of one object.

        Args:
            image: The frame, from `encode_image`.
            embedding: The object, from `encode_object`.
            colour_log_odds: What tracking learned of its colours in this light, ``(BIN_COUNT,)`` of
            `kernels.contour_region`; they count in candidates, not in the map that is returned.
        """
        image = image.for_object(embedding.diameter_m)
        frame, letterbox = image.frame, image.small.letterbox
        channels = object_channels(image.small, embedding.colours, embedding.diameter_m)
        found, presence = self._probability_map(image, embedding, channels)
        if found.shape == contract.MASK_PX:
            size = contract.SIZE_PX[::-1]
            small = np.asarray(cv2.resize(found, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
            scales = _Scales(whole=letterbox.enlarge(found, frame.size_px), small=small, cells=found)
        else:
            scales = _Scales.of(image, found)
        candidates = []
        if presence != 0.0:
            candidates = self._candidates(image, scales, embedding, channels, colour_log_odds)
        score = presence
        if score is None:
            score = candidates[0].score if candidates else 0.0
        return Segmentation(
            candidates=tuple(candidates), probability=scales.cells, score=score, presence_probability=presence
        )

    def segment_tiled(
        self,
        image: ImageFeatures,
        embedding: TemplateEmbedding,
        first: Segmentation,
        colour_log_odds: Float32 | None = None,
    ) -> Generator[str, None, Segmentation]:
        """Segment the tiles of the image too (`pipeline.segment.tiling`): some 0.2 s, in chunks.

        Where the maps are not coarse, those by colours alone and those of STORM's network, nothing is gained by it
        and the answer is ``first``.

        Args:
            image: The frame, from `encode_image`.
            embedding: The object, from `encode_object`.
            first: What `segment` said of both.
            colour_log_odds: As there.

        Yields:
            The kind of work a chunk did.
        """
        if not self._maps.benefits_from_tiling:
            return first
        tiles = yield from self._encoder.encode_tiles(image.frame)
        image = image.for_object(embedding.diameter_m)
        letterbox = image.small.letterbox
        whole = letterbox.enlarge(first.probability, image.frame.size_px)
        for tile in tiles:
            seen = tile.image.for_object(embedding.diameter_m)
            channels = object_channels(seen.small, embedding.colours, embedding.diameter_m)
            found, _ = self._probability_map(seen, embedding, channels)
            merge_max(whole, seen.small.letterbox.enlarge(found, tile.image.frame.size_px), tile.window)
            yield "segment tile"
        scales = _Scales.of(image, whole)
        channels = object_channels(image.small, embedding.colours, embedding.diameter_m)
        candidates = self._candidates(image, scales, embedding, channels, colour_log_odds)
        return replace(first, candidates=tuple(candidates), probability=scales.cells)

    def _probability_map(
        self, image: ImageFeatures, embedding: TemplateEmbedding, channels: Float32
    ) -> tuple[Float32, float | None]:
        return self._maps.probability_map(image.frame, image.small, image.maps, embedding.tensors, channels)

    def _candidates(
        self,
        image: ImageFeatures,
        scales: _Scales,
        embedding: TemplateEmbedding,
        channels: Float32,
        colour_log_odds: Float32 | None,
    ) -> list[Candidate]:
        """Candidates in a map, with learned colours if there are."""
        config = self.config
        if colour_log_odds is not None:
            whole = add_colour_log_odds(scales.whole, image.frame, colour_log_odds, config.learned_colours)
            scales = _Scales.of(image, whole)
        diameter_m = embedding.diameter_m
        if self._maps.has_marks:
            cells = cells_of(image.small, scales.cells, channels)
            radius_m = config.proposals.seed_radius_diameters * diameter_m
            marks = best_marks(cells, embedding.colours.own_bits, radius_m, config.marks)
            candidates = candidates_of_marks(image, scales.whole, marks, diameter_m, config.proposals)
        else:
            candidates = propose_candidates(image, scales.whole, scales.small, diameter_m, config.proposals)
        if self._sharpener is None:
            return candidates
        return [self._sharpener.sharpen(image.frame, candidate) for candidate in candidates]


@dataclass(frozen=True, kw_only=True)
class _Scales:
    """A map of probabilities at three sizes."""

    whole: Float32
    """At image size ``(H, W)``."""
    small: Float32
    """At the working size ``(120, 160)``."""
    cells: Float32
    """Over its cells ``(60, 80)``."""

    @staticmethod
    def of(image: ImageFeatures, whole: Float32) -> _Scales:
        """Of a map at image size."""
        small = image.small.letterbox.shrink(whole)
        return _Scales(whole=whole, small=small, cells=halved(small))
