"""Runs the pipeline over recordings with every engine recorded, and keeps what the engines saw.

Each object is registered, tracked with RefineNet on every frame, searched for in the whole image, and verified at its
pose and beside it: an engine must be calibrated for what it sees when things go wrong as well. What a bundle does not
have is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.scene import BopScene
from storm_edge.calib.capture import Recorder, RecordingBundle
from storm_edge.calib.sets import CalibrationSet, RowSource, write_set
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.scorers import scorer_of
from storm_edge.errors import InputError, MaskError, SceneError, UnitError, mismatch
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.register.config import RegisterConfig, RegistrationStage
from storm_edge.pipeline.register.registrar import Registrar
from storm_edge.pipeline.segment.config import SharpenConfig
from storm_edge.pipeline.segment.maps import NETWORKS
from storm_edge.pipeline.segment.segmenter import Segmenter
from storm_edge.pipeline.segment.sharpen import Sharpener
from storm_edge.pipeline.segment.template_embedding import TemplateEmbedding
from storm_edge.pipeline.track.config import StepwiseTrackConfig
from storm_edge.pipeline.track.stepwise import StepwiseTracker
from storm_edge.pipeline.verify.verifier import open_verifier
from storm_edge.replay.labels import LabelledObject, labelled_objects

Float64 = NDArray[np.float64]

_SAM2 = ("sam2_encoder", "sam2_decoder")
MOST_ROWS = 128
"""Rows that a set keeps of each graph."""
_REGISTER = RegisterConfig(
    stages=(
        RegistrationStage(keep=64),
        RegistrationStage(network=1, geometry=3, keep=12),
        RegistrationStage(network=1, geometry=6, keep=8),
    ),
    network_weight=0.1,
)
_REGISTER_FULL = RegisterConfig(  # 12 GMAC a pair
    stages=(RegistrationStage(keep=8), RegistrationStage(network=1, geometry=3, keep=4)), network_weight=0.1
)
_BESIDE = 0.5  # diameters by which a lost track is off
_TRACKED_FRAMES = 12


@dataclass(frozen=True, kw_only=True)
class CalibrationRecording:
    """A scene and the objects to follow in it."""

    scene: BopScene
    """The recording, with a mask of each object in some frame."""
    objects: Sequence[ObjectBundle]
    """The objects."""
    name: str
    """For the manifest."""


def collect(
    recordings: Sequence[CalibrationRecording],
    networks: NetworkBundle,
    out: Path,
    *,
    most: int = MOST_ROWS,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationSet:
    """Run over recordings and write a set.

    Args:
        recordings: What to run over.
        networks: The bundle to calibrate, in FP32.
        out: Folder of the set.
        most: Rows kept of each graph.
        force: Whether files that are not ours may lie beside the set.
        progress: Called with objects done and in all.

    Raises:
        InputError: No object could be registered, or what was captured is of no use.
        SceneError: A recording is unreadable.
        OutputError: The folder cannot be written.
    """
    recorder = Recorder()
    bundle = RecordingBundle.around(networks, recorder)
    has = networks.networks.keys()
    segmenter = Segmenter(bundle) if has >= set(NETWORKS) else None
    sharpener = (
        Sharpener(bundle.open(_SAM2[0]), bundle.open(_SAM2[1]), SharpenConfig()) if has >= set(_SAM2) else None
    )
    done, total, registered = 0, sum(len(r.objects) for r in recordings), 0
    for recording in recordings:
        for item, own in zip(recording.objects, labelled_objects(recording.scene, recording.objects), strict=True):
            registered += _ObjectRun(recording, item, own, bundle, segmenter, sharpener).run()
            done += 1
            if progress is not None:
                progress(done, total)
    if not registered:
        remedy = "give recordings with masks of these objects, or --synthetic"
        raise InputError(mismatch("calibration", f"{total} objects, none registered", "at least one", remedy))
    rows, sources = recorder.rows(most=most)
    hashes = {graph: networks.networks[graph].sha256 for graph in rows}
    return write_set(out, bundle=networks.name, rows=rows, sources=sources, onnx_sha256=hashes, force=force)


class _ObjectRun:
    """One object in one recording."""

    def __init__(
        self,
        recording: CalibrationRecording,
        item: ObjectBundle,
        own: LabelledObject,
        bundle: RecordingBundle,
        segmenter: Segmenter | None,
        sharpener: Sharpener | None,
    ) -> None:
        self._recording, self._item, self._own = recording, item, own
        self._bundle, self._segmenter, self._sharpener = bundle, segmenter, sharpener
        self._on_device = on_device = ObjectOnDevice(item)
        schedule = _REGISTER if bundle.tier == "nano" else _REGISTER_FULL
        if not scorer_of(bundle.networks):
            schedule = replace(schedule, network_weight=0.0)
        self._registrar = Registrar(on_device, bundle, config=schedule)
        refiner = PoseRefiner(on_device, bundle, batch=2)
        config = StepwiseTrackConfig(ask_network="always")
        self._tracker = StepwiseTracker(on_device, refiner, config=config)
        self._verifier = open_verifier(on_device, bundle)

    def run(self) -> bool:
        """Whether the object could be registered."""
        scene = self._recording.scene
        indices = {frame_id: self._own.masked_index(frame_id) for frame_id in scene.frame_ids}
        masked = {frame_id: index for frame_id, index in indices.items() if index is not None}
        if not masked:
            got, remedy = f"no mask of {self._item.object_id}", "give recordings with masks of the objects"
            raise SceneError(mismatch(scene.path / "mask_visib", got, "a mask for at least one image", remedy))
        first = min(masked)
        buffers = FrameBuffers(*scene.frame(first).size_px)
        embedding: TemplateEmbedding | None = None
        if self._segmenter is not None:
            self._label("encode")
            embedding = self._segmenter.encode_object(self._on_device)
        for frame_id in _spread([i for i in scene.frame_ids if i >= first]):
            frame = scene.frame(frame_id)
            buffers.upload(frame)
            if frame_id == first:
                self._label("register")
                try:
                    found = self._registrar.register(buffers, scene.mask_visib(first, masked[first]))
                except (MaskError, UnitError):
                    return False  # a speck or a wrong unit: no pose, nothing to calibrate on
                pose = found.T_cam_centre
                self._tracker.start(buffers, pose)
            else:
                self._label("track", pose)
                pose = self._tracker.update(buffers).T_cam_centre
            if self._segmenter is not None and embedding is not None:
                self._label("search", pose)
                self._segmenter.segment(self._segmenter.encode_image(frame), embedding)
            if self._sharpener is not None and frame_id in masked:
                self._label("sharpen", pose)
                self._sharpener.encode_image(frame.rgb)
                self._sharpener.sharpen(scene.mask_visib(frame_id, masked[frame_id]))
            if self._verifier is not None:
                self._label("verify", pose)
                self._verifier.remember(buffers, pose)
                self._verifier.verify(buffers, pose)
                beside = pose.copy()
                beside[0, 3] += _BESIDE * self._item.diameter_m
                self._label("verify lost", beside)
                self._verifier.verify(buffers, beside)
        return True

    def _label(self, state: str, pose: Float64 | None = None) -> None:
        """Say where the rows that follow come from."""
        self._bundle.recorder.source = RowSource(
            scene=self._recording.name,
            object_id=self._item.object_id,
            state=state,
            distance_m=None if pose is None else round(float(np.linalg.norm(pose[:3, 3])), 3),
        )


def _spread(ids: Sequence[int]) -> list[int]:
    """The first frame, and some spread evenly over the others: a long recording is seen from beginning to end."""
    if len(ids) == 1:
        return list(ids)
    places = np.unique(np.linspace(1, len(ids) - 1, _TRACKED_FRAMES).astype(int))
    return list(dict.fromkeys([ids[0], *(ids[k] for k in places)]))
