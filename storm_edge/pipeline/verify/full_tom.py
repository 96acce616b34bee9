"""Verify with STORM's TOM: the interface of `pipeline.verify.verifier`, on crops as its network was trained with.

It reads the colour picture alone, cut where the model's box projects to (reference-networks 3.3 and 3.4, without the
defects listed there): a tight square, moved into the image. Two networks can give the vote: the pair network, whose
logit counts from upstream's threshold, a probability of 0.9; or, where the bundle has no pair network, how alike two
crops look to the pretrained encoder, from upstream's threshold of that. A remembered crop is encoded once. The
renderer has the same second vote as beside the nano network.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import replace
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
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.judge import JudgeConfig, PoseJudge
from storm_edge.pipeline.verify.verifier import MEMORY, Verification, Verifier, VerifyConfig, weigh_votes

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

SIZE_PX = 224
"""Side of the crops [px]."""
SAME_LOGIT = math.log(9.0)
"""Upstream's threshold of the pair network."""
SAME_COSINE = 0.2
"""Upstream's threshold of likeness."""

_LOGITS_PER_COSINE = 10.0
_PAIR = ("tom_encode", "tom_compare")
_SIMILARITY = "similarity"
_NEAR_M = 0.01


class TrackVerifier(Protocol):
    """What a loop needs of a verifier, of either tier; see `pipeline.verify.verifier.Verifier`."""

    non_finite_count: int
    """Answers so far that were no numbers."""

    def __len__(self) -> int:
        """Crops in the memory."""

    def forget(self) -> None:
        """Empty the memory."""

    def remember(self, frame: FrameBuffers, T_cam_centre: Float64) -> None:
        """Keep the crop at a pose that is believed."""

    def verify(self, frame: FrameBuffers, T_cam_centre: Float64) -> Verification:
        """Both votes on a pose."""


def open_verifier(
    item: ObjectOnDevice,
    networks: NetworkBundle,
    *,
    config: VerifyConfig | None = None,
    options: EngineOptions | None = None,
) -> TrackVerifier | None:
    """The verifier of a network bundle; None if it has none. Arguments and errors as `Verifier`."""
    if networks.networks.keys() >= set(_PAIR) or _SIMILARITY in networks.networks:
        kind = Verifier if networks.tier == "nano" else FullVerifier
        return kind(item, networks, config=config, options=options)
    return None


class FullVerifier:
    """Verifies one object; buffers are made here.

    Args:
        item: The object.
        networks: Bundle of tier full with ``tom_encode`` and ``tom_compare``, or with ``similarity``.
        config: How the votes are weighed.
        options: Where and how the engines run.

    Attributes:
        non_finite_count: Answers so far that were no numbers; they are not remembered and have no vote.

    Raises:
        EngineError: The bundle has neither.
    """

    def __init__(
        self,
        item: ObjectOnDevice,
        networks: NetworkBundle,
        *,
        config: VerifyConfig | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        self.non_finite_count = 0
        self._config = config or VerifyConfig()
        self._compare: Engine | None = None
        if networks.networks.keys() >= set(_PAIR):
            self._encode = networks.open("tom_encode", options)
            self._compare = networks.open("tom_compare", options)
        elif _SIMILARITY in networks.networks:
            self._encode = networks.open(_SIMILARITY, options)
        else:
            expected = f"{' and '.join(_PAIR)}, or {_SIMILARITY}"
            raise EngineError(
                mismatch(f"bundle {networks.name}", "no verifier", expected, "export TOM into the bundle")
            )
        spans = np.stack(item.bundle.mesh.bounds()).astype(np.float64).T
        self._corners = np.array(list(itertools.product(*spans)))
        judge = JudgeConfig(colour_weight=0.0)  # TOM sees the colours
        self._judge = PoseJudge(item.mesh_lod, diameter_m=item.diameter_m, batch=1, config=judge)
        self._memory: deque[Float32] = deque(maxlen=MEMORY)

    def __len__(self) -> int:
        """Crops in the memory."""
        return len(self._memory)

    def forget(self) -> None:
        """Empty the memory."""
        self._memory.clear()

    def remember(self, frame: FrameBuffers, T_cam_centre: Float64) -> None:
        """Keep the crop at a pose that is believed; a pose that leaves nothing to cut is not kept.

        Args:
            frame: The image, uploaded.
            T_cam_centre: The pose of the centred mesh [m] ``(4, 4)``.
        """
        described = self._described(frame, T_cam_centre)
        if described is not None:
            self._memory.append(described[1])

    def verify(self, frame: FrameBuffers, T_cam_centre: Float64) -> Verification:
        """Both votes on a pose.

        Args:
            frame: The image, uploaded.
            T_cam_centre: The pose of the centred mesh [m] ``(4, 4)``.
        """
        geometry = float(self._judge.judge(frame, T_cam_centre[None], mask=None).visible[0])
        non_finite_count = self.non_finite_count
        votes = weigh_votes(geometry, self._appearance(frame, T_cam_centre), self._config)
        return replace(votes, is_non_finite=self.non_finite_count > non_finite_count)

    def _appearance(self, frame: FrameBuffers, T_cam_centre: Float64) -> float | None:
        """Logits above upstream's threshold; None without a memory or anything to cut."""
        described = self._described(frame, T_cam_centre) if self._memory else None
        if described is None:
            return None
        memory = np.stack(self._memory)
        if self._compare is None:
            votes = _LOGITS_PER_COSINE * (memory @ described[0] - SAME_COSINE)
        else:
            current = np.repeat(described[0][None], len(memory), axis=0)
            votes = self._compare.run({"current": current, "memory": memory})["logit"] - SAME_LOGIT
        vote = float(np.sort(votes)[-self._config.closest :].mean())
        if not np.isfinite(vote):
            self.non_finite_count += 1
            return None
        return vote

    def _described(self, frame: FrameBuffers, T_cam_centre: Float64) -> tuple[Float32, Float32] | None:
        """The crop at a pose as current one and for the memory, both ``(C,)``; None without a crop or numbers."""
        crop = pose_crop(frame.rgb.numpy(), frame.K, T_cam_centre, self._corners)
        if crop is None:
            return None
        out = self._encode.run({"crop": crop[None]})
        current, memory = ("embedding", "embedding") if self._compare is None else ("current", "memory")
        pair = out[current][0], out[memory][0]
        if not all(np.isfinite(vector).all() for vector in pair):
            self.non_finite_count += 1
            return None
        return pair


def pose_crop(rgb: NDArray[np.uint8], K: Float64, T_cam_centre: Float64, corners: Float64) -> Float32 | None:
    """What TOM is shown of an object at a pose, ``(3, 224, 224)``, normalised.

    Args:
        rgb: The image ``(H, W, 3)``.
        K: Its intrinsics [px].
        T_cam_centre: The pose of the centred mesh [m] ``(4, 4)``.
        corners: Of the box around the mesh [m] ``(8, 3)``.

    Returns:
        None where the box reaches behind the camera, or lies outside the image.
    """
    points = transform(T_cam_centre, corners)
    if points[:, 2].min() < _NEAR_M:
        return None
    height, width = rgb.shape[:2]
    pixels = project(K, points) + 0.5  # edges of pixels, as the cut is stated in
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    if (high <= 0.0).any() or (low >= (width, height)).any():
        return None
    side = min(float((high - low).max()), float(min(width, height)))
    # Moved into the image rather than padded, as upstream does.
    x, y = np.clip(0.5 * (low + high - side), 0.0, np.array([width, height]) - side)
    box = (float(x), float(y), float(x) + side, float(y) + side)
    resized = np.asarray(Image.fromarray(rgb).resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR, box=box))
    normalised = (resized.astype(np.float32) / np.float32(255.0) - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))
