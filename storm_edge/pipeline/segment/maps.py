"""Where in the image an object may be, as a map of probabilities: by colours alone, by the nano SOM, by STORM's SOM.

The three are alike to `pipeline.segment.segmenter`, which makes candidates of the map: what is stored of an object,
what all objects share of an image, and the map. No one else needs to know which of them it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from storm_edge.choices import Framing
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.errors import ConfigError, mismatch
from storm_edge.files import sha256
from storm_edge.frame import Frame
from storm_edge.kernels.segment_inputs.object_views import ObjectViews
from storm_edge.kernels.segment_inputs.small_frame import SmallFrame
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.pipeline.segment.colour_map import colour_probability
from storm_edge.pipeline.segment.config import ColourMapConfig, FullSomConfig, SegmentConfig
from storm_edge.pipeline.segment.full_som import FullSom
from storm_edge.pipeline.segment.full_som_framing import square_image
from storm_edge.pipeline.segment.full_som_views import reference_views
from storm_edge.pipeline.segment.sigmoid import sigmoid
from storm_edge.pipeline.segment.upstream_views import upstream_reference_views

Float32 = NDArray[np.float32]
Tensors = Mapping[str, Float32]

NETWORKS = ("som_reference", "som_query", "som_head")
"""What a bundle needs to segment with networks."""

COLOURS_ONLY = "colours only"
"""Stands where the fingerprint of a network would."""


class MapMaker(Protocol):
    """Makes the map of probabilities of an object in an image."""

    @property
    def fingerprint(self) -> str:
        """Of the network that encodes objects; their embeddings are bound to it."""

    @property
    def encodes_quickly(self) -> bool:
        """Whether `encode_object` takes a moment only, so that what it keeps of an object need not be stored."""

    @property
    def benefits_from_tiling(self) -> bool:
        """Whether its input is so coarse that small objects are specks in it, so that tiles of an image help."""

    @property
    def has_marks(self) -> bool:
        """Whether candidates are made of marks (`pipeline.segment.marks`), whose weights were fitted to its maps."""

    @property
    def context_length(self) -> int | None:
        """Length of the language context it takes; None if it takes none."""

    @property
    def report(self) -> dict[str, object]:
        """How it works, for reports; JSON types."""

    def encode_object(self, bundle: ObjectBundle, views: ObjectViews, context: Float32 | None) -> dict[str, Float32]:
        """Tensors of an object's embedding, besides its colours.

        Args:
            bundle: The object.
            views: Its views, as the nano networks take them.
            context: What a text encoder makes of its description, ``(length,)``, or None.

        Raises:
            ConfigError: A context is needed and missing, or cannot be used.
            ObjectBundleError: Upstream's views are asked for, and the object was not onboarded for them.
        """

    def encode_image(self, frame: Frame, small: SmallFrame) -> dict[str, Float32]:
        """What all objects share of an image."""

    def probability_map(
        self, frame: Frame, small: SmallFrame, features: Tensors, embedding: Tensors, channels: Float32
    ) -> tuple[Float32, float | None]:
        """The map of an object.

        Args:
            frame: The image.
            small: The same at the working size.
            features: Of `encode_image`.
            embedding: Of `encode_object`.
            channels: Object channels ``(5, 60, 80)`` of `kernels.segment_inputs`.

        Returns:
            Probabilities at image size ``(H, W)`` or over the cells of the working size ``(60, 80)``; and how likely
            the object is there at all, None where the method does not say.
        """


class ColourMaps:
    """Colours that are the object's rather than the scene's, off the large planes; no network.

    Args:
        config: Weights.
    """

    fingerprint = COLOURS_ONLY
    encodes_quickly = True
    benefits_from_tiling = False
    has_marks = False
    context_length = None
    report: dict[str, object] = {"source": "colour"}  # noqa: RUF012 - never changed

    def __init__(self, config: ColourMapConfig) -> None:
        self._config = config

    def encode_object(self, bundle: ObjectBundle, views: ObjectViews, context: Float32 | None) -> dict[str, Float32]:
        """Nothing besides the colours."""
        _refuse(context, "colours")
        return {}

    def encode_image(self, frame: Frame, small: SmallFrame) -> dict[str, Float32]:
        """Nothing."""
        return {}

    def probability_map(
        self, frame: Frame, small: SmallFrame, features: Tensors, embedding: Tensors, channels: Float32
    ) -> tuple[Float32, float | None]:
        """A guess without learning, ``(60, 80)``."""
        return colour_probability(channels, self._config), None


class NanoMaps:
    """The nano SOM, which is given depth, colours and views at the working size.

    Args:
        networks: Bundle with `NETWORKS` of tier nano.
        options: Where and how the engines run.
    """

    encodes_quickly = True
    benefits_from_tiling = True
    has_marks = True
    context_length = None
    report: dict[str, object] = {"source": "network", "tier": "nano"}  # noqa: RUF012 - never changed

    def __init__(self, networks: NetworkBundle, options: EngineOptions | None) -> None:
        self._reference = _LazyEngine(networks, options)
        self.fingerprint = self._reference.sha256
        self._query, self._head = networks.open("som_query", options), networks.open("som_head", options)

    def encode_object(self, bundle: ObjectBundle, views: ObjectViews, context: Float32 | None) -> dict[str, Float32]:
        """``keys`` and ``values`` of the views, each ``(1, blocks, L, dim)``."""
        _refuse(context, "the nano segmenter")
        return self._reference.run({"views": views.channels[None]})

    def encode_image(self, frame: Frame, small: SmallFrame) -> dict[str, Float32]:
        """Feature maps."""
        return self._query.run({"image": small.channels[None]})

    def probability_map(
        self, frame: Frame, small: SmallFrame, features: Tensors, embedding: Tensors, channels: Float32
    ) -> tuple[Float32, float | None]:
        """Probabilities ``(60, 80)``, and the network's own probability of the object being there."""
        out = self._head.run({**features, **embedding, "objects": channels[None]})
        return sigmoid(out["mask"][0]), float(sigmoid(out["present"])[0])


class FullMaps:
    """STORM's SOM, which is given colour pictures only.

    Args:
        networks: Bundle with `NETWORKS` of tier full.
        config: How images are framed, and what counts as there.
        options: Where and how the engines run.
        device: Warp device name, for the pictures of objects.
    """

    encodes_quickly = False
    benefits_from_tiling = False
    has_marks = False

    def __init__(
        self, networks: NetworkBundle, config: FullSomConfig, options: EngineOptions | None, device: str
    ) -> None:
        self._reference = _LazyEngine(networks, options)
        self._takes_upstream_views = config.views == "upstream"
        self.fingerprint = self._reference.sha256
        if self._takes_upstream_views:  # what other views became is nothing for it
            self.fingerprint = sha256(f"{self.fingerprint} by upstream's views".encode())
        self._device, self._framing = device, config.framing
        self._som = FullSom(networks.open("som_query", options), networks.open("som_head", options), config)
        self.context_length = self._som.context_length
        self.report: dict[str, object] = {"source": "network", "tier": "full", "framing": config.framing.value}

    def encode_object(self, bundle: ObjectBundle, views: ObjectViews, context: Float32 | None) -> dict[str, Float32]:
        """Keys and values of sixteen pictures, and the context; seconds to a minute on a CPU."""
        length = self.context_length
        if length is None:
            _refuse(context, "this SOM")
        elif context is None or context.shape != (length,):
            got = "none" if context is None else f"shape {context.shape}"
            remedy = "onboard with --description and the text encoder that it was trained with"
            raise ConfigError(mismatch(f"language context of {bundle.object_id}", got, f"({length},)", remedy))
        if self._takes_upstream_views:
            views_of = upstream_reference_views(bundle, device=self._device)
        else:
            views_of = reference_views(bundle.mesh, device=self._device)
        tensors = self._som.encode_object(self._reference.open(), views_of)
        return tensors if context is None else {**tensors, "context": context[None].astype(np.float32)}

    def encode_pictures(self, views: Sequence[NDArray[np.uint8]]) -> dict[str, Float32]:
        """Keys and values of sixteen pictures ``(H, W, 3)`` of an object; their middle squares are seen."""
        framing = Framing.UPSTREAM if self._framing is Framing.UPSTREAM else Framing.CENTRE
        squares = np.concatenate([square_image(view, framing) for view in views])
        return self._som.encode_object(self._reference.open(), squares)

    def encode_picture(self, rgb: NDArray[np.uint8]) -> Float32:
        """Tokens of a picture ``(H, W, 3)``, which needs no depth."""
        return self._som.encode_image(rgb)

    def picture_map(self, tokens: Float32, embedding: Tensors, size_px: tuple[int, int]) -> tuple[Float32, float]:
        """As `probability_map`, of the tokens of `encode_picture`."""
        return self._som.probability_map(tokens, embedding, size_px)

    def encode_image(self, frame: Frame, small: SmallFrame) -> dict[str, Float32]:
        """Tokens."""
        return {"tokens": self._som.encode_image(frame.rgb)}

    def probability_map(
        self, frame: Frame, small: SmallFrame, features: Tensors, embedding: Tensors, channels: Float32
    ) -> tuple[Float32, float | None]:
        """Probabilities ``(H, W)``; the object is there if enough of the image is marked, and probable enough."""
        return self._som.probability_map(features["tokens"], embedding, frame.size_px)


class _LazyEngine:
    """The reference network, opened when an object is to be encoded: at run time its embedding is stored already."""

    def __init__(self, networks: NetworkBundle, options: EngineOptions | None) -> None:
        self._networks, self._options = networks, options
        self._engine: Engine | None = None
        self.sha256 = networks.networks["som_reference"].sha256

    def open(self) -> Engine:
        if self._engine is None:
            self._engine = self._networks.open("som_reference", self._options)
        return self._engine

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return self.open().run(feed)


def _refuse(context: Float32 | None, what: str) -> None:
    if context is not None:
        remedy = "leave the description out, or use a bundle that takes one"
        raise ConfigError(mismatch("description", f"one, for {what}", "none: it takes no language context", remedy))


def make_maps(
    networks: NetworkBundle | None, *, config: SegmentConfig, options: EngineOptions | None, device: str
) -> MapMaker:
    """The map maker of a bundle; None makes maps of colours alone.

    Raises:
        EngineError: The bundle has no segmenter.
    """
    if networks is None:
        return ColourMaps(config.colour_map)
    remedy = "use a bundle that has them, or find the object by its colours alone (--colour)"
    networks.require(NETWORKS, what="segmenter", remedy=remedy)
    if networks.tier == "nano":
        return NanoMaps(networks, options)
    return FullMaps(networks, config.full_som, options, device)
