"""Crops of an object at a pose, encoded and compared by the networks of either tier: how alike do they look?

`Verifier` keeps encoded crops of frames in which the pose was believed, and asks for the comparison with the present
one. The nano tier cuts crops as RefineNet does and compares them with its pair network. The full tier reads the
colour image alone, cut where the model's box projects to (reference-networks 3.3 and 3.4, without the defects listed
there); it compares with STORM's pair network or, where the bundle has none, by the cosine of two embeddings of the
pretrained encoder.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.errors import EngineError, mismatch
from storm_edge.geometry.camera import project
from storm_edge.geometry.se3 import transform
from storm_edge.imagenet import IMAGENET_MEAN, IMAGENET_STD
from storm_edge.kernels.device import HostSide
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.inputs.network_inputs import PairInputs
from storm_edge.pipeline.verify.config import VerifyConfig

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FULL_CROP_PX = 224  # fixed: TOM's input
"""Side of the full tier's crops [px]."""

_PAIR = ("tom_encode", "tom_compare")
_SIMILARITY = "similarity"


@dataclass(frozen=True, kw_only=True)
class EncodedCrop:
    """What a network makes of one crop. Entries may be no numbers."""

    current: Float32
    """As the present crop of a comparison, ``(C,)``."""
    memory: Float32
    """As a remembered crop, ``(C,)``."""


class CropEncoder(Protocol):
    """Encodes and compares crops of one object."""

    def encode(self, frame: FrameBuffers, T_cam_centre: Float64) -> EncodedCrop | None:
        """Encode the crop at a pose; None where the pose leaves nothing to cut.

        Args:
            frame: The image, uploaded.
            T_cam_centre: The pose of the centred mesh [m] ``(4, 4)``.
        """

    def compare(self, current: Float32, memory: Float32) -> Float32:
        """Logits ``(N,)`` that a crop ``(C,)`` and remembered ones ``(N, C)`` show the same, 0 where undecided."""


def open_encoder(
    item: ObjectOnDevice, networks: NetworkBundle, *, config: VerifyConfig, options: EngineOptions | None = None
) -> CropEncoder | None:
    """The encoder of a network bundle; None if it has none.

    Args:
        item: The object.
        networks: The bundle; its tier says which encoder.
        config: Zero and scale of the logits.
        options: Where and how the engines run.

    Raises:
        EngineError: A network of the bundle cannot be opened.
    """
    if not has_encoder(networks):
        return None
    if networks.tier == "nano":
        return NanoCropEncoder(item, networks, options=options)
    return FullCropEncoder(item, networks, config=config, options=options)


def has_encoder(networks: NetworkBundle) -> bool:
    """Whether a bundle has the networks of either way to compare crops."""
    return networks.networks.keys() >= set(_PAIR) or _SIMILARITY in networks.networks


class NanoCropEncoder:
    """`CropEncoder` of the nano tier; its crops are RefineNet's ``observed``. Buffers are made here.

    Args:
        item: The object.
        networks: Bundle with ``tom_encode`` and ``tom_compare``.
        options: Where and how the engines run.

    Raises:
        EngineError: The bundle has no TOM.
    """

    def __init__(
        self, item: ObjectOnDevice, networks: NetworkBundle, *, options: EngineOptions | None = None
    ) -> None:
        # So small that a second thread spends more on being woken than it saves.
        options = replace(options or EngineOptions(), threads=1)
        self._encoder, self._pair = (networks.open(name, options) for name in _PAIR)
        self._inputs = PairInputs(item.mesh_lod, diameter_m=item.diameter_m, batch=1, size_px=networks.size_px)
        self._crop = HostSide(self._inputs.observed)

    def encode(self, frame: FrameBuffers, T_cam_centre: Float64) -> EncodedCrop:
        """See `CropEncoder.encode`; there is always something to cut."""
        self._inputs.fill_observed(frame, T_cam_centre[None])
        out = self._encoder.run({"crop": self._crop.read(1)})
        return EncodedCrop(current=out["current"][0], memory=out["memory"][0])

    def compare(self, current: Float32, memory: Float32) -> Float32:
        """See `CropEncoder.compare`."""
        return _pair_logits(self._pair, current, memory)


class FullCropEncoder:
    """`CropEncoder` of the full tier, by the pair network or by the similarity of embeddings.

    Args:
        item: The object.
        networks: Bundle with ``tom_encode`` and ``tom_compare``, or with ``similarity``.
        config: Zero and scale of the logits.
        options: Where and how the engines run.

    Raises:
        EngineError: The bundle has neither.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        networks: NetworkBundle,
        *,
        config: VerifyConfig,
        options: EngineOptions | None = None,
    ) -> None:
        self._config = config
        self._pair: Engine | None = None
        if networks.networks.keys() >= set(_PAIR):
            self._encoder, self._pair = (networks.open(name, options) for name in _PAIR)
        elif _SIMILARITY in networks.networks:
            self._encoder = networks.open(_SIMILARITY, options)
        else:
            expected = f"{' and '.join(_PAIR)}, or {_SIMILARITY}"
            raise EngineError(
                mismatch(f"bundle {networks.name}", "no verifier", expected, "export TOM into the bundle")
            )
        spans = np.stack(item.bundle.mesh.bounds()).astype(np.float64).T
        self._corners = np.array(list(itertools.product(*spans)))

    def encode(self, frame: FrameBuffers, T_cam_centre: Float64) -> EncodedCrop | None:
        """See `CropEncoder.encode`."""
        near_m = self._config.full_near_m
        crop = box_crop(frame.rgb.numpy(), frame.K, T_cam_centre, self._corners, near_m=near_m)
        return None if crop is None else self.encode_crop(crop)

    @property
    def zero(self) -> float:
        """What `compare` takes off the pair network's logit; 0 where embeddings are compared."""
        return 0.0 if self._pair is None else self._config.full_pair_zero

    def encode_crop(self, crop: Float32) -> EncodedCrop:
        """Encode a crop ``(3, 224, 224)`` as `box_crop` and `mask_crop` cut it."""
        out = self._encoder.run({"crop": crop[None]})
        if self._pair is None:
            return EncodedCrop(current=out["embedding"][0], memory=out["embedding"][0])
        return EncodedCrop(current=out["current"][0], memory=out["memory"][0])

    def compare(self, current: Float32, memory: Float32) -> Float32:
        """See `CropEncoder.compare`."""
        config = self._config
        if self._pair is None:
            return np.asarray(config.similarity_scale * (memory @ current - config.similarity_zero))
        return np.asarray(_pair_logits(self._pair, current, memory) - config.full_pair_zero)


def _pair_logits(pair: Engine, current: Float32, memory: Float32) -> Float32:
    """What a pair network answers for a crop beside each remembered one."""
    return pair.run({"current": np.repeat(current[None], len(memory), axis=0), "memory": memory})["logit"]


def box_crop(
    rgb: NDArray[np.uint8], K: Float64, T_cam_centre: Float64, corners: Float64, *, near_m: float
) -> Float32 | None:
    """The full tier's crop of an object at a pose: a tight square around its box, moved into the image.

    Args:
        rgb: The image ``(H, W, 3)``.
        K: Its intrinsics [px].
        T_cam_centre: The pose of the centred mesh [m] ``(4, 4)``.
        corners: Of the box around the mesh [m] ``(8, 3)``.
        near_m: Nearest distance of a corner [m].

    Returns:
        The crop ``(3, 224, 224)``, normalised as for ImageNet; None where a corner is nearer to the camera than
        ``near_m``, or the box lies outside the image.
    """
    points = transform(T_cam_centre, corners)
    if points[:, 2].min() < near_m:
        return None
    height, width = rgb.shape[:2]
    pixels = project(K, points) + 0.5  # edges of pixels, as the crop's borders are stated in
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    if (high <= 0.0).any() or (low >= (width, height)).any():
        return None
    side = min(float((high - low).max()), float(min(width, height)))
    # Moved into the image rather than padded, as upstream does.
    x, y = np.clip(0.5 * (low + high - side), 0.0, np.array([width, height]) - side)
    box = (float(x), float(y), float(x) + side, float(y) + side)
    size = (FULL_CROP_PX, FULL_CROP_PX)
    return _normalised(np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR, box=box)))


def mask_crop(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Float32 | None:
    """The full tier's crop of a mask: a square as wide as its box is long, about its middle, moved into the image.

    Args:
        rgb: The image ``(H, W, 3)``.
        mask: Pixels of the object ``(H, W)``.

    Returns:
        The crop ``(3, 224, 224)``, normalised as for ImageNet; None where the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    first, last = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]])
    limits = np.array(mask.shape[::-1])
    side = min(int((last - first).max()) + 1, int(limits.min()))
    x, y = np.clip(np.round(0.5 * (first + last) - 0.5 * side).astype(int), 0, limits - side).tolist()
    size = (FULL_CROP_PX, FULL_CROP_PX)
    cut = Image.fromarray(np.ascontiguousarray(rgb[y : y + side, x : x + side]))
    return _normalised(np.asarray(cut.resize(size, Image.Resampling.BILINEAR)))


def _normalised(picture: NDArray[np.uint8]) -> Float32:
    """As for ImageNet, channels first ``(3, H, W)``."""
    normalised = (picture.astype(np.float32) / np.float32(255.0) - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))
