"""Verify: is what the track looks at still the object? Two votes that fail in different ways.

The first is TOM's: the crop at the current pose against crops of frames that were verified before, at most 16 of
them, described once. The second comes from the renderer: does the model at the pose agree with depth, outline and
colour (`pipeline.refine.judge`). TOM does not see a wrong rotation, the renderer is blind where the model is wrong
or the depth is missing.

The memory is the caller's to keep clean: `remember` only what is believed, `forget` when the object was found anew.
What an engine answers that is no number is not remembered and has no vote, and the verification says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.kernels.device import HostSide
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.inputs.network_inputs import PairInputs
from storm_edge.pipeline.refine.judge import JudgeConfig, PoseJudge

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

MEMORY = 16
"""Crops that are remembered; the oldest goes first."""


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """How the two votes are weighed."""

    closest: int = 3
    """Remembered crops, the most similar ones, whose mean is TOM's vote."""
    geometry_scale: float = 8.0
    """Logits per unit of the renderer's vote."""
    geometry_zero: float = 0.45
    """The renderer's vote that speaks neither for nor against."""
    appearance_weight: float = 0.5
    """Weight of TOM's logit beside the renderer's."""
    appearance_limit: float = 4.0
    """TOM's logit counts no more than this in either direction."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What the votes say about one pose."""

    score: float
    """Both together, 0..1; above 0.5 the object is there."""
    appearance: float | None
    """TOM's vote, a logit; None without memory."""
    geometry: float
    """The renderer's vote, 0..1."""
    is_non_finite: bool = False
    """Whether TOM has no vote because what it answered is no number."""


def weigh_votes(geometry: float, appearance: float | None, config: VerifyConfig) -> Verification:
    """The renderer's vote ``geometry`` (0..1) and TOM's logit ``appearance``, where there is one, as one score."""
    logit = config.geometry_scale * (geometry - config.geometry_zero)
    if appearance is not None:
        limited = min(max(appearance, -config.appearance_limit), config.appearance_limit)
        logit += config.appearance_weight * limited
    return Verification(score=1.0 / (1.0 + math.exp(-logit)), appearance=appearance, geometry=geometry)


class Verifier:
    """Verifies one object; buffers are made here.

    Args:
        item: The object.
        networks: Bundle with ``tom_encode`` and ``tom_compare``.
        config: How the votes are weighed.
        options: Where and how the engines run.

    Attributes:
        non_finite_count: Answers so far that were no numbers.

    Raises:
        EngineError: The bundle has no TOM.
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
        mesh, d = item.mesh_lod, item.diameter_m
        self._encode = networks.open("tom_encode", options)
        self._compare = networks.open("tom_compare", options)
        self._inputs = PairInputs(mesh, diameter_m=d, network="refine", batch=1, size_px=networks.size_px)
        # Colour speaks apart: TOM sees it, and a plain object has no pattern that could agree.
        self._judge = PoseJudge(mesh, diameter_m=d, batch=1, config=JudgeConfig(colour_weight=0.0))
        self._crop = HostSide(self._inputs.observed)
        self._memory: Float32 = np.empty((0, 0), dtype=np.float32)

    def __len__(self) -> int:
        """Crops in the memory."""
        return len(self._memory)

    def forget(self) -> None:
        """Empty the memory."""
        self._memory = self._memory[:0]

    def remember(self, frame: FrameBuffers, T_cam_centre: Float64) -> None:
        """Keep the crop at a pose that is believed.

        Args:
            frame: The image, uploaded.
            T_cam_centre: The pose of the centred mesh [m] ``(4, 4)``.
        """
        described = self._described(frame, T_cam_centre)
        if described is not None:
            kept = (
                self._memory[-(MEMORY - 1) :] if len(self._memory) else np.empty((0, len(described[1])), np.float32)
            )
            self._memory = np.concatenate([kept, described[1][None]])

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
        memory = self._memory
        described = self._described(frame, T_cam_centre) if len(memory) else None
        if described is None:
            return None
        current = np.repeat(described[0][None], len(memory), axis=0)
        logits = np.sort(self._compare.run({"current": current, "memory": memory})["logit"])
        vote = float(logits[-self._config.closest :].mean())
        if not math.isfinite(vote):
            self.non_finite_count += 1
            return None
        return vote

    def _described(self, frame: FrameBuffers, T_cam_centre: Float64) -> tuple[Float32, Float32] | None:
        """The crop at a pose as current one and for the memory, both ``(C,)``; None where they are no numbers."""
        self._inputs.fill(frame, T_cam_centre[None])
        out = self._encode.run({"crop": self._crop.read(1)})
        current, memory = out["current"][0], out["memory"][0]
        if not (np.isfinite(current).all() and np.isfinite(memory).all()):
            self.non_finite_count += 1
            return None
        return current, memory
