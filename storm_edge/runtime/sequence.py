"""The loop over a recorded scene: register each object where its mask first appears, then follow it to the end.

`follow` yields what is known about every object at every frame; drawing and writing are the caller's (`scene_run`).
Today an object that got lost is looked for around its last trusted pose only; searching the whole image needs a
segmenter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from storm_edge.data.bop import BopScene
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.onnx_runtime import OrtOptions
from storm_edge.errors import SceneError, UnitError, bad
from storm_edge.frames import Frame
from storm_edge.geometry.se3 import invert
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.perception.geometric import GeometricRefiner
from storm_edge.perception.inputs import FrameBuffers
from storm_edge.perception.networks import PoseRefiner
from storm_edge.perception.register import DEFAULT, GEOMETRY_ONLY, RegisterConfig, Registrar
from storm_edge.perception.track import TrackConfig, Tracker, TrackStep
from storm_edge.runtime.outputs import State, Track

Float64 = NDArray[np.float64]

_SMALLEST_PX = 4.0  # an object smaller than this in the image, or ...
_LARGEST_IMAGES = 20.0  # ... this many image widths across is in another unit than the scene


class Init(str, Enum):
    """Where the first pose comes from."""

    MASK = "mask"
    """Registration with the object's mask of the first frame that has one."""
    GT = "gt"
    """The label of the first frame that has one."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Schedules, and when a pose is doubted."""

    register: RegisterConfig = field(default_factory=RegisterConfig)
    """The schedule of registration."""
    track: TrackConfig = field(default_factory=TrackConfig)
    """How tracking shares the work between geometry and network."""
    suspect_below: float = 0.4
    """A pose with less confidence than this is doubted."""
    lost_after: int = 3
    """Doubted frames in a row after which no pose is reported, and trusted ones after which it is again."""
    regain_share: float = 0.85
    """After a loss a pose needs this share of the confidence that was usual before: half right is not found."""


class ObjectLoop:
    """One object: where it starts, and what is believed about it; buffers are made here.

    Args:
        bundle: The onboarded object.
        networks: The network bundle; None runs on geometry alone.
        config: Schedules and thresholds; the default ones when None.
        device: Warp device name.
        options: Where and how the engines run.
    """

    def __init__(
        self,
        bundle: ObjectBundle,
        networks: NetworkBundle | None,
        *,
        config: LoopConfig | None = None,
        device: str = "cpu",
        options: OrtOptions | None = None,
    ) -> None:
        self.bundle = bundle
        self.state = State.SEARCHING
        if config is None:
            config = LoopConfig(register=DEFAULT if networks is not None else GEOMETRY_ONLY)
        self._config = config
        self._registrar = Registrar(bundle, networks, config=self._config.register, device=device, options=options)
        mesh = MeshBuffers.from_mesh(bundle.mesh_lod, device)
        network = None
        if networks is not None:
            network = PoseRefiner(mesh, networks, diameter_m=bundle.diameter_m, batch=2, options=options)
        geometry = GeometricRefiner(bundle.viewpoints, device=device)
        self._tracker = Tracker(bundle, geometry, network, config=self._config.track, device=device)
        self._T_centre_obj = invert(bundle.T_obj_centre)
        self._streak = 0  # frames in a row that speak against the state
        self._usual = 0.0  # confidence while the pose is believed, averaged over some 10 frames

    def register(self, frame: Frame, buffers: FrameBuffers, mask: NDArray[np.bool_]) -> Track:
        """Find the pose from a mask and start tracking there; see `Registrar.chunks` for errors."""
        started = time.perf_counter()
        registration = self._registrar.register(buffers, mask)
        step = self._tracker.start(buffers, registration.T_cam_centre)
        return self._begin(frame, step, "register", started)

    def start(self, frame: Frame, buffers: FrameBuffers, T_cam_obj: Float64) -> Track:
        """Start tracking at a pose that somebody else knows.

        Raises:
            UnitError: At that pose the object would be a speck or fill many images.
        """
        started = time.perf_counter()
        check_apparent_size(self.bundle.diameter_m, T_cam_obj, frame)
        step = self._tracker.start(buffers, T_cam_obj @ self.bundle.T_obj_centre)
        return self._begin(frame, step, "start", started)

    def track(self, frame: Frame, buffers: FrameBuffers) -> Track:
        """Follow the object into the next frame."""
        started = time.perf_counter()
        step = self._tracker.update(buffers)
        self._believe(step.confidence)
        return self._report(frame, step, "track", started)

    def _begin(self, frame: Frame, step: TrackStep, stage: str, started: float) -> Track:
        self.state, self._streak, self._usual = State.TRACKING, 0, step.confidence
        if step.confidence < self._config.suspect_below:
            self.state, self._streak = State.SUSPECT, 1
        return self._report(frame, step, stage, started)

    def _believe(self, confidence: float) -> None:
        """One doubt makes SUSPECT, `lost_after` in a row LOST; out of LOST it takes as many good frames."""
        config = self._config
        if self.state is State.LOST:
            sure = confidence >= max(config.suspect_below, config.regain_share * self._usual)
            self._streak = self._streak + 1 if sure else 0
            if self._streak >= config.lost_after:
                self.state, self._streak = State.TRACKING, 0
        elif confidence >= config.suspect_below:
            self.state, self._streak = State.TRACKING, 0
            self._usual += 0.1 * (confidence - self._usual)
        else:
            self._streak += 1
            self.state = State.SUSPECT
            if self._streak >= config.lost_after:
                self.state, self._streak = State.LOST, 0

    def _report(self, frame: Frame, step: TrackStep, stage: str, started: float) -> Track:
        lost = self.state is State.LOST
        return Track(
            frame=frame.index,
            stamp_ns=frame.stamp_ns,
            object_id=self.bundle.object_id,
            state=self.state,
            T_cam_obj=None if lost else step.T_cam_centre @ self._T_centre_obj,
            confidence=step.confidence,
            pose_age_ms=None if lost else 0.0,
            latency_ms={stage: (time.perf_counter() - started) * 1e3},
        )


def check_apparent_size(diameter_m: float, T_cam_obj: Float64, frame: Frame) -> None:
    """Refuse a pose at which the object cannot have the unit of the scene.

    Raises:
        UnitError: It would span less than 4 px or more than 20 images.
    """
    width = frame.size_px[1]
    span_px = frame.K[0, 0] * diameter_m / max(float(T_cam_obj[2, 3]), 1e-6)
    if not _SMALLEST_PX <= span_px <= _LARGEST_IMAGES * width:
        raise UnitError(
            bad(
                f"object size at frame {frame.index}",
                f"a model of {diameter_m:.4g} m at {T_cam_obj[2, 3]:.4g} m, {span_px:.3g} px across",
                f"{_SMALLEST_PX:g} px to {_LARGEST_IMAGES:g} image widths",
                "onboard the model with the other --unit, or check the labels' unit (BOP has mm)",
            )
        )


def label_indices(scene: BopScene, bundles: Sequence[ObjectBundle]) -> list[int]:
    """Place of each object in the scene's label and mask lists.

    With labels the objects' BOP ids decide; one object in a scene of one label needs none. Without labels the order
    of the objects is the order of the masks.

    Raises:
        SceneError: An object is not among the labels.
    """
    if not scene.has_ground_truth:
        return list(range(len(bundles)))
    ids: list[int] = []
    for frame_id in scene.frame_ids:
        ids = [label.object_id for label in scene.ground_truth(frame_id)]
        if ids:
            break
    if len(ids) == 1 and len(bundles) == 1:
        return [0]
    indices = []
    for bundle in bundles:
        if bundle.bop_id not in ids:
            remedy = "name the object bundle obj_NNNNNN after its BOP id"
            raise SceneError(bad(scene.path, f"labels of objects {ids}", f"one of {bundle.object_id}", remedy))
        indices.append(ids.index(bundle.bop_id))
    return indices


def follow(
    scene: BopScene,
    objects: Sequence[ObjectLoop],
    *,
    init: Init,
    device: str = "cpu",
) -> Iterator[tuple[Frame, list[Track]]]:
    """Run the loop: yields each frame with one `Track` per object, in the order of ``objects``.

    Args:
        scene: The recording.
        objects: What to follow.
        init: Where first poses come from.
        device: Warp device name.

    Raises:
        SceneError: No frame has what ``init`` needs, or a frame is unreadable.
        InputError: The mask, or the object's size, cannot be right.
    """
    indices = label_indices(scene, [item.bundle for item in objects])
    starts = [_first_frame(scene, index, init) for index in indices]
    buffers: FrameBuffers | None = None
    for frame_id in scene.frame_ids:
        frame = scene.frame(frame_id)
        if buffers is None or buffers.size_px != frame.size_px:
            buffers = FrameBuffers(*frame.size_px, device)
        began = time.perf_counter()
        buffers.upload(frame)
        upload_ms = (time.perf_counter() - began) * 1e3
        tracks = []
        for item, index, start in zip(objects, indices, starts, strict=True):
            if frame_id < start:
                track = Track(
                    frame=frame.index,
                    stamp_ns=frame.stamp_ns,
                    object_id=item.bundle.object_id,
                    state=State.SEARCHING,
                    T_cam_obj=None,
                )
            elif frame_id > start:
                track = item.track(frame, buffers)
            elif init is Init.MASK:
                track = item.register(frame, buffers, scene.mask_visib(frame_id, index))
            else:
                track = item.start(frame, buffers, scene.ground_truth(frame_id)[index].T_cam_obj)
            tracks.append(_with_upload(track, upload_ms))
        yield frame, tracks


def _with_upload(track: Track, upload_ms: float) -> Track:
    stages = {"upload": upload_ms, **track.latency_ms}
    return replace(track, latency_ms={**stages, "total": sum(stages.values())})


def _first_frame(scene: BopScene, label_index: int, init: Init) -> int:
    """The first frame that can start an object."""
    if init is Init.MASK:
        return scene.first_masked_frame(label_index)
    for frame_id in scene.frame_ids:
        if scene.has_ground_truth and len(scene.ground_truth(frame_id)) > label_index:
            return frame_id
    remedy = "use --init mask, or give the scene labels (--labels for another file name)"
    raise SceneError(bad(scene.path, "no frame with a pose label", "scene_gt.json", remedy))
