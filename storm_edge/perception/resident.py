"""Track 1..N objects without the host in between: one upload per frame, one sequence of launches, one read-back.

Where `perception.track` asks after each stage what to do next, here the schedule is fixed: RefineNet corrects the
last pose of every object (all objects in one batch), then a few hypotheses per object go downhill together: what the
network said, the last pose, and the last motion continued. Each is judged where it ends, and the host picks the one
with the lowest residual. That costs more arithmetic than `perception.track`, and no waiting; on CUDA the whole step
is one graph. On a CPU, where nothing is waited for anyway, `perception.track` is the cheaper one.

A wide search is not part of the schedule: an object that is lost has to be found by others and started again.
Poses are of the centred mesh (``T_cam_centre``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.onnx_runtime import OrtOptions
from storm_edge.engines.spec import Engine
from storm_edge.errors import InputError, bad
from storm_edge.frames import Frame
from storm_edge.geometry.se3 import make_T
from storm_edge.geometry.symmetry import nearest_symmetric
from storm_edge.kernels.device import require_device
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.recording import Recording
from storm_edge.kernels.staging import Staging
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.perception.geometric import GeometricConfig, weigh
from storm_edge.perception.inputs import DEFAULT, PARITY
from storm_edge.perception.judge import JudgeConfig, Judgement, judge_sums
from storm_edge.perception.resident_launches import (
    ObjectLaunches,
    RefineLaunches,
    RefineNetwork,
    StagedFrame,
    is_capturable,
    result_staging,
)
from storm_edge.perception.track import TrackStep
from storm_edge.perception.trust import trust

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ResidentConfig:
    """The schedule of a step."""

    network_iterations: int = 1
    """RefineNet iterations per frame; 0 leaves the network out."""
    geometry_starts: int = 2
    """Hypotheses beside the network's: 1 is the last pose, 2 the last motion continued as well. 0 is for a network
    that is always right."""
    geometry: GeometricConfig = field(default_factory=GeometricConfig)
    """Its ``narrow`` steps are the polish; limits, learning rates and margins of trust are read too."""
    judge: JudgeConfig = field(default_factory=lambda: JudgeConfig(size_px=48))
    """How poses are judged for their confidence."""
    graph: bool = True
    """Whether a step becomes a CUDA graph where device and engine allow it; see `ResidentReport` for what became."""
    zero_copy: bool = False
    """Whether a GPU reads frames from the host's memory: for GPUs that share it, see `kernels.staging`."""


@dataclass(frozen=True, kw_only=True)
class ResidentReport:
    """How steps are run."""

    device: str
    """Warp name of the device."""
    launches: str
    """``graph``, or ``eager`` with the reason."""
    uploads: str
    """How frames get to the device."""
    object_count: int
    """Objects per step."""
    hypothesis_count: int
    """Hypotheses per object."""
    network_iterations: int
    """RefineNet iterations per step."""


@dataclass(kw_only=True)
class _Memory:
    """What the host keeps of one object."""

    last: Float64
    before: Float64
    usual: float


class ResidentTracks:
    """Follows N objects; all buffers are made here.

    Call `start` for every object, then `update` for every frame.

    Args:
        bundles: The onboarded objects.
        networks: Bundle with RefineNet, or None to track by geometry alone.
        size_px: Height and width of the frames [px].
        config: The schedule.
        engine: RefineNet already open, not bound; by ``networks`` if not given. One that may be captured into a CUDA
            graph says so by a true attribute ``capturable``.
        options: Where and how an engine that is opened here runs.
        device: Warp device name.
        stream: CUDA stream of the lane; one is made if not given.

    Attributes:
        frame: The picture of the last step, for others to read; on CUDA it belongs to the lane's stream.
        report: How steps are run.

    Raises:
        InputError: No objects, a negative count, or nothing that a step could do.
    """

    def __init__(
        self,
        bundles: Sequence[ObjectBundle],
        networks: NetworkBundle | None,
        *,
        size_px: tuple[int, int],
        config: ResidentConfig | None = None,
        engine: Engine | None = None,
        options: OrtOptions | None = None,
        device: str = "cpu",
        stream: Any = None,
    ) -> None:
        self._config = config = config or ResidentConfig()
        iterations = 0 if networks is None else config.network_iterations
        self._hypotheses = (1 if iterations > 0 else 0) + config.geometry_starts
        if not bundles or iterations < 0 or config.geometry_starts not in (0, 1, 2) or self._hypotheses == 0:
            got = f"{len(bundles)} objects, {iterations} iterations, {config.geometry_starts} starts"
            expected = "an object or more, and a network or 1 to 2 starts"
            raise InputError(bad("resident tracker", got, expected, "correct its configuration"))
        target = require_device(device)
        self._stream = (stream or wp.Stream(target)) if target.is_cuda else None
        self._bundles = list(bundles)
        self._memories: list[_Memory | None] = [None] * len(bundles)
        self._uses_network = iterations > 0
        self._starts = max(config.geometry_starts, 1)
        with self._lane():
            zero_copy = config.zero_copy
            self.frame = StagedFrame(
                *size_px, start_count=len(bundles) * self._starts, device=target, zero_copy=zero_copy
            )
            self._results = result_staging(len(bundles) * self._hypotheses, target, zero_copy=zero_copy)
            meshes = [MeshBuffers.from_mesh(bundle.mesh_lod, target) for bundle in bundles]
            self._objects = [
                ObjectLaunches(
                    bundle,
                    mesh,
                    hypothesis_count=self._hypotheses,
                    polish=config.geometry.narrow,
                    occlusion_m=config.geometry.occlusion_m,
                    gate_m=config.geometry.gate_m,
                    judge=config.judge,
                )
                for bundle, mesh in zip(bundles, meshes, strict=True)
            ]
            self._refine: RefineLaunches | None = None
            if networks is not None and iterations > 0:
                network = RefineNetwork(
                    engine=engine or networks.open("refine", options),
                    preset=PARITY if networks.preset == "parity" else DEFAULT,
                    size_px=networks.size_px,
                    iterations=iterations,
                )
                diameters_m = [bundle.diameter_m for bundle in bundles]
                self._refine = RefineLaunches(meshes, diameters_m, network, stream=self._stream)
                engine = network.engine
            launches = _launches(target.is_cuda, config.graph, engine if iterations > 0 else None)
            as_graph = launches == "graph"
            self._step = Recording(self._enqueue, stream=self._stream, as_graph=as_graph)
            self._learned = [Staging({"pose": (wp.mat44f, (1,))}, target, zero_copy=zero_copy) for _ in self._objects]
            # Learning has no network in it, so it is captured even where the step is not.
            self._learn = [
                Recording(learning, stream=self._stream, as_graph=target.is_cuda and config.graph)
                for learning in map(self._learning, range(len(bundles)))
            ]
            self._wait()
        self.report = ResidentReport(
            device=target.alias,
            launches=launches,
            uploads=_uploads(target.is_cuda, zero_copy),
            object_count=len(bundles),
            hypothesis_count=self._hypotheses,
            network_iterations=iterations,
        )

    def start(self, frame: Frame, T_cam_centre: ArrayLike, index: int = 0) -> TrackStep:
        """Begin object ``index`` at a pose ``(4, 4)`` that is known for this frame. Waits for the device.

        Raises:
            FrameError: The frame has another size than the buffers.
        """
        T = np.array(T_cam_centre, dtype=np.float64)
        descents, judge = self._objects[index].descents, self._objects[index].judge
        with self._lane():
            self._wait()  # what was learned of the last frame reads buffers that are written now
            self.frame.upload(frame)
            descents.attach(self.frame)
            descents.place(T)
            descents.learn(1.0)
            residual = float(weigh(descents.evidence(), colours_known=True).residual[0])
            judged = judge.judge(self.frame, T[None], mask=None)
        self._memories[index] = _Memory(last=T, before=T, usual=residual)
        return _track_step(T, residual, judged, network_used=False)

    def colour_log_odds(self, index: int = 0) -> NDArray[np.float32] | None:
        """What was learned of an object's colours, see `nearby.nearby_mask`; None before `start`. Waits."""
        with self._lane():
            descents = self._objects[index].descents
            return descents.log_odds() if descents.colours_known else None

    def update(self, frame: Frame) -> list[TrackStep]:
        """The pose of every object in the next frame.

        Raises:
            InputError: Somebody was not started.
            FrameError: The frame has another size than the buffers.
        """
        memories = [memory for memory in self._memories if memory is not None]
        if len(memories) < len(self._memories):
            missing = [index for index, memory in enumerate(self._memories) if memory is None]
            raise InputError(f"resident tracker: no pose for objects {missing}; call start() with a registered pose")
        self.frame.write(frame)
        for index, memory in enumerate(memories):
            starts = self.frame.starts_host[index * self._starts : (index + 1) * self._starts]
            starts[0] = memory.last
            if self._starts > 1:
                starts[1] = continued(memory.last, memory.before)
        with self._lane():
            self._step.run()
            self._wait()
            return [self._read(index, memory) for index, memory in enumerate(memories)]

    def _enqueue(self) -> None:
        """One step of all objects, from the host's half of the frame to the host's half of the results."""
        self.frame.send()
        if self._refine is not None:
            for index in range(len(self._objects)):
                wp.copy(self._refine.poses, self.frame.starts, index, index * self._starts, 1)
            self._refine.enqueue(self.frame)
        for index, launches in enumerate(self._objects):
            first = index * self._starts
            sources = [(self.frame.starts, first + n) for n in range(self._config.geometry_starts)]
            if self._refine is not None:
                sources.insert(0, (self._refine.poses, index))
            launches.enqueue(self.frame, sources, self._results, index * self._hypotheses)
        self._results.fetch()

    def _learning(self, index: int) -> Any:
        def enqueue() -> None:
            staging = self._learned[index]
            staging.send()
            rate = self._config.geometry.learning_rate
            self._objects[index].enqueue_learning(self.frame, staging.there["pose"], rate)

        return enqueue

    def _read(self, index: int, memory: _Memory) -> TrackStep:
        """Pick a hypothesis, and have its colours learned where it is trusted: that runs on while nobody waits."""
        geometry = self._config.geometry
        rows = slice(index * self._hypotheses, (index + 1) * self._hypotheses)
        poses = self._results.host["poses"][rows].astype(np.float64)
        evidence = weigh(self._results.host["evidence"][rows].astype(np.float64), colours_known=True)
        usable = np.isfinite(poses).all(axis=(1, 2)) & (poses[:, 2, 3] > 0.0) & np.isfinite(evidence.residual)
        if not usable.any():
            memory.before = memory.last
            used = self._uses_network
            return TrackStep(T_cam_centre=memory.last, confidence=0.0, residual=1.0, network_used=used, faulty=True)
        best = int(np.argmin(np.where(usable, evidence.residual, np.inf)))
        residual = float(evidence.residual[best])
        pose = nearest_symmetric(poses[best], memory.last, self._bundles[index].symmetries)
        if residual <= max(memory.usual + geometry.trust_margin, geometry.trust_below):
            self._learned[index].host["pose"][0] = pose
            self._learn[index].run()
            memory.usual += geometry.usual_rates[residual > memory.usual] * (residual - memory.usual)
        memory.last, memory.before = pose, memory.last
        sums = self._results.host["agreement"][rows][best : best + 1]
        judged = judge_sums(sums, None, colour_weight=self._config.judge.colour_weight)
        faulty = not usable.all()
        return _track_step(pose, residual, judged, network_used=self._uses_network, faulty=faulty)

    def _lane(self) -> AbstractContextManager[Any]:
        """The lane's stream as the current one."""
        return nullcontext() if self._stream is None else wp.ScopedStream(self._stream, sync_enter=False)

    def _wait(self) -> None:
        if self._stream is not None:
            wp.synchronize_stream(self._stream)


def continued(T_last: Float64, T_before: Float64) -> Float64:
    """The last motion once more: turn about the object's centre, and shift; the last of `geometric.motion_starts`."""
    R = T_last[:3, :3] @ T_before[:3, :3].T @ T_last[:3, :3]
    return make_T(R, 2.0 * T_last[:3, 3] - T_before[:3, 3])


def _track_step(
    pose: Float64, residual: float, judged: Judgement, *, network_used: bool, faulty: bool = False
) -> TrackStep:
    return TrackStep(
        T_cam_centre=pose,
        confidence=float(trust(judged.visible, residual, judged.occluded)[0]),
        residual=residual,
        network_used=network_used,
        faulty=faulty,
    )


def _launches(on_cuda: bool, wanted: bool, engine: Engine | None) -> str:
    if not on_cuda:
        return "eager: graphs are for CUDA"
    if not wanted:
        return "eager: the configuration says so"
    if engine is not None and not is_capturable(engine):
        return f"eager: {type(engine).__name__} cannot be captured"
    return "graph"


def _uploads(on_cuda: bool, zero_copy: bool) -> str:
    if not on_cuda:
        return "written in place"
    return "read from pinned memory" if zero_copy else "one copy from pinned memory"
