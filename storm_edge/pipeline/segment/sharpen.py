"""A rough mask made sharp by SAM2: prompt from the mask, choice among four answers, and a check that they agree.

An optional stage after segmentation. It never finds anything: without a rough mask there is no prompt, and an answer
that marks something else than the rough mask did is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.errors import EngineError, FrameError, MaskError, mismatch
from storm_edge.frame import Frame
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.pipeline.segment.config import SharpenConfig
from storm_edge.pipeline.segment.segmentation import Candidate, bounding_box

# The mask of an unambiguous prompt counts if its area hardly changes with the threshold.
_STABILITY_MARGIN = 0.05  # fixed: upstream's rule
_STABLE = 0.98  # fixed: upstream's rule


@dataclass(frozen=True, kw_only=True)
class SharpMask:
    """Answer to one rough mask."""

    mask: NDArray[np.bool_]
    """Pixels of the object, shape ``(H, W)``."""
    iou: float
    """Intersection over union with the rough mask."""
    expected_iou: float
    """Quality that SAM2 expects, in [0, 1]."""
    presence_logit: float
    """Logit of the object being there at all."""
    accepted: bool
    """Whether it agrees well enough to take the place of the rough mask."""


def prompt_of(mask: NDArray[np.bool_], *, padding: float) -> NDArray[np.float32]:
    """Box and point that point SAM2 to a mask.

    Both are those of the largest connected part: stray pixels would widen the box and move the point. The point is
    the mean of its pixels, or the pixel nearest to that.

    Args:
        mask: Pixels of the object, shape ``(H, W)``.
        padding: Added to the box on each side, of its longer side.

    Returns:
        Least corner, most corner, point [px], ``(x, y)`` each, shape ``(3, 2)``.

    Raises:
        MaskError: The mask marks nothing.
    """
    height, width = mask.shape
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if len(stats) < 2:
        raise MaskError(mismatch("rough mask", "no pixels", "some of the object", "segment again"))
    part = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    rows, columns = np.nonzero(labels == part)
    pixels = np.stack([columns, rows], axis=1)
    low, high = pixels.min(0), pixels.max(0)
    margin = int(padding * (high - low).max())
    nearest = pixels[np.argmin(((pixels - pixels.mean(0)) ** 2).sum(1))]
    corners = (np.maximum(low - margin, 0), np.minimum(high + margin, (width, height)))
    return np.stack([*corners, nearest]).astype(np.float32)


def choose_mask(masks: NDArray[np.float32], iou: NDArray[np.float32]) -> int:
    """Which of SAM2's four masks counts, by upstream's rule for a single answer (reference-networks 4.4).

    The first, made for unambiguous prompts, if it is stable: if nearly as many logits exceed 0.05 as exceed -0.05.
    Otherwise the one of the other three that SAM2 expects to be best.

    Args:
        masks: Logits, shape ``(4, H, W)``.
        iou: Expected quality, shape ``(4,)``.
    """
    inner = np.count_nonzero(masks[0] > _STABILITY_MARGIN)
    outer = np.count_nonzero(masks[0] > -_STABILITY_MARGIN)
    if outer == 0 or inner / outer >= _STABLE:
        return 0
    return 1 + int(np.argmax(iou[1:]))


class Sharpener:
    """SAM2 on one image at a time: `encode_image`, then `sharpen` any number of masks in it.

    Args:
        encoder: Engine ``sam2_encoder``.
        decoder: Engine ``sam2_decoder``.
        config: When an answer is accepted.
    """

    def __init__(self, encoder: Engine, decoder: Engine, config: SharpenConfig) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._config = config
        self._size_px = int(encoder.spec.tensor("image").shape[2] or 0)
        self._features: dict[str, NDArray[np.float32]] = {}
        self._shape = (0, 0)

    def encode_image(self, rgb: NDArray[np.uint8]) -> None:
        """Encode an image, shape ``(H, W, 3)``; it is stretched to a square, as upstream does."""
        self._shape = rgb.shape[:2]
        size = (self._size_px, self._size_px)
        resized = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255.0
        image = ((resized - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)[None]
        self._features = self._encoder.run({"image": np.ascontiguousarray(image, dtype=np.float32)})

    def sharpen(self, mask: NDArray[np.bool_]) -> SharpMask:
        """SAM2's mask of what a rough mask marks in the image last encoded.

        Args:
            mask: Rough mask, shape ``(H, W)`` of the image.

        Raises:
            FrameError: The mask has another size than the image.
            MaskError: It marks nothing.
        """
        if mask.shape != self._shape:
            raise FrameError(mismatch("rough mask", mask.shape, self._shape, "encode the image it belongs to"))
        height, width = mask.shape
        prompt = prompt_of(mask, padding=self._config.padding)
        prompt *= np.array((self._size_px / width, self._size_px / height), dtype=np.float32)
        answer = self._decoder.run({**self._features, "prompts": prompt[None]})
        masks, iou = answer["masks"][0], answer["iou"][0]
        chosen = choose_mask(masks, iou)
        sharp: NDArray[np.bool_] = cv2.resize(masks[chosen], (width, height), interpolation=cv2.INTER_LINEAR) > 0
        union = np.count_nonzero(sharp | mask)
        agreement = float(np.count_nonzero(sharp & mask) / union)
        expected_iou = float(iou[chosen])
        return SharpMask(
            mask=sharp,
            iou=agreement,
            expected_iou=expected_iou,
            presence_logit=float(answer["present"].reshape(-1)[0]),
            accepted=agreement >= self._config.min_iou and expected_iou >= self._config.min_expected_iou,
        )


class CandidateSharpener:
    """Puts SAM2's masks in the place of candidates' masks, where both agree.

    Args:
        sharpener: SAM2.
    """

    def __init__(self, sharpener: Sharpener) -> None:
        self._sharpener = sharpener
        self._frame: Frame | None = None  # that is encoded

    def sharpen(self, frame: Frame, candidate: Candidate) -> Candidate:
        """The candidate with SAM2's mask, or as it is; several candidates of a frame share one encoding."""
        if self._frame is not frame:
            self._sharpener.encode_image(frame.rgb)
            self._frame = frame
        sharp = self._sharpener.sharpen(candidate.mask)
        if not sharp.accepted:
            return candidate
        grown = candidate.grown | sharp.mask
        return replace(candidate, mask=sharp.mask, grown=grown, box=bounding_box(sharp.mask), sharpened=True)


def open_candidate_sharpener(
    networks: NetworkBundle | None, config: SharpenConfig, options: EngineOptions | None
) -> CandidateSharpener:
    """SAM2 of a bundle, for candidates; raises as `open_sharpener`."""
    return CandidateSharpener(open_sharpener(networks, config, options))


def open_sharpener(networks: NetworkBundle | None, config: SharpenConfig, options: EngineOptions | None) -> Sharpener:
    """SAM2 of a bundle, of whichever variant it is.

    Raises:
        EngineError: There is none.
    """
    required = ("sam2_encoder", "sam2_decoder")
    if networks is None:
        raise EngineError(
            mismatch("SAM2", "no network bundle", " and ".join(required), "give --bundle, or leave --sam2 out")
        )
    remedy = "export SAM2 into the bundle (storm-edge[sam2]), or leave --sam2 out"
    networks.require(required, what="SAM2", remedy=remedy)
    encoder, decoder = (networks.open(network, options) for network in required)
    return Sharpener(encoder, decoder, config)
