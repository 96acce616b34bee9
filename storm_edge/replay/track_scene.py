"""Track a recorded scene and leave `poses.jsonl`, `summary.json`, BOP results and pictures in a folder.

A run that a device or an engine ends for good leaves what it has up to there, and `summary.json` says why it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.bop.results import BopEstimate, write_bop_csv
from storm_edge.bop.scene import BopScene
from storm_edge.choices import Init
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.errors import RunFault
from storm_edge.files import atomic_folder
from storm_edge.frame import Frame
from storm_edge.live.config import StormConfig, WatchdogConfig
from storm_edge.live.factory import make_object_sessions, streams_of
from storm_edge.live.lanes.background import BackgroundLane
from storm_edge.live.session import Session
from storm_edge.live.track_report import Track
from storm_edge.live.watchdog import Watchdog
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.replay.follow import follow
from storm_edge.replay.outputs import POSES, SUMMARY, PoseLog, summarise, write_summary
from storm_edge.replay.overlay import OverlayPainter, contact_sheet, write_picture
from storm_edge.replay.pacing import Pacer
from storm_edge.replay.video import Video

OVERLAYS = "overlays"
VIDEO = "overlay.mp4"
SHEET = "overlay_sheet.png"
BOP_RESULTS = "bop_results.csv"
_SHEET_PICTURES = 12

Progress = Callable[[int, int], None]
Finish = Callable[[Path, Sequence[Track]], None]
OnHang = Callable[[RunFault], None]
Followed = tuple[Frame, list[Track]]


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
    scene: BopScene,
    bundles: Sequence[ObjectBundle],
    networks: NetworkBundle | None,
    out: Path,
    *,
    init: Init = Init.MASK,
    device: str = "cpu",
    config: StormConfig | None = None,
    sam2: bool = False,
    paths: Sequence[Path | None] | None = None,
    pictures: bool = True,
    rate_hz: float = 30.0,
    paced: bool = False,
    on_hang: OnHang | None = None,
    hang_s: float = WatchdogConfig().hang_s,
    progress: Progress | None = None,
    finish: Finish | None = None,
) -> SceneRun:
    """Follow ``bundles`` through ``scene``; the folder ``out`` appears when all is written.

    Args:
        scene: The recording.
        bundles: Objects to follow.
        networks: The network bundle; None runs on geometry alone.
        out: Result folder; an older result there is replaced.
        init: Where first poses come from.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<i>"``.
        config: Schedules and thresholds.
        sam2: Whether SAM2 sharpens the masks of a search.
        paths: Where each object came from, for what the segmenter keeps of it; see `assembly.make_object_sessions`.
        pictures: Whether to draw overlays (PNG per frame, a contact sheet, a video).
        rate_hz: Frame rate of the video, and of the recording where it is paced.
        paced: Whether frames come as from a camera: those that come while another is worked on are passed over, and
            searches run on a lane beside the frames.
        on_hang: Told, on another thread, of a stage that does not come back; nobody looks on if None.
        hang_s: Time after which a stage hangs that came back before [s].
        progress: Called with frames done and frames in all.
        finish: Called with the folder and all tracks before the folder gets its name, to add to it.

    Raises:
        RunFault: A lane failed for good; the folder is there, with all up to then.
        StormEdgeError: As `sequence.follow`; or the folder cannot be written.
    """
    ended: RunFault | None = None
    with atomic_folder(out, marker=SUMMARY) as folder, ExitStack() as stack:
        streams = streams_of(device, networks)
        lane = stack.enter_context(BackgroundLane(stream=streams.beside)) if paced else None
        watchdog = None
        if on_hang is not None:
            watchdog = stack.enter_context(Watchdog(_telling(on_hang, folder), WatchdogConfig(hang_s=hang_s)))
        loops = make_object_sessions(
            bundles, networks, config=config, device=device, lane=lane, sam2=sam2, paths=paths
        )
        loop = Session(loops, device=device, lane=lane, watchdog=watchdog, stream=streams.track)
        pacer = Pacer(rate_hz, count=len(scene)) if paced else None
        followed = follow(scene, loop, init=init, pacer=pacer, watchdog=watchdog)
        tracks: list[Track] = []
        reasons: list[RunFault] = []
        painting = stack.enter_context(_Painting(folder, bundles, scene, rate_hz=rate_hz)) if pictures else None
        later: list[tuple[int, list[Track]]] = []
        with PoseLog(folder / POSES) as log:
            for done, (frame, found) in enumerate(_until_fault(followed, reasons), start=1):
                for track in found:
                    log.write(track)
                tracks += found
                if paced:  # a picture takes longer than a frame: the next ones would be passed over for it
                    later.append((frame.index, found))
                elif painting is not None:
                    painting.add(frame, found)
                if progress is not None:
                    progress(done, len(scene))
        if painting is not None:
            for index, found in later:
                painting.add(scene.frame(index), found)
            painting.finish()
        name = networks.name if networks is not None else "none"
        ended = reasons[0] if reasons else None
        summary = summarise(
            tracks,
            bundle=name,
            backend=None if networks is None else networks.backend.value,
            device=device,
            scene=scene.path.name,
            init=init.value,
            tracker=loop.tracker,
            faults=loop.faults,
            skipped_frames=0 if pacer is None else pacer.skipped,
            ended_by=None if ended is None else str(ended),
        )
        write_summary(folder / SUMMARY, summary)
        _write_bop_results(folder / BOP_RESULTS, scene, bundles, tracks)
        if finish is not None:
            finish(folder, tracks)
    if ended is not None:
        raise ended
    return SceneRun(tracks=tracks, summary=summary, folder=out)


class _Painting(AbstractContextManager["_Painting"]):
    """Overlays, one per frame, the video of them and a sheet of some."""

    def __init__(self, folder: Path, bundles: Sequence[ObjectBundle], scene: BopScene, *, rate_hz: float) -> None:
        self._folder, self._bundles, self._rate_hz = folder, bundles, rate_hz
        self._every = max(1, -(-len(scene) // _SHEET_PICTURES))
        self._painter: OverlayPainter | None = None
        self._video: Video | None = None
        self._sheet: list[NDArray[np.uint8]] = []
        self._count = 0

    def add(self, frame: Frame, tracks: Sequence[Track]) -> None:
        """Paint what is known at a frame."""
        if self._painter is None or self._video is None:
            (self._folder / OVERLAYS).mkdir()
            self._painter = OverlayPainter(self._bundles, frame.size_px)
            self._video = Video(self._folder / VIDEO, frame.size_px, rate_hz=self._rate_hz)
        picture = self._painter.paint(frame, tracks)
        write_picture(self._folder / OVERLAYS / f"{frame.index:06d}.png", picture)
        self._video.write(picture)
        if self._count % self._every == 0:
            self._sheet.append(picture)
        self._count += 1

    def finish(self) -> None:
        """Write the sheet."""
        if self._sheet:
            write_picture(self._folder / SHEET, contact_sheet(self._sheet))

    def __exit__(self, *error: object) -> None:
        if self._video is not None:
            self._video.close()


def _until_fault(followed: Iterator[Followed], reasons: list[RunFault]) -> Iterator[Followed]:
    """The same; a fault that ends the run ends the iteration, and is kept."""
    try:
        yield from followed
    except RunFault as fault:
        reasons.append(fault)


def _telling(on_hang: OnHang, folder: Path) -> OnHang:
    """Says, too, where what was written so far is: a folder that nobody gave its name yet."""
    return lambda fault: on_hang(RunFault(f"{fault}; what was written so far is in {folder}"))


def _write_bop_results(path: Path, scene: BopScene, bundles: Sequence[ObjectBundle], tracks: Sequence[Track]) -> None:
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
