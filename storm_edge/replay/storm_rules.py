"""STORM's own rules of tracking, as its evaluation has them: a preset beside ours, so that figures compare.

An object is registered from a mask in the first image that has one, and the crop of that mask is remembered. Then
RefineNet follows it, and TOM compares the crop at each new pose with the remembered one. Below the threshold (a
probability of 0.9) the pose is still reported, and in the next image the object is registered anew. There is no
hysteresis, no lost state and no other score (docs/reference-networks.md, 3.5). Departures, where upstream's program
ends or goes on with a stale pose: without a mask, or where it cannot be registered, the object is looked for in the
next image again, without a pose meanwhile; a pose that leaves nothing to cut counts as below the threshold.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineOptions
from storm_edge.errors import EngineError, mismatch
from storm_edge.frame import Frame
from storm_edge.geometry.se3 import invert
from storm_edge.live.config import StormConfig
from storm_edge.live.frame_gate import SkipReason
from storm_edge.live.track_report import Track, TrackState
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.instances import instance_number
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.verify.crop_encoders import FullCropEncoder, mask_crop
from storm_edge.replay.estimate_scene import Estimator
from storm_edge.replay.frame_reader import FrameReader
from storm_edge.replay.mask_search import SharedUpload
from storm_edge.replay.mask_sources import MaskSource
from storm_edge.replay.scene import Scene

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Said:
    """What became of an object in an image."""

    state: TrackState
    """TRACKING; SUSPECT where TOM said no; SEARCHING without a pose."""
    T_cam_centre: Float64 | None
    """Its pose ``(4, 4)``."""
    confidence: float
    """TOM's probability; of a registration the score of its mask."""


class _StormObject:
    """One object under STORM's rules."""

    def __init__(
        self, bundle: ObjectBundle, networks: NetworkBundle, config: StormConfig, masks: MaskSource, device: str
    ) -> None:
        options = EngineOptions(device=device)
        item = ObjectOnDevice(bundle, device, as_upstream=config.as_upstream)
        self.bundle = bundle
        self._masks, self._place = masks, instance_number(bundle.object_id)
        self._estimator = Estimator(networks, config, device=device)
        self._refine = PoseRefiner(item, networks, batch=1, options=options)
        self._iterations = config.track.stepwise.network_iterations
        self._encoder = FullCropEncoder(item, networks, config=config.verify, options=options)
        self._T: Float64 | None = None
        self._memory: Float32 | None = None

    @property
    def non_finite_count(self) -> int:
        """Answers of RefineNet so far that left no pose."""
        return self._refine.non_finite_count

    def step(self, frame: Frame, buffers: FrameBuffers) -> Said:
        """Register or follow in one image."""
        if self._T is None or self._memory is None:
            return self._register(frame)
        for _ in range(self._iterations):
            self._T = self._refine(buffers, self._T[None])[0]
        T = self._T
        encoded = self._encoder.encode(buffers, T)
        logit = -np.inf if encoded is None else float(self._encoder.compare(encoded.current, self._memory[None])[0])
        if logit >= 0.0:  # the logit of the threshold is taken off; no number is below it
            return Said(state=TrackState.TRACKING, T_cam_centre=T, confidence=self._probability(logit))
        self._T = None
        return Said(state=TrackState.SUSPECT, T_cam_centre=T, confidence=self._probability(logit))

    def _register(self, frame: Frame) -> Said:
        nothing = Said(state=TrackState.SEARCHING, T_cam_centre=None, confidence=0.0)
        given = self._masks.masks(frame, self.bundle, self._place)
        crop = mask_crop(frame.rgb, given[self._place - 1].mask) if len(given) >= self._place else None
        if crop is None:
            return nothing
        mask = given[self._place - 1]
        T_cam_obj = self._estimator.estimate(frame, self.bundle, mask.mask)
        if T_cam_obj is None:
            return nothing
        self._memory = self._encoder.encode_crop(crop).memory.copy()
        self._T = np.asarray(T_cam_obj @ self.bundle.T_obj_centre)
        return Said(state=TrackState.TRACKING, T_cam_centre=self._T, confidence=min(max(mask.score, 0.0), 1.0))

    def _probability(self, logit: float) -> float:
        """TOM's, or 0 where the network gave no number."""
        return float(expit(logit + self._encoder.zero)) if np.isfinite(logit) else 0.0


class StormSession:
    """Follows objects through a recording by STORM's rules; what is asked of it is what a run asks of a `Session`.

    Args:
        bundles: The objects, each instance of a model under its own name.
        networks: Bundle of tier ``full`` with RefineNet and TOM.
        config: Schedule of registrations, iterations in a frame, and the threshold.
        masks: Where masks come from.
        device: Warp device name.

    Raises:
        EngineError: The bundle lacks a network.
    """

    def __init__(
        self,
        bundles: Sequence[ObjectBundle],
        networks: NetworkBundle | None,
        *,
        config: StormConfig,
        masks: MaskSource,
        device: str,
    ) -> None:
        if networks is None or networks.tier != "full" or "refine" not in networks.networks:
            name = "none" if networks is None else f"{networks.name} of tier {networks.tier}"
            expected = "RefineNet and TOM of tier full"
            raise EngineError(mismatch("STORM's rules", f"bundle {name}", expected, "give --bundle, or our rules"))
        self._objects = [_StormObject(bundle, networks, config, masks, device) for bundle in bundles]
        self._upload, self._gate = SharedUpload(device), config.frame_gate
        self._reader: FrameReader | None = None
        self.remarks: list[str] = []

    @property
    def tracker(self) -> dict[str, object]:
        """How objects are followed, for reports; JSON types."""
        return {"kind": "storm"}

    @property
    def faults(self) -> dict[str, object]:
        """What went wrong so far while it went on, for reports; JSON types."""
        return {
            "frames": {} if self._reader is None else self._reader.report,
            "non_finite": {"refine": sum(item.non_finite_count for item in self._objects)},
            "recovered": {},
            "stalls": 0,
        }

    def follow(self, scene: Scene) -> Iterator[tuple[Frame, list[Track]]]:
        """Every frame that can be used with one `Track` per object.

        Raises:
            SceneError: None can be used; or a mask is missing.
        """
        self._reader = FrameReader(scene, self._gate)
        for frame_id in scene.frame_ids:
            frame = self._reader.read(frame_id)
            if isinstance(frame, SkipReason):
                continue
            buffers = self._upload(frame)
            yield frame, [_track(item, frame, buffers) for item in self._objects]
        self._reader.check_used()


def _track(item: _StormObject, frame: Frame, buffers: FrameBuffers) -> Track:
    started = time.perf_counter()
    said = item.step(frame, buffers)
    T = said.T_cam_centre
    return Track(
        frame=frame.index,
        stamp_ns=frame.stamp_ns,
        object_id=item.bundle.object_id,
        state=said.state,
        T_cam_obj=None if T is None else np.asarray(T @ invert(item.bundle.T_obj_centre)),
        confidence=said.confidence,
        pose_age_ms=None if T is None else 0.0,
        latency_ms={"track": (time.perf_counter() - started) * 1e3},
    )
