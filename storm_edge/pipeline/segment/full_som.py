"""STORM's SOM: its inputs, and what its logits mean in the image (reference-networks 2).

The engines are ``som_reference``, ``som_query`` and ``som_head`` of `storm_edge.export.networks.som`.
`pipeline.segment.maps` puts it beside the other ways to find an object. SOM was never taught to say that an object is
absent: that is decided here, by how much of the image it marks and how probable its most probable pixel is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storm_edge.choices import Framing
from storm_edge.engines.contract import Engine
from storm_edge.geometry.mesh import Mesh
from storm_edge.geometry.se3 import make_T
from storm_edge.geometry.viewsphere import golden_spiral, look_at_origin
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.kernels.renderer import render
from storm_edge.kernels.shading import Lighting
from storm_edge.pipeline.segment.config import FullSomConfig
from storm_edge.pipeline.segment.sigmoid import sigmoid

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

SIZE_PX = 224  # fixed: the network's input
"""Side of the pictures that the encoder is given [px]."""
VIEWS = 16  # fixed: the network's input
"""Reference views."""

_MASK_PX = 64  # fixed: the network's output
# Upstream's camera: 45 degrees high, as many box diagonals away; grey behind. It lights with a lamp on the camera, a
# distant one and ambient light; one lamp on the camera is what our rasteriser has.
_HALF_FOV_RAD = np.deg2rad(22.5)  # fixed: upstream's reference views
_DISTANCE = 1.5  # fixed: upstream's reference views
_GREY = 0.5  # fixed: upstream's reference views
_LIGHT = Lighting(ambient=0.4, diffuse=0.8)  # fixed: the nearest that our rasteriser has to upstream's lamps
_SUPERSAMPLING = 2  # fixed: as smooth as upstream's pictures
_UPSTREAM_PX = 256  # fixed: to which upstream brings the short side before it crops


@dataclass(frozen=True, kw_only=True)
class _Placement:
    """A rectangle of the image and where it lies in the square."""

    source: tuple[float, float, float, float]
    """``(x0, y0, x1, y1)`` [px], edges of pixels."""
    target: tuple[int, int, int, int]
    """Left, top, width, height in the square [px]."""


def _placement(framing: Framing, size_px: tuple[int, int]) -> _Placement:
    height, width = size_px
    if framing is Framing.LETTERBOX:
        scale = SIZE_PX / max(size_px)
        w, h = max(round(width * scale), 1), max(round(height * scale), 1)
        return _Placement(source=(0, 0, width, height), target=((SIZE_PX - w) // 2, (SIZE_PX - h) // 2, w, h))
    side = min(size_px)
    x, y = (width - side) / 2, (height - side) / 2
    return _Placement(source=(x, y, x + side, y + side), target=(0, 0, SIZE_PX, SIZE_PX))


def _normalised(picture: NDArray[np.uint8]) -> Float32:
    return np.asarray((picture.astype(np.float32) / 255.0 - IMAGENET_MEAN) / IMAGENET_STD, dtype=np.float32)


def square_image(rgb: NDArray[np.uint8], framing: Framing = Framing.LETTERBOX) -> Float32:
    """The encoder's input for an image, ``(1, 3, 224, 224)``, normalised.

    Args:
        rgb: Image, shape ``(H, W, 3)``.
        framing: How it is brought to a square.
    """
    height, width = rgb.shape[:2]
    if framing is Framing.UPSTREAM:
        short = min(height, width)
        size = (_UPSTREAM_PX * width // short, _UPSTREAM_PX * height // short)
        left, top = (round((n - _UPSTREAM_PX) / 2) for n in size)
        resized = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
        crop = _normalised(resized[top : top + _UPSTREAM_PX, left : left + _UPSTREAM_PX])
        planes = [
            np.asarray(Image.fromarray(crop[..., c]).resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC))
            for c in range(3)  # fixed: red, green, blue
        ]
        return np.stack(planes)[None]
    place = _placement(framing, (height, width))
    x, y, w, h = place.target
    resized = np.asarray(Image.fromarray(rgb).resize((w, h), Image.Resampling.BICUBIC, box=place.source))
    square = np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.float32)  # zero is the mean colour
    square[y : y + h, x : x + w] = _normalised(resized)
    return np.ascontiguousarray(square.transpose(2, 0, 1)[None])


def image_logits(logits: Float32, size_px: tuple[int, int], framing: Framing = Framing.LETTERBOX) -> Float32:
    """SOM's logits of the square as logits of the image, ``(H, W)``; minus infinity outside its square.

    Args:
        logits: Of ``som_head``, ``(64, 64)``.
        size_px: Height and width of the image.
        framing: How it was brought to the square.
    """
    height, width = size_px
    if framing is Framing.UPSTREAM:
        middle = cv2.resize(logits, (_UPSTREAM_PX, _UPSTREAM_PX), interpolation=cv2.INTER_LINEAR)
        return np.asarray(Image.fromarray(middle).resize((width, height), Image.Resampling.NEAREST))
    place = _placement(framing, size_px)
    x0, y0, x1, y1 = place.source
    x, y, w, h = place.target
    cell = _MASK_PX / SIZE_PX
    # Edges of pixels map to edges of cells; centres, which are on integers, are half a unit off on both sides.
    su, sv = w / (x1 - x0) * cell, h / (y1 - y0) * cell
    affine = np.array(
        [
            [su, 0.0, (0.5 - x0) * su + x * cell - 0.5],
            [0.0, sv, (0.5 - y0) * sv + y * cell - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(logits, affine, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    seen = np.zeros(size_px, dtype=bool)
    seen[int(np.ceil(y0 - 0.5)) : int(np.ceil(y1 - 0.5)), int(np.ceil(x0 - 0.5)) : int(np.ceil(x1 - 0.5))] = True
    return np.where(seen, found, np.float32(-np.inf))


def reference_views(mesh: Mesh, *, device: str = "cpu") -> Float32:
    """The sixteen pictures SOM wants of an object, ``(16, 3, 224, 224)``, normalised.

    The cameras are upstream's: directions on a golden spiral, z upwards in the picture, one and a half box diagonals
    from the centre; the middle square of its 640 x 480 pictures is all that its network sees.

    Args:
        mesh: The object, its box centred at the origin.
        device: Warp device name.
    """
    size = _SUPERSAMPLING * SIZE_PX
    f, c = size / 2 / np.tan(_HALF_FOV_RAD), (size - 1) / 2
    K = np.array([[f, 0.0, c], [0.0, f, c], [0.0, 0.0, 1.0]])
    diagonal_m = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    upright = np.diag((-1.0, -1.0, 1.0)) @ look_at_origin(golden_spiral(VIEWS))  # that function's up is our down
    picture = render(
        mesh, make_T(upright, np.array([0.0, 0.0, _DISTANCE * diagonal_m])), K, size, lighting=_LIGHT, device=device
    )
    colour = np.where(picture.mask[..., None] > 0, picture.colour, np.float32(_GREY))
    cells = colour.reshape(VIEWS, SIZE_PX, _SUPERSAMPLING, SIZE_PX, _SUPERSAMPLING, 3).mean(axis=(2, 4))
    normalised = (cells - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(np.moveaxis(normalised, -1, 1), dtype=np.float32)


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
    def encode_object(reference: Engine, mesh: Mesh, *, device: str = "cpu") -> dict[str, Float32]:
        """Encode an object from sixteen sides, once; seconds to a minute on a CPU.

        Args:
            reference: Engine ``som_reference``.
            mesh: The object, its box centred at the origin.
            device: Warp device name, for the pictures.

        Returns:
            Keys and values by name, as the head takes them.
        """
        return dict(reference.run({"views": reference_views(mesh, device=device)}))

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
