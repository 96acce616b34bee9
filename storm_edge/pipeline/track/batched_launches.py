"""What the device does in one step of `pipeline.track.batched`: launches only, from the picture to the sums.

Nothing here allocates after construction, reads anything back, or waits, so that all of it may be captured; only an
engine that takes no stream is waited for on CUDA, and cannot be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import warp as wp
from numpy.typing import NDArray

from storm_edge.engines.contract import Engine
from storm_edge.engines.launch_counts import note_launches
from storm_edge.frame import Frame
from storm_edge.kernels import agreement as ag
from storm_edge.kernels import evidence as ev
from storm_edge.kernels.device import Device, WpArray
from storm_edge.kernels.graph_recording import GraphRecording
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.pose_update import update_poses
from storm_edge.kernels.staging import Staging
from storm_edge.pipeline.inputs.config import InputPreset
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.inputs.network_inputs import PairInputs
from storm_edge.pipeline.refine.config import GeometricStep
from storm_edge.pipeline.refine.descent import Descents
from storm_edge.pipeline.refine.judge import PoseJudge
from storm_edge.pipeline.track.config import BatchedTrackConfig

Float64 = NDArray[np.float64]


class StagedFrame(FrameBuffers):
    """A `FrameBuffers` filled by one copy of one block: picture, intrinsics, and the poses to start from.

    Args:
        height: Rows of the images [px].
        width: Columns of the images [px].
        start_count: Poses that come with the picture.
        device: Warp device.
        zero_copy: See `kernels.staging`.

    Attributes:
        starts: The poses on the device, ``(start_count,)`` mat44f.
        starts_host: The same on the host, ``(start_count, 4, 4)`` float32, for the next `send`.
    """

    def __init__(self, height: int, width: int, *, start_count: int, device: Device, zero_copy: bool = False) -> None:
        self._staging = Staging(
            {
                "rgb": (wp.uint8, (height, width, 3)),  # fixed: RGB
                "depth": (wp.float32, (height, width)),
                "K": (wp.mat33d, (1,)),
                "starts": (wp.mat44f, (start_count,)),
            },
            device,
            zero_copy=zero_copy,
        )
        there, host = self._staging.there, self._staging.host
        super().__init__(height, width, device, images=(there["rgb"], there["depth"], there["K"]))
        self.K = host["K"][0]
        self.K[:] = np.eye(3)
        self.starts: WpArray = there["starts"]
        self.starts_host: NDArray[np.float32] = host["starts"]

    def write(self, frame: Frame) -> None:
        """Put a picture into the host's half; what was sent before must have arrived.

        Raises:
            FrameError: The frame has another size than these buffers.
        """
        self._check_size(frame)
        np.copyto(self._staging.host["rgb"], frame.rgb)
        np.copyto(self._staging.host["depth"], frame.depth_m)
        np.copyto(self.K, frame.K)

    def send(self) -> None:
        """Bring the host's half to the device. Enqueues only."""
        self.forget_filtered()
        self._staging.send()

    def upload(self, frame: Frame) -> None:
        """`write` and `send`."""
        self.write(frame)
        self.send()


def is_capturable(engine: Engine) -> bool:
    """Whether an engine enqueues on the stream it is given and nowhere else: it then has a true ``capturable``."""
    return bool(getattr(engine, "capturable", False))


@dataclass(frozen=True, kw_only=True)
class RefineNetwork:
    """RefineNet, opened, and what its crops are made by."""

    engine: Engine
    """The engine, not bound yet."""
    preset: InputPreset
    """Rules of the pictures."""
    size_px: int
    """Side of the pictures [px]."""
    iterations: int
    """Corrections per frame."""


class HasMesh(Protocol):
    """The part of `batched_object.BatchedObject` that RefineNet needs."""

    @property
    def mesh(self) -> MeshBuffers:
        """Its mesh, in its centred frame."""

    @property
    def diameter_m(self) -> float:
        """Its diameter [m]."""


class RefineLaunches:
    """RefineNet on one pose of each object, all objects in one batch.

    Args:
        objects: The objects.
        network: The network.
        stream: CUDA stream of the engine, None on a CPU.

    Attributes:
        poses: In: the poses to correct; out: the corrected poses; ``(N,)`` mat44f.
    """

    def __init__(self, objects: Sequence[HasMesh], network: RefineNetwork, *, stream: Any) -> None:
        meshes, diameters_m = [item.mesh for item in objects], [item.diameter_m for item in objects]
        count, size_px, device = len(meshes), network.size_px, meshes[0].device
        shape = (count, 6, size_px, size_px)
        rendered = wp.zeros(shape, dtype=wp.float32, device=device)
        observed = wp.zeros(shape, dtype=wp.float32, device=device)
        trans = wp.zeros(count, dtype=wp.vec3f, device=device)
        rot = wp.zeros(count, dtype=wp.vec3f, device=device)
        self.poses: WpArray = wp.zeros(count, dtype=wp.mat44f, device=device)
        self._network = network
        self._stream = stream
        self._must_wait = stream is not None and not is_capturable(network.engine)
        self._count = count
        rows = [slice(n, n + 1) for n in range(count)]
        self._pairs = [
            PairInputs(
                mesh,
                diameter_m=diameter_m,
                preset=network.preset,
                batch=1,
                size_px=size_px,
                tensors=(rendered[row], observed[row]),
            )
            for mesh, diameter_m, row in zip(meshes, diameters_m, rows, strict=True)
        ]
        self._rows = [
            (self.poses[row], trans[row], rot[row], diameter_m)
            for row, diameter_m in zip(rows, diameters_m, strict=True)
        ]
        network.engine.bind(
            {
                "rendered": rendered,
                "observed": observed,
                "trans": trans.view(wp.float32),
                "rot": rot.view(wp.float32),
            }
        )

    def note_launches(self, step_count: int) -> None:
        """Have the engine count the launches of so many steps, which it did not see."""
        note_launches(self._network.engine, step_count * self._network.iterations)

    def enqueue(self, frame: FrameBuffers) -> None:
        """All iterations. Enqueues only, if the engine does."""
        network = self._network
        if network.preset.depth_filter is not None:
            frame.filtered_depth(
                network.preset.depth_filter
            )  # all of it: where the windows are, only the device knows
        for _ in range(network.iterations):
            for pairs, (poses, *_) in zip(self._pairs, self._rows, strict=True):
                pairs.fill(frame, poses, 1)
            if self._must_wait:  # it runs on a stream of its own, and would read pictures that are still being made
                wp.synchronize_stream(self._stream)
            network.engine.launch(self._count, self._stream)
            for poses, trans, rot, diameter_m in self._rows:
                update_poses(poses, trans, rot, diameter_m=diameter_m, T_out=poses, count=1)


class ObjectLaunches:
    """Polish and judge the hypotheses of one object, and learn its colours.

    Args:
        descents: The poses and their evidence.
        judge: How far they are to be believed.
        hypothesis_count: Poses that are polished together.
        polish: Gauss-Newton steps.

    Attributes:
        descents: As given.
        judge: As given.
        hypothesis_count: As given.
    """

    def __init__(
        self, descents: Descents, judge: PoseJudge, *, hypothesis_count: int, polish: Sequence[GeometricStep]
    ) -> None:
        self.descents, self.judge, self.hypothesis_count = descents, judge, hypothesis_count
        self._polish = descents.schedule(polish)

    def enqueue(
        self, frame: FrameBuffers, sources: Sequence[tuple[WpArray, int]], results: Staging, first: int
    ) -> None:
        """Polish the hypotheses, judge where they end, and put both into the results. Enqueues only.

        Args:
            frame: The image.
            sources: Where each hypothesis begins: an array of poses and an index in it.
            results: As `result_staging` makes them.
            first: Row of the first hypothesis in the results.
        """
        launches, buffers, count = self.descents.separate, self.descents.buffers, self.hypothesis_count
        self.descents.attach(frame)
        for n, (poses, index) in enumerate(sources):
            wp.copy(buffers.poses, poses, dest_offset=n, src_offset=index, count=1)
        launches.find_views(count)
        for step in self._polish.steps:
            launches.step(count, step)
        launches.sum_evidence(count)
        self.judge.enqueue(frame, buffers.poses, count)
        for name, values, width in (
            ("poses", buffers.poses, 1),
            ("evidence", buffers.evidence, ev.SUM_COUNT),
            ("agreement", self.judge.sums_buffer, ag.SUM_COUNT),
        ):
            wp.copy(results.there[name], values, dest_offset=first * width, count=count * width)

    def enqueue_appearance_update(self, frame: FrameBuffers, pose: WpArray, rate: float) -> None:
        """Learn the colours at a pose ``(1,)`` mat44f on the device. Enqueues only."""
        self.descents.attach(frame)
        launches = self.descents.separate
        wp.copy(self.descents.buffers.poses, pose, count=1)
        launches.find_views(1)
        launches.sum_evidence(1)
        launches.learn(rate)


class HasLaunches(Protocol):
    """The part of `batched_object.BatchedObject` whose appearance is learned."""

    @property
    def launches(self) -> ObjectLaunches:
        """What a step does with it."""


class AppearanceLaunches:
    """Learns the appearance of objects at poses of the host, an object at a time: a launch sequence each.

    There is no network in it, so it is captured even where the step is not.

    Args:
        objects: The objects.
        frame: The image.
        config: How much is learned.
        stream: CUDA stream it runs on, None on a CPU.
        as_graph: Whether it is captured.

    Attributes:
        recordings: A launch sequence per object.
    """

    def __init__(
        self,
        objects: Sequence[HasLaunches],
        frame: StagedFrame,
        config: BatchedTrackConfig,
        *,
        stream: Any,
        as_graph: bool,
    ) -> None:
        form = {"pose": (wp.mat44f, (1,))}
        self._poses = [Staging(form, frame.device, zero_copy=config.zero_copy) for _ in objects]
        self._objects, self._frame, self._rate = objects, frame, config.geometry.learning_rate
        self.recordings = [GraphRecording(stream=stream, as_graph=as_graph) for _ in objects]

    def enqueue(self, index: int) -> None:
        """The launches of one object, at the pose that is in the host's half. Enqueues only."""
        staging = self._poses[index]
        staging.send()
        self._objects[index].launches.enqueue_appearance_update(self._frame, staging.there["pose"], self._rate)

    def run(self, index: int, T_cam_centre: Float64) -> None:
        """Learn the appearance of one object at a pose ``(4, 4)``. Enqueues only."""
        self._poses[index].host["pose"][0] = T_cam_centre
        self.recordings[index].run(partial(self.enqueue, index))


def result_staging(row_count: int, device: Device, *, zero_copy: bool) -> Staging:
    """What comes back: ``poses``, ``evidence`` sums and ``agreement`` sums of ``row_count`` hypotheses."""
    return Staging(
        {
            "poses": (wp.mat44f, (row_count,)),
            "evidence": (wp.float32, (row_count, ev.SUM_COUNT)),
            "agreement": (wp.float32, (row_count, ag.SUM_COUNT)),
        },
        device,
        zero_copy=zero_copy,
    )
