"""Track 1..N objects without the host in between: one upload per frame, one sequence of launches, one read-back.

Where `pipeline.track.stepwise` asks after each stage what to do next, here the schedule is fixed: RefineNet corrects
the last pose of every object (all objects in one batch), then a few hypotheses per object go downhill together: what
the network said, the last pose, and the last motion continued. Each is judged where it ends, and the host picks the
one with the lowest residual. That costs more arithmetic than `pipeline.track.stepwise`, and no waiting; on CUDA the
whole step is one graph. On a CPU, where nothing is waited for anyway, `pipeline.track.stepwise` is the cheaper one.

A wide search is not part of the schedule. A frame in doubt may be given to `pipeline.track.stepwise`,
object by object, see `batched_object`; an object that is lost has to be found by others and started again.
Poses are of the centred mesh (``T_cam_centre``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineOptions
from storm_edge.engines.launch_counts import engine_kind
from storm_edge.errors import InputError, mismatch
from storm_edge.frame import Frame
from storm_edge.geometry.symmetry import nearest_symmetric
from storm_edge.kernels.graph_recording import GraphRecording
from storm_edge.kernels.streams import on_stream
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.pipeline.inputs.config import DEFAULT, PARITY
from storm_edge.pipeline.refine.alignment import fuse_terms
from storm_edge.pipeline.refine.judge import PoseScores, judge_sums
from storm_edge.pipeline.refine.motion import continued
from storm_edge.pipeline.refine.networks import PoseRefiner
from storm_edge.pipeline.track.batched_launches import (
    AppearanceLaunches,
    RefineLaunches,
    RefineNetwork,
    StagedFrame,
    is_capturable,
    result_staging,
)
from storm_edge.pipeline.track.batched_object import BatchedObject
from storm_edge.pipeline.track.confidence import colour_doubt, pose_confidence
from storm_edge.pipeline.track.config import BatchedTrackConfig, ConfidenceConfig, StepwiseTrackConfig
from storm_edge.pipeline.track.contract import TrackStep

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BatchedReport:
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


class BatchedTracker:
    """Follows N objects; all buffers are made here.

    Call `start` for an object where its pose is known, then `update` for every frame. An object that was not
    started, or was paused, is skipped: the device does its part on some pose and nobody reads it, so that a captured
    step stays what it is.

    Args:
        objects: The objects, all on one device, which is used; or those that other tracks followed, which go on as
            they were.
        networks: Bundle with RefineNet, or None to track by geometry alone.
        size_px: Height and width of the frames [px].
        config: The schedule.
        engine: RefineNet already open; by ``networks`` if not given. One that may be captured into a CUDA graph says
            so by a true attribute ``capturable``.
        options: Where and how an engine that is opened here runs.
        stream: CUDA stream of the lane; one is made if not given.

    Attributes:
        objects: What is followed.
        frame: The picture of the last step, for others to read; on CUDA it belongs to the lane's stream.
        report: How steps are run.

    Raises:
        InputError: No objects, a negative count, nothing that a step could do, or an object of another schedule.
    """

    def __init__(
        self,
        objects: Sequence[ObjectOnDevice | BatchedObject],
        networks: NetworkBundle | None,
        *,
        size_px: tuple[int, int],
        config: BatchedTrackConfig | None = None,
        engine: Engine | None = None,
        options: EngineOptions | None = None,
        stream: Any = None,
    ) -> None:
        self._config = config = config or BatchedTrackConfig()
        iterations = 0 if networks is None else config.network_iterations
        self._hypotheses = config.hypothesis_count(with_network=networks is not None)
        if not objects or self._hypotheses == 0:
            got = f"{len(objects)} objects, {iterations} iterations, {config.geometry_starts} starts"
            expected = "an object or more, and a network or 1 to 2 starts"
            raise InputError(mismatch("batched tracker", got, expected, "correct its configuration"))
        target = objects[0].device
        self._stream = (stream or wp.Stream(target)) if target.is_cuda else None
        self._device = target
        self._uses_network = iterations > 0
        self._stepped: Frame | None = None
        self._steps: list[TrackStep | None] = []
        self._starts = max(config.geometry_starts, 1)
        with self._lane():
            zero_copy = config.zero_copy
            self.objects = _made(objects, config, networks)
            count = len(self.objects)
            self.frame = StagedFrame(*size_px, start_count=count * self._starts, device=target, zero_copy=zero_copy)
            self._results = result_staging(count * self._hypotheses, target, zero_copy=zero_copy)
            self._refine: RefineLaunches | None = None
            if networks is not None and iterations > 0:
                engine = engine or networks.open("refine", options)
                network = RefineNetwork(
                    engine=engine,
                    preset=PARITY if networks.preset == "parity" else DEFAULT,
                    size_px=networks.size_px,
                    iterations=iterations,
                )
                self._refine = RefineLaunches(self.objects, network, stream=self._stream)
            launches = _launches(target.is_cuda, config.graph, engine if iterations > 0 else None)
            self._step = GraphRecording(stream=self._stream, as_graph=launches == "graph")
            self._learn = AppearanceLaunches(
                self.objects, self.frame, config, stream=self._stream, as_graph=target.is_cuda and config.graph
            )
        if target.is_cuda:
            wp.synchronize_device(target)  # objects may have been made on another stream
        self.report = BatchedReport(
            device=target.alias,
            launches=launches,
            uploads=_uploads(target.is_cuda, zero_copy),
            object_count=count,
            hypothesis_count=self._hypotheses,
            network_iterations=iterations,
        )

    def start(self, frame: Frame, T_cam_centre: ArrayLike, index: int = 0) -> TrackStep:
        """Begin object ``index`` at a pose ``(4, 4)`` that is known for this frame. Waits for the device.

        Raises:
            FrameError: The frame has another size than the buffers.
        """
        T = np.array(T_cam_centre, dtype=np.float64)
        item = self.objects[index]
        descents, judge = item.launches.descents, item.launches.judge
        with self._lane():
            self._wait()  # what was learned of the last frame reads buffers that are written now
            self.frame.upload(frame)
            descents.attach(self.frame)
            descents.put(T)
            launches = descents.separate
            launches.find_views(1)
            launches.sum_evidence(1)
            launches.learn(1.0)
            residual = float(fuse_terms(descents.evidence(1), colours_known=True).residual[0])
            judged = judge.judge(self.frame, T[None], mask=None)
        item.begin(T, residual)
        self._stepped = None
        doubt = self._colour_doubt(item, T, judged)
        return _track_step(T, residual, judged, doubt, self._config.confidence)

    def pause(self, index: int = 0) -> None:
        """Skip an object from now on, until it is started again."""
        self.objects[index].pause()

    def colour_log_odds(self, index: int = 0) -> NDArray[np.float32] | None:
        """What was learned of an object's colours, see `AppearanceModel.log_odds`; None before `start`. Waits."""
        with self._lane():
            return self.objects[index].colour_log_odds()

    def show(self, frame: Frame, *, is_sent: bool = False) -> None:
        """Put a picture into `frame`, as the next `update` would.

        Args:
            frame: The image.
            is_sent: Whether others read it on the device before that; it is there when this returns.

        Raises:
            FrameError: The frame has another size than the buffers.
        """
        with self._lane():
            if is_sent or self._config.zero_copy:
                self._wait()  # colours may still be learned of the last one
            self.frame.write(frame)
            if is_sent:
                self.frame.send()
                self._wait()

    def update(self, frame: Frame, *, is_written: bool = False) -> list[TrackStep | None]:
        """The pose of every object in the next frame; None for those that are skipped.

        Args:
            frame: The image.
            is_written: Whether `show` was given it already.

        Raises:
            InputError: Nobody was started.
            FrameError: The frame has another size than the buffers.
        """
        if not any(item.is_active for item in self.objects):
            remedy = "call start() with a registered pose"
            raise InputError(mismatch("batched tracker", "no pose of any object", "one to start from", remedy))
        if not is_written:
            self.show(frame)
        with self._lane():
            for index, item in enumerate(self.objects):
                starts = self.frame.starts_host[index * self._starts : (index + 1) * self._starts]
                starts[0] = item.last
                if self._starts > 1:
                    starts[1] = continued(item.last, item.before)
            self._run_step()
            self._wait()
            steps = [self._read(index, item) if item.is_active else None for index, item in enumerate(self.objects)]
        return [
            step if step is None else self._settled(item, step)
            for item, step in zip(self.objects, steps, strict=True)
        ]

    def step_of(self, frame: Frame, index: int) -> TrackStep | None:
        """What became of one object in a frame; `update` for all of them where nobody asked about this frame yet."""
        if self._stepped is not frame:
            self._steps = self.update(frame)
            self._stepped = frame
        return self._steps[index]

    def _run_step(self) -> None:
        """Run the step, and see to it that its engine counts what a graph launches."""
        was_captured = self._step.is_captured
        self._step.run(self._enqueue)
        if self._refine is not None and self._step.is_captured:
            # The first run of a graph launches once and captures once, which the engine takes for two launches.
            self._refine.note_launches(1 if was_captured else -1)

    def _enqueue(self) -> None:
        """One step of all objects, from the host's half of the frame to the host's half of the results."""
        self.frame.send()
        if self._refine is not None:
            for index in range(len(self.objects)):
                wp.copy(self._refine.poses, self.frame.starts, index, index * self._starts, 1)
            self._refine.enqueue(self.frame)
        for index, item in enumerate(self.objects):
            first = index * self._starts
            sources = [(self.frame.starts, first + n) for n in range(self._config.geometry_starts)]
            if self._refine is not None:
                sources.insert(0, (self._refine.poses, index))
            item.launches.enqueue(self.frame, sources, self._results, index * self._hypotheses)
        self._results.fetch()

    def _read(self, index: int, item: BatchedObject) -> TrackStep:
        """Pick a hypothesis; where it is not in doubt, have its colours learned: that runs on while nobody waits."""
        rows = slice(index * self._hypotheses, (index + 1) * self._hypotheses)
        poses = self._results.host["poses"][rows].astype(np.float64)
        evidence = fuse_terms(self._results.host["evidence"][rows].astype(np.float64), colours_known=True)
        usable = np.isfinite(poses).all(axis=(1, 2)) & (poses[:, 2, 3] > 0.0) & np.isfinite(evidence.residual)
        used = self._uses_network
        if used and not usable[0]:
            item.non_finite_count += 1
        if not usable.any():
            return TrackStep(
                T_cam_centre=item.last, confidence=0.0, residual=1.0, network_used=used, is_non_finite=True
            )
        best = int(np.argmin(np.where(usable, evidence.residual, np.inf)))
        residual = float(evidence.residual[best])
        pose = nearest_symmetric(poses[best], item.last, item.bundle.symmetries)
        uses_fallback = item.has_fallback and item.geometry.baseline.is_doubtful(residual)
        if item.geometry.baseline.is_trusted(residual) and not uses_fallback:
            self._learn.run(index, pose)
            item.geometry.baseline.update(residual)
        sums = self._results.host["agreement"][rows][best : best + 1]
        judged = judge_sums(sums, None, colour_weight=self._config.judge.colour_weight)
        doubt = self._colour_doubt(item, pose, judged)
        step = _track_step(pose, residual, judged, doubt, self._config.confidence)
        return replace(step, network_used=used, is_non_finite=not usable.all())

    def _settled(self, item: BatchedObject, step: TrackStep) -> TrackStep:
        """The step, or what the stepwise tracker makes of a doubtful one; from there the next frame goes on."""
        if item.has_fallback and item.geometry.baseline.is_doubtful(step.residual):
            self._wait()
            again = item.track_stepwise(self.frame)
            if self._stream is not None:  # it used the device's own stream, which the next step does not wait for
                wp.synchronize_stream(wp.get_stream(self._device))
            if again.residual <= step.residual:
                used, is_non_finite = (
                    again.network_used or step.network_used,
                    again.is_non_finite or step.is_non_finite,
                )
                step = replace(again, network_used=used, is_non_finite=is_non_finite)
        item.move(step.T_cam_centre)
        return step

    def _colour_doubt(self, item: BatchedObject, pose: Float64, judged: PoseScores) -> Float64:
        noise_share = item.launches.judge.noise_share(pose[2, 3])
        return colour_doubt(judged.colour_angle, noise_share, config=self._config.confidence)

    def _lane(self) -> AbstractContextManager[Any]:
        """The lane's stream as the current one."""
        return on_stream(self._stream)

    def _wait(self) -> None:
        if self._stream is not None:
            wp.synchronize_stream(self._stream)


def _track_step(
    pose: Float64, residual: float, judged: PoseScores, doubt: Float64, config: ConfidenceConfig
) -> TrackStep:
    """What is believed of a pose ``(4, 4)``; no network was asked."""
    confidence = pose_confidence(judged.visible, residual, judged.occluded, config=config, colour_doubt=doubt)
    return TrackStep(
        T_cam_centre=pose,
        confidence=float(confidence[0]),
        residual=residual,
        network_used=False,
        visible=float(judged.visible[0]),
        is_non_finite=False,
    )


def _made(
    objects: Sequence[ObjectOnDevice | BatchedObject], config: BatchedTrackConfig, networks: NetworkBundle | None
) -> tuple[BatchedObject, ...]:
    """The objects, made where they are not yet.

    Raises:
        InputError: One was made for another schedule.
    """
    made = tuple(item if isinstance(item, BatchedObject) else make_object(item, config, networks) for item in objects)
    wanted = config.hypothesis_count(with_network=networks is not None)
    counts = [item.launches.hypothesis_count for item in made]
    if any(count != wanted for count in counts):
        remedy = "make the objects with this configuration"
        raise InputError(mismatch("batched tracker", f"hypotheses {counts}", f"{wanted} each", remedy))
    return made


def make_object(
    item: ObjectOnDevice,
    config: BatchedTrackConfig,
    networks: NetworkBundle | None,
    *,
    fallback: StepwiseTrackConfig | None = None,
    network: PoseRefiner | None = None,
) -> BatchedObject:
    """An object for tracks of this configuration and bundle; see `BatchedObject` for the rest."""
    return BatchedObject(
        item,
        config,
        hypothesis_count=config.hypothesis_count(with_network=networks is not None),
        fallback=fallback,
        network=network,
    )


def _launches(on_cuda: bool, wanted: bool, engine: Engine | None) -> str:
    if not on_cuda:
        return "eager: graphs are for CUDA"
    if not wanted:
        return "eager: the configuration says so"
    if engine is not None and not is_capturable(engine):
        return f"eager: {engine_kind(engine)} cannot be captured"
    return "graph"


def _uploads(on_cuda: bool, zero_copy: bool) -> str:
    if not on_cuda:
        return "written in place"
    return "read from pinned memory" if zero_copy else "one copy from pinned memory"
