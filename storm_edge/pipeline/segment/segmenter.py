"""Segment: where in the image is the object, told by its 3D model alone.

`Segmenter.encode_image` brings a frame to the working size once for all objects; `Segmenter.segment` asks for one
object and returns candidates, best first, or none: "not found" is an answer. What a candidate is worth is decided by
whoever can register it (`pipeline.detect.detector`); the score here only says in which order to try.

This class puts the parts together. The map of probabilities comes from `pipeline.segment.maps`, candidates are made
of it by `pipeline.segment.proposals`, and SAM2, if wanted, sharpens them (`pipeline.segment.sharpen`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

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
from storm_edge.pipeline.segment.config import SegmentConfig, Source
from storm_edge.pipeline.segment.image_features import ImageEncoder, ImageFeatures
from storm_edge.pipeline.segment.maps import make_maps
from storm_edge.pipeline.segment.proposals import add_colour_log_odds, propose_candidates
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
        frame, letterbox = image.frame, image.small.letterbox
        found, presence = self._probability_map(image, embedding)
        if found.shape == contract.MASK_PX:
            whole, cells = letterbox.enlarge(found, frame.size_px), found
            size = contract.SIZE_PX[::-1]
            small = np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
        else:
            whole, small = found, letterbox.shrink(found)
            cells = halved(small)
        candidates = []
        if presence != 0.0:
            candidates = self._candidates(image, whole, small, embedding.diameter_m, colour_log_odds)
        score = presence
        if score is None:
            score = candidates[0].score if candidates else 0.0
        return Segmentation(
            candidates=tuple(candidates), probability=cells, score=score, presence_probability=presence
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
        letterbox = image.small.letterbox
        whole = letterbox.enlarge(first.probability, image.frame.size_px)
        for tile in tiles:
            found, _ = self._probability_map(tile.image, embedding)
            merge_max(whole, tile.image.small.letterbox.enlarge(found, tile.image.frame.size_px), tile.window)
            yield "segment tile"
        small = letterbox.shrink(whole)
        cells = halved(small)
        candidates = self._candidates(image, whole, small, embedding.diameter_m, colour_log_odds)
        return replace(first, candidates=tuple(candidates), probability=cells)

    def _probability_map(self, image: ImageFeatures, embedding: TemplateEmbedding) -> tuple[Float32, float | None]:
        channels = object_channels(image.small, embedding.colours, embedding.diameter_m)
        return self._maps.probability_map(image.frame, image.small, image.maps, embedding.tensors, channels)

    def _candidates(
        self,
        image: ImageFeatures,
        whole: Float32,
        small: Float32,
        diameter_m: float,
        colour_log_odds: Float32 | None,
    ) -> list[Candidate]:
        """Candidates in a map at image size and the same at the working size, with learned colours if there are."""
        if colour_log_odds is not None:
            whole = add_colour_log_odds(whole, image.frame, colour_log_odds, self.config.learned_colours)
            small = image.small.letterbox.shrink(whole)
        candidates = propose_candidates(image, whole, small, diameter_m, self.config.proposals)
        if self._sharpener is None:
            return candidates
        return [self._sharpener.sharpen(image.frame, candidate) for candidate in candidates]
