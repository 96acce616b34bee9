"""Verify: is what is tracked still the object? Two scores that fail in different ways.

The appearance score is TOM's: the crop at the current pose against crops of frames that were verified before, each
encoded once (`pipeline.verify.crop_encoders`). The geometric score comes from the renderer: does the model at the
pose agree with depth and outline (`pipeline.refine.judge`). The renderer is blind where the model is wrong or the
depth is missing. A crop depends on where its pose is and not on how it is turned: a wrong rotation shows only beside
crops of the side that the pose claims to show, which is what `VerifyConfig.near_deg` is for.

The memory is the caller's to keep clean: `remember` only what is believed, `forget` when the object was found anew.
What an engine answers that is no number is neither remembered nor scored, and the verification says so.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.geometry.se3 import rotation_angle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.judge import PoseJudge
from storm_edge.pipeline.verify.config import VerifyConfig
from storm_edge.pipeline.verify.crop_encoders import CropEncoder, EncodedCrop, open_encoder

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What the scores say about one pose."""

    score: float
    """Both together, 0..1; above 0.5 the object is there."""
    appearance: float | None
    """The appearance score, a logit; None without memory."""
    geometry: float
    """The geometric score, 0..1."""
    is_non_finite: bool = False
    """Whether there is no appearance score because what the network answered is no number."""


class _Remembered(NamedTuple):
    """A crop in the memory."""

    crop: Float32
    """As the encoder describes it."""
    R_cam_centre: Float64
    """How the pose was turned that it was cut at ``(3, 3)``."""


def fuse_scores(geometry: float, appearance: float | None, config: VerifyConfig) -> Verification:
    """Fuse the geometric score (0..1) and the logit of the appearance score, where there is one.

    Decided by the network alone the score is 0.5 or more where TOM's probability reaches 0.9, which is STORM's rule
    (`tom.py`) and `VerifyConfig.full_pair_zero`.
    """
    if appearance is not None and config.decided_by == "network":
        return Verification(score=float(expit(appearance)), appearance=appearance, geometry=geometry)
    logit = config.geometry_scale * (geometry - config.geometry_zero)
    if appearance is not None:
        limited = min(max(appearance, -config.appearance_limit), config.appearance_limit)
        logit += config.appearance_weight * limited
    return Verification(score=1.0 / (1.0 + math.exp(-logit)), appearance=appearance, geometry=geometry)


def open_verifier(
    item: ObjectOnDevice,
    networks: NetworkBundle,
    *,
    config: VerifyConfig | None = None,
    options: EngineOptions | None = None,
) -> Verifier | None:
    """The verifier of an object with the networks of a bundle; None if the bundle has none for it.

    Args:
        item: The object.
        networks: Bundle of either tier.
        config: How poses are scored.
        options: Where and how the engines run.

    Raises:
        EngineError: A network of the bundle cannot be opened.
    """
    config = config or VerifyConfig()
    encoder = open_encoder(item, networks, config=config, options=options)
    return None if encoder is None else Verifier(item, encoder, config=config)


class Verifier:
    """Verifies one object; `open_verifier` makes it. Buffers are made here.

    Args:
        item: The object.
        encoder: Encodes and compares its crops.
        config: How poses are scored.

    Attributes:
        non_finite_count: Answers so far that were no numbers; they are not remembered and have no score.
    """

    def __init__(self, item: ObjectOnDevice, encoder: CropEncoder, *, config: VerifyConfig | None = None) -> None:
        self.non_finite_count = 0
        self._config = config or VerifyConfig()
        self._encoder = encoder
        self._judge = PoseJudge(item.mesh_lod, diameter_m=item.diameter_m, batch=1, config=self._config.judge)
        self._symmetries = item.bundle.symmetries[:, :3, :3]
        self._memory: deque[_Remembered] = deque(maxlen=self._config.memory_count)

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
        encoded = self._encoded(frame, T_cam_centre)
        if encoded is not None:
            self._memory.append(_Remembered(encoded.memory.copy(), np.array(T_cam_centre[:3, :3])))

    def verify(self, frame: FrameBuffers, T_cam_centre: Float64, visible: float | None = None) -> Verification:
        """Score a pose.

        Args:
            frame: The image, uploaded.
            T_cam_centre: The pose of the centred mesh [m] ``(4, 4)``.
            visible: Its geometric score where a tracker judged it already, which renders the same for its confidence.
        """
        geometry = visible
        if geometry is None:
            geometry = float(self._judge.judge(frame, T_cam_centre[None], mask=None).visible[0])
        non_finite_count = self.non_finite_count
        fused = fuse_scores(geometry, self._appearance(frame, T_cam_centre), self._config)
        return replace(fused, is_non_finite=True) if self.non_finite_count > non_finite_count else fused

    def _appearance(self, frame: FrameBuffers, T_cam_centre: Float64) -> float | None:
        """Mean logit of the most similar crops of that side; None where none is remembered, cut, or no numbers."""
        memory = self._remembered_near(T_cam_centre[:3, :3])
        encoded = self._encoded(frame, T_cam_centre) if memory else None
        if encoded is None:
            return None
        logits = np.sort(self._encoder.compare(encoded.current, np.stack(memory)))
        score = float(logits[-self._config.closest :].mean())
        if not math.isfinite(score):
            self.non_finite_count += 1
            return None
        return score

    def _remembered_near(self, R_cam_centre: Float64) -> list[Float32]:
        """Crops whose pose was turned no more than `VerifyConfig.near_deg` from a rotation ``(3, 3)``."""
        near_rad, memory = math.radians(self._config.near_deg), self._memory
        if near_rad >= math.pi or not memory:
            return [kept.crop for kept in memory]
        alike, kept_R = R_cam_centre @ self._symmetries, np.stack([kept.R_cam_centre for kept in memory])
        is_near = rotation_angle(alike, kept_R[:, None]).min(axis=1) <= near_rad
        return [kept.crop for kept, near in zip(memory, is_near, strict=True) if near]

    def _encoded(self, frame: FrameBuffers, T_cam_centre: Float64) -> EncodedCrop | None:
        """The crop at a pose; None where there is none, or the network gave no numbers."""
        encoded = self._encoder.encode(frame, T_cam_centre)
        if encoded is None:
            return None
        if not (np.isfinite(encoded.current).all() and np.isfinite(encoded.memory).all()):
            self.non_finite_count += 1
            return None
        return encoded
