"""Track a recorded scene and leave `poses.jsonl`, `summary.json`, BOP results and pictures in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from storm_edge.data.bop import BopScene
from storm_edge.data.bop_results import BopEstimate, write_bop_csv
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.files import whole_folder
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.runtime.assembly import make_loops
from storm_edge.runtime.object_loop import LoopConfig
from storm_edge.runtime.outputs import POSES, SUMMARY, PoseLog, Track, summarise, write_summary
from storm_edge.runtime.overlay import OverlayPainter, contact_sheet, write_picture
from storm_edge.runtime.sequence import Init, follow
from storm_edge.runtime.video import Video

OVERLAYS = "overlays"
VIDEO = "overlay.mp4"
SHEET = "overlay_sheet.png"
BOP_RESULTS = "bop_results.csv"
_SHEET_PICTURES = 12

Progress = Callable[[int, int], None]
Finish = Callable[[Path, Sequence[Track]], None]


@dataclass(frozen=True, kw_only=True)
class SceneRun:
    """What came out of a run."""

    tracks: list[Track]
    """Everything that was reported, frame by frame."""
    summary: dict[str, object]
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
    config: LoopConfig | None = None,
    sam2: bool = False,
    paths: Sequence[Path | None] | None = None,
    pictures: bool = True,
    rate_hz: float = 30.0,
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
        paths: Where each object came from, for what the segmenter keeps of it; see `assembly.make_loops`.
        pictures: Whether to draw overlays (PNG per frame, a contact sheet, a video).
        rate_hz: Frame rate of the video.
        progress: Called with frames done and frames in all.
        finish: Called with the folder and all tracks before the folder gets its name, to add to it.

    Raises:
        StormEdgeError: As `sequence.follow`; or the folder cannot be written.
    """
    with whole_folder(out, marker=SUMMARY) as folder:
        loops = make_loops(bundles, networks, config=config, device=device, sam2=sam2, paths=paths)
        tracks: list[Track] = []
        painter: OverlayPainter | None = None
        video: Video | None = None
        sheet = []
        step = max(1, -(-len(scene) // _SHEET_PICTURES))
        try:
            with PoseLog(folder / POSES) as log:
                for done, (frame, found) in enumerate(follow(scene, loops, init=init, device=device), start=1):
                    for track in found:
                        log.write(track)
                    tracks += found
                    if pictures:
                        if painter is None or video is None:
                            (folder / OVERLAYS).mkdir()
                            painter = OverlayPainter(bundles, frame.size_px)
                            video = Video(folder / VIDEO, frame.size_px, rate_hz=rate_hz)
                        picture = painter.paint(frame, found)
                        write_picture(folder / OVERLAYS / f"{frame.index:06d}.png", picture)
                        video.write(picture)
                        if (done - 1) % step == 0:
                            sheet.append(picture)
                    if progress is not None:
                        progress(done, len(scene))
        finally:
            if video is not None:
                video.close()
        if sheet:
            write_picture(folder / SHEET, contact_sheet(sheet))
        name = networks.name if networks is not None else "none"
        backend = None if networks is None else networks.backend.value
        summary = summarise(
            tracks, bundle=name, backend=backend, device=device, scene=scene.path.name, init=init.value
        )
        write_summary(folder / SUMMARY, summary)
        _write_bop_results(folder / BOP_RESULTS, scene, bundles, tracks)
        if finish is not None:
            finish(folder, tracks)
    return SceneRun(tracks=tracks, summary=summary, folder=out)


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
