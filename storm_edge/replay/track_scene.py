"""Track a recorded scene and leave `poses.jsonl`, `summary.json`, BOP results and images in a folder.

A run that a device, an engine, an input, Ctrl-C or SIGTERM ends leaves the poses that it has up to there, and
`summary.json` says why it ended. Such a result replaces no older one: it goes to ``OUT.partial`` then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storm_edge.bop.results import BopEstimate, write_bop_csv
from storm_edge.choices import Init
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import RunFault, StormEdgeError
from storm_edge.frame import Frame
from storm_edge.interruption import Interruption
from storm_edge.kernels.host_threads import launching_on
from storm_edge.live.config import StormConfig
from storm_edge.live.factory import make_object_sessions, streams_of
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.object_session import ObjectSession
from storm_edge.live.schedules import engines_report, with_sam2
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track, TrackState
from storm_edge.live.watchdog import Watchdog
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.instances import name_instances
from storm_edge.replay.drawing.run_images import RunImages
from storm_edge.replay.follow import follow
from storm_edge.replay.mask_sources import MaskSource
from storm_edge.replay.pacing import NOMINAL_HZ, Pacer
from storm_edge.replay.pose_log import POSES, PoseLog
from storm_edge.replay.result_kinds import BOP_RESULTS, TRACK
from storm_edge.replay.scale_hints import MissedObject, scale_hints
from storm_edge.replay.scene import Scene
from storm_edge.replay.storm_rules import StormSession
from storm_edge.replay.summary import SUMMARY, summarise, write_summary
from storm_edge.result_folder import ResultFolder
from storm_edge.result_kind import ResultKind
from storm_edge.thread_limit import usable_threads

_LOG = logging.getLogger(__name__)

OnHang = Callable[[RunFault], None]
Followed = tuple[Frame, list[Track]]


@dataclass(frozen=True, kw_only=True)
class TrackSceneOptions:
    """How a scene is tracked."""

    init: Init = Init.AUTO
    """Where first poses come from."""
    device: str = "cpu"
    """``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``."""
    config: StormConfig = field(default_factory=StormConfig)
    """Schedules and thresholds."""
    sam2: bool = False
    """Whether SAM2 sharpens the masks of a search."""
    pictures: bool = True
    """Whether to draw overlays (PNG per frame, a contact sheet, a video)."""
    rate_hz: float = NOMINAL_HZ
    """Frame rate of the video, and of the recording where it is paced [Hz]."""
    paced: bool = False
    """Whether frames come as from a camera: those that come while another is worked on are passed over, and searches
    run on a lane beside the frames."""
    storm_masks: MaskSource | None = None
    """STORM's own rules (`storm_rules`) with masks from here; our rules where None."""
    kind: ResultKind = TRACK
    """Whose result it is."""
    force: bool = False
    """Whether files that are not ours may lie in the result folder; they are kept."""


@dataclass(frozen=True, kw_only=True)
class TrackSceneHooks:
    """Who is told what during a run."""

    progress: Callable[[int, int], None] | None = None
    """Called with frames done and frames in all."""
    on_hang: OnHang | None = None
    """Told, on another thread, of a stage that does not come back; without it no watchdog runs."""
    finish: Callable[[Path, Sequence[Track]], None] | None = None
    """Called with the folder and all tracks before the folder gets its name, to add to it."""


@dataclass(frozen=True, kw_only=True)
class SceneRun:
    """What came out of a run."""

    tracks: list[Track]
    """Everything that was reported, frame by frame."""
    summary: dict[str, Any]
    """The content of `summary.json`."""
    folder: Path
    """Where it lies."""


def track_scene(
    scene: Scene,
    bundles: Sequence[ObjectBundle],
    networks: NetworkBundle | None,
    out: Path,
    options: TrackSceneOptions | None = None,
    *,
    hooks: TrackSceneHooks | None = None,
    paths: Sequence[Path | None] | None = None,
) -> SceneRun:
    """Follow ``bundles`` through ``scene``; the folder ``out`` appears when all is written.

    Args:
        scene: The recording.
        bundles: Objects to follow; several of one model are instances, each of which is followed once.
        networks: The network bundle; None runs on geometry alone.
        out: Result folder; an older result there is replaced by one that did not end early.
        options: How; the defaults find the objects by their models, on the CPU.
        hooks: Who is told what.
        paths: Folder of each object's bundle, where its template embeddings are stored; None for none.

    Raises:
        RunFault: A lane failed for good; the folder is there, with all up to then.
        KeyboardInterrupt: Ctrl-C, likewise; where no frame was done there is no folder.
        StormEdgeError: As `follow.follow`; the folder is there if it has a pose. Or the folder cannot be written.
    """
    options, hooks = options or TrackSceneOptions(), hooks or TrackSceneHooks()
    bundles = name_instances(bundles)
    launched_before = {} if networks is None else networks.launch_counts.by_network()
    result = ResultFolder(out, options.kind, force=options.force)
    with Interruption() as signals, result, ExitStack() as stack:
        folder = result.folder
        watchdog = None
        if hooks.on_hang is not None:
            watchdog = stack.enter_context(Watchdog(_with_folder(hooks.on_hang, folder), options.config.watchdog))
        pacer = Pacer(options.rate_hz, count=len(scene)) if options.paced else None
        reported = _Reported(signals)
        session: Session | StormSession
        if options.storm_masks is None:
            session, objects = _open(stack, bundles, networks, options, paths, watchdog)
            followed = follow(scene, session, init=options.init, pacer=pacer, watchdog=watchdog)
        else:
            session, objects = _open_storm(bundles, networks, options, options.storm_masks), []
            followed = session.follow(scene)
        images = None
        if options.pictures:
            images = stack.enter_context(RunImages(folder, bundles, len(scene), rate_hz=options.rate_hz))
        _write_poses(folder / POSES, scene, followed, images, reported, paced=options.paced, hooks=hooks)
        hints = []
        if reported.ended_by is None:
            with launching_on(usable_threads(options.config.search_threads)):
                hints = scale_hints(
                    _missed(reported, objects, is_paced=options.paced),
                    reported.last_frame,
                    options.config.register.scale,
                    device=options.device,
                    is_stopped=lambda: signals.is_asked,
                )
        result.complete = reported.ended_by is None
        summary = summarise(
            reported.tracks,
            made_by=options.kind.made_by,
            bundle=networks.name if networks is not None else "none",
            backend=None if networks is None else networks.backend.value,
            device=options.device,
            scene=scene.path.name,
            init=options.init.value if options.storm_masks is None else "masks",
            tracker=session.tracker,
            engines=engines_report(
                with_sam2(options.config) if options.sam2 else options.config,
                networks,
                device=options.device,
                before=launched_before,
            ),
            faults=session.faults,
            remarks=[*session.remarks, *hints],
            skipped_frames=0 if pacer is None else pacer.skipped,
            ended_by=reported.ended_by,
        )
        write_summary(folder / SUMMARY, summary)
        _write_bop_results(folder / BOP_RESULTS, scene, bundles, reported.tracks)
        if hooks.finish is not None:
            hooks.finish(folder, reported.tracks)
        if signals.is_asked or (reported.fault is not None and result.place() != out):
            _LOG.warning("what there is of %s frames is in %s", summary["frame_count"], result.place())
    if reported.fault is not None:
        raise reported.fault
    return SceneRun(tracks=reported.tracks, summary=summary, folder=out)


def _open(
    stack: ExitStack,
    bundles: Sequence[ObjectBundle],
    networks: NetworkBundle | None,
    options: TrackSceneOptions,
    paths: Sequence[Path | None] | None,
    watchdog: Watchdog | None,
) -> tuple[Session, list[ObjectSession]]:
    """The session and its objects; a paced run has a background lane, which ends with ``stack``."""
    streams = streams_of(options.device, networks)
    lane = None
    if options.paced:
        made = BackgroundLane(options.config.lanes, stream=streams.background, gives_way=False)
        lane = stack.enter_context(made)
    objects = make_object_sessions(
        bundles, networks, config=options.config, device=options.device, lane=lane, sam2=options.sam2, paths=paths
    )
    session = Session(
        objects, config=options.config, device=options.device, lane=lane, watchdog=watchdog, stream=streams.track
    )
    return session, objects


def _open_storm(
    bundles: Sequence[ObjectBundle], networks: NetworkBundle | None, options: TrackSceneOptions, masks: MaskSource
) -> StormSession:
    return StormSession(bundles, networks, config=options.config, masks=masks, device=options.device)


class _Reported:
    """What a run has reported so far, and what ended it."""

    def __init__(self, signals: Interruption) -> None:
        self.signals = signals
        self.tracks: list[Track] = []
        self.fault: StormEdgeError | None = None
        self.last_frame: Frame | None = None

    @property
    def ended_by(self) -> str | None:
        """Why the run ended early; None where it did not."""
        return self.signals.ended_by if self.fault is None else str(self.fault)

    def of(self, followed: Iterator[Followed]) -> Iterator[Followed]:
        """The same frames and tracks, kept; a fault or a signal ends the iteration. Signals are held while a frame
        is with the caller, and afterwards.

        Raises:
            Stopped: A signal arrived before there was anything to keep.
            StormEdgeError: Something given is wrong, and there is no pose yet that could be lost.
        """
        try:
            for frame, found in self.signals.until_asked(followed):
                self.tracks += found
                self.last_frame = frame
                yield frame, found
        except StormEdgeError as fault:
            if not isinstance(fault, RunFault) and all(track.T_cam_obj is None for track in self.tracks):
                raise
            self.fault = fault


def _missed(reported: _Reported, objects: Sequence[ObjectSession], *, is_paced: bool) -> list[MissedObject]:
    """Objects that were never tracked; of a paced run their detectors are the background lane's."""
    tracked = {track.object_id for track in reported.tracks if track.state is TrackState.TRACKING}
    return [
        MissedObject(bundle=item.bundle, detector=None if is_paced else item.detector, outcome="never tracked")
        for item in objects
        if item.bundle.object_id not in tracked
    ]


def _write_poses(
    path: Path,
    scene: Scene,
    followed: Iterator[Followed],
    images: RunImages | None,
    reported: _Reported,
    *,
    paced: bool,
    hooks: TrackSceneHooks,
) -> None:
    """Log every pose and draw every frame; of a paced run after its end, since drawing takes longer than a frame."""
    later: list[tuple[int, list[Track]]] = []
    with PoseLog(path) as log:
        for done, (frame, found) in enumerate(reported.of(followed), start=1):
            for track in found:
                log.write(track)
            if images is not None and paced:
                later.append((frame.index, found))
            elif images is not None:
                images.add(frame, found)
            if hooks.progress is not None:
                hooks.progress(done, len(scene))
    if images is not None:
        for index, found in later:
            if reported.signals.is_asked:
                break
            images.add(scene.frame(index), found)
        images.write_sheet()


def _with_folder(on_hang: OnHang, folder: Path) -> OnHang:
    """Says, too, where what was written so far is: a folder that does not have its name yet."""
    return lambda fault: on_hang(RunFault(f"{fault}; what was written so far is in {folder}"))


def _write_bop_results(path: Path, scene: Scene, bundles: Sequence[ObjectBundle], tracks: Sequence[Track]) -> None:
    """The poses as a BOP result file, for objects whose name has a BOP number; no file where none has."""
    numbers = {bundle.object_id: bundle.bop_id for bundle in bundles}
    spent_ms: dict[int, float] = {}  # BOP counts the time of a whole image
    for track in tracks:
        spent_ms[track.frame] = spent_ms.get(track.frame, 0.0) + track.total_ms
    estimates = [
        BopEstimate(
            scene_id=int(scene.path.name) if scene.path.name.isdecimal() else 0,
            image_id=track.frame,
            object_id=number,
            score=track.confidence,
            T_cam_obj=track.T_cam_obj,
            time_s=spent_ms[track.frame] / 1e3,
        )
        for track in tracks
        if track.T_cam_obj is not None and (number := numbers[track.object_id]) is not None
    ]
    if estimates:
        write_bop_csv(path, estimates)
