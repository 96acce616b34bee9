"""`storm-edge track`: the loop over a recorded scene, or over all scenes of a dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.choices import ENGINE_FOLDER, Backend, Init, Schedule, TrackRules
from storm_edge.cli.config import open_config
from storm_edge.cli.console import end_now, progress_bars, say
from storm_edge.cli.dataset_run import (
    DatasetRequest,
    Frames,
    SceneTask,
    open_any_dataset,
    refuse_dataset_options,
    require_objects,
    run_dataset,
    run_settings,
)
from storm_edge.cli.inputs import open_instances, open_networks, open_recording
from storm_edge.cli.mask_source import MASKS_HELP, SOM, SourceOf, mask_segmenter, mask_source, said
from storm_edge.cli.options import (
    NANO,
    BackendOption,
    BundleOption,
    CameraOption,
    ConfigOfProfileOption,
    DeviceOption,
    EnginesOption,
    ForceOption,
    InstancesOption,
    LabelsOption,
    ObjectsOfAnyOption,
    Sam2Option,
    ScheduleOption,
    SetOption,
    ShardOption,
    SplitOption,
    TrackerOption,
    UnitOption,
)
from storm_edge.cli.schedules import check_and_say
from storm_edge.errors import ConfigError, mismatch
from storm_edge.result_folder import check_replaceable

if TYPE_CHECKING:
    from storm_edge.objects.bundle import ObjectBundle
    from storm_edge.replay.scene import Scene
    from storm_edge.replay.track_scene import SceneRun


def command(
    scene: Annotated[
        Path,
        typer.Argument(
            help="BOP scene folder, a BOP dataset folder for all its scenes, or an MCAP file of storm-edge run.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write poses, summary and pictures to.", show_default=False)],
    objects: ObjectsOfAnyOption = None,
    instances: InstancesOption = 1,
    unit: UnitOption = None,
    init: Annotated[
        Init,
        typer.Option(
            help="First pose: found by the model alone, by the mask of the first frame that has one, or its label."
        ),
    ] = Init.AUTO,
    labels: LabelsOption = None,
    camera: CameraOption = None,
    bundle: BundleOption = NANO,
    sam2: Sam2Option = False,
    device: DeviceOption = "cpu",
    backend: BackendOption = Backend.ONNXRUNTIME,
    engines: EnginesOption = ENGINE_FOLDER,
    tracker: TrackerOption = None,
    pictures: Annotated[bool, typer.Option(help="Draw overlays and a video.")] = True,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Play the scene as a camera would, at so many frames per second: frames that come while another is "
            "worked on are passed over, and searches run beside them. By default every frame is tracked.",
            show_default=False,
        ),
    ] = None,
    rules: Annotated[
        TrackRules,
        typer.Option(
            help="By whose rules a pose is believed and an object found again: ours, or those of STORM's evaluation "
            "(schedule foundationpose where none is named), which needs a full bundle and --masks."
        ),
    ] = TrackRules.OURS,
    masks: Annotated[str | None, typer.Option(help=f"With --rules storm: {MASKS_HELP}", show_default=False)] = None,
    schedule: ScheduleOption = None,
    profile: ConfigOfProfileOption = None,
    settings: SetOption = None,
    split: SplitOption = None,
    shard: ShardOption = None,
    force: ForceOption = False,
) -> None:
    """Register objects in a recorded scene, or in all of a dataset, and follow them to its end."""
    from storm_edge.bop.dataset import is_dataset
    from storm_edge.bop.scene import BopScene
    from storm_edge.kernels.device import require_device
    from storm_edge.live.factory import make_segmenter
    from storm_edge.live.schedules import with_sam2
    from storm_edge.replay.pacing import NOMINAL_HZ, Pacer
    from storm_edge.replay.result_kinds import TRACK
    from storm_edge.replay.track_scene import TrackSceneHooks, TrackSceneOptions, track_scene

    # All that can be refused is refused before the work begins.
    whole = is_dataset(scene)
    if not whole:
        objects = require_objects(objects)
        refuse_dataset_options(split, shard)
        check_replaceable(out, TRACK, force=force, inputs=[scene, *objects, profile])
    is_storm = rules is TrackRules.STORM
    _check_rules(masks, is_storm=is_storm, others=init is not Init.AUTO or tracker is not None or rate is not None)
    if is_storm and profile is None:
        schedule = schedule or Schedule.FOUNDATIONPOSE
    config = open_config(profile, settings, schedule=schedule, bundle=bundle)
    if tracker is not None:
        config = replace(config, session=replace(config.session, tracker=tracker))
    require_device(device)
    Pacer(rate)  # refuses a rate that no camera has
    recording = None if whole else open_recording(scene, labels, camera)
    networks = open_networks(bundle, backend=backend, engines=engines, device=device)
    check_and_say(with_sam2(config) if sam2 else config, networks, device=device)
    options = TrackSceneOptions(
        init=init,
        device=device,
        config=config,
        sam2=sam2,
        pictures=pictures,
        rate_hz=NOMINAL_HZ if rate is None else rate,
        paced=rate is not None,
        force=force,
    )
    source: SourceOf | None = None
    if is_storm and masks is not None:
        by = mask_segmenter(networks, config, sam2=sam2, device=device) if masks == SOM else None
        source = mask_source(masks, open_any_dataset(scene, split, shard), by, objects or [], device)

    def do(played: Scene, paths: list[Path], bundles: list[ObjectBundle], place: Path, progress: Frames) -> SceneRun:
        hooks = TrackSceneHooks(progress=progress, on_hang=end_now)
        chosen = options
        if source is not None and isinstance(played, BopScene):  # open_any_dataset refuses all else
            name = played.path.resolve().name
            task = SceneTask(scene=played, name=name, paths=paths, bundles=bundles, out=place, progress=progress)
            chosen = replace(options, storm_masks=source(task))
        return track_scene(played, bundles, networks, place, chosen, hooks=hooks, paths=paths)

    if recording is None:
        request = DatasetRequest(
            path=scene,
            out=out,
            split=split,
            shard=shard,
            objects=objects or [],
            unit=unit,
            labels=labels,
            camera=camera,
            as_upstream=config.as_upstream,
        )
        choices = run_settings(config, networks, init=init.value, sam2=sam2, rate=rate, pictures=pictures)
        choices |= {"rules": rules.value, "masks": None if masks is None else said(masks)}
        segmenter = make_segmenter(networks, config=config.segment, sam2=sam2, device=device)

        def do_scene(task: SceneTask) -> str:
            return describe(do(task.scene, task.paths, task.bundles, task.out, task.progress))

        run_dataset(request, TRACK, choices, do_scene, segmenter=segmenter, networks=networks)
        return
    with progress_bars() as report:
        named = require_objects(objects)
        paths, bundles = open_instances(named, instances, unit, as_upstream=config.as_upstream, report=report)
        run = do(recording, paths, bundles, out, lambda done, total: report("track", done / total))
    typer.echo(describe(run))
    if rate is not None:
        for name in never_found(run):
            say(
                f"{name}: the scene ended, at {rate:g} frames per second, before a search for it did; a search takes"
                " up to 2 s of a free core. Without --rate frames wait for it"
            )


def _check_rules(masks: str | None, *, is_storm: bool, others: bool) -> None:
    """Refuse options that do not go with the rules.

    Raises:
        ConfigError: Masks are lacking or of no use; or options of our rules are given for STORM's.
    """
    if is_storm and masks is None:
        remedy = "give --masks som, gt, a folder of storm-edge segment or a .json of detections"
        raise ConfigError(mismatch("--rules storm", "no masks", "--masks", remedy))
    if not is_storm and masks is not None:
        remedy = "leave it out, or add --rules storm; --init mask begins with the masks of the scene"
        raise ConfigError(mismatch("--masks", masks, "nothing by our own rules", remedy))
    if is_storm and others:
        got, expected = "--init, --tracker or --rate", "none of them: STORM's rules have their own"
        raise ConfigError(mismatch("--rules storm", got, expected, "leave them out"))


def describe(run: SceneRun) -> str:
    """A line per object: its states and how long a frame took; one of how they were followed, and of odd frames."""
    from storm_edge.live.track_report import TrackState
    from storm_edge.percentiles import percentiles
    from storm_edge.replay.summary import describe_engines, describe_frames, describe_tracker

    lines = []
    for name in dict.fromkeys(track.object_id for track in run.tracks):
        mine = [track for track in run.tracks if track.object_id == name]
        counts = {state: sum(track.state is state for track in mine) for state in TrackState}
        states = ", ".join(f"{state.value} {count}" for state, count in counts.items() if count)
        spent = percentiles([track.total_ms for track in mine if "track" in track.latency_ms])
        times = f"; track p50 {spent['p50']:.1f} ms, p99 {spent['p99']:.1f} ms" if spent else ""
        lines.append(f"{run.folder}: {name}, {len(mine)} frames: {states}{times}")
    lines.append(f"{run.folder}: {describe_tracker(run.summary['tracker'])}")
    lines.append(f"{run.folder}: {describe_engines(run.summary['engines'])}")
    frames = describe_frames(run.summary["faults"]["frames"])
    if frames is not None:
        lines.append(f"{run.folder}: {frames}")
    skipped = run.summary["skipped_frames"]
    if skipped:
        lines.append(f"{run.folder}: {skipped} frames came while another was worked on and were passed over")
    return "\n".join(lines)


def never_found(run: SceneRun) -> list[str]:
    """Objects that a run was still looking for when the scene ended, and of which it never had a pose."""
    names = dict.fromkeys(track.object_id for track in run.tracks)
    posed = {track.object_id for track in run.tracks if track.T_cam_obj is not None}
    return [name for name in names if name not in posed]
