"""STORM's SOM: one object in one image, and whether it is there (reference-networks 2).

The engines are ``som_reference``, ``som_query`` and ``som_head`` of `storm_edge.export.networks.som`.
`pipeline.segment.maps` puts it beside the other ways to find an object. SOM was never taught to say that an object is
absent: that is decided here, by how much of the image it marks and how probable its most probable pixel is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.contract import Engine
from storm_edge.pipeline.segment.config import FullSomConfig
from storm_edge.pipeline.segment.full_som_framing import image_logits, square_image
from storm_edge.pipeline.segment.sigmoid import sigmoid

Float32 = NDArray[np.float32]


class FullSom:
    """The two graphs that run on images.

    Args:
        query: Engine ``som_query``.
        head: Engine ``som_head``.
        config: Framing and thresholds.
    """

    def __init__(self, query: Engine, head: Engine, config: FullSomConfig) -> None:
        self.config = config
        self._query, self._head = query, head

    @property
    def context_length(self) -> int | None:
        """Length of the language context that the head takes; None if it takes none."""
        return next((t.shape[1] for t in self._head.spec.inputs if t.name == "context"), None)

    @staticmethod
    def encode_object(reference: Engine, views: Float32) -> dict[str, Float32]:
        """Encode an object from sixteen sides, once; seconds to a minute on a CPU.

        Args:
            reference: Engine ``som_reference``.
            views: Its reference views, ``(16, 3, 224, 224)``, normalised.

        Returns:
            Keys and values by name, as the head takes them.
        """
        return dict(reference.run({"views": views}))

    def encode_image(self, rgb: NDArray[np.uint8]) -> Float32:
        """Tokens ``(1, 256, C)`` of an image ``(H, W, 3)``, which all objects share."""
        return np.asarray(self._query.run({"image": square_image(rgb, self.config.framing)})["tokens"])

    def probability_map(
        self, tokens: Float32, embedding: Mapping[str, Float32], size_px: tuple[int, int]
    ) -> tuple[Float32, float]:
        """One object in one image.

        Args:
            tokens: Of `encode_image`.
            embedding: Of `encode_object`, with the language context if the head takes one.
            size_px: Height and width of the image.

        Returns:
            Probability of every pixel ``(H, W)``, 0 outside its square; and the largest of them, or 0 where too
            little is marked, or nothing probable enough.
        """
        logits = self._head.run({"tokens": tokens, **embedding})["logits"][0, 0]
        whole = image_logits(logits, size_px, self.config.framing)
        probability = sigmoid(whole)
        probability[np.isneginf(whole)] = 0.0
        peak = float(probability.max())
        marked = int(np.count_nonzero(whole >= 0))
        absent = marked < max(self.config.min_marked_share * whole.size, 1) or peak < self.config.min_peak_probability
        return probability, 0.0 if absent else peak
