"""`storm-edge demo`: a rendered recording with a full occlusion; the object is found, followed, lost, found again."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.choices import ENGINE_FOLDER, Backend, Init
from storm_edge.cli.config import open_config
from storm_edge.cli.console import print_table, progress_bars
from storm_edge.cli.inputs import open_networks
from storm_edge.cli.options import (
    NANO,
    BackendOption,
    BundleOption,
    DeviceOption,
    EnginesOption,
    ForceOption,
    SetOption,
)
from storm_edge.cli.schedules import check_and_say
from storm_edge.result_folder import check_replaceable

if TYPE_CHECKING:
    from rich.table import Table

    from storm_edge.bop.scene import BopScene
    from storm_edge.evaluate.pose_evaluation import PoseEvaluation
    from storm_edge.live.track_report import Track
    from storm_edge.objects.bundle import ObjectBundle


def command(
    out: Annotated[Path, typer.Option(help="Folder to write poses, summary and pictures to.")] = Path("out"),
    bundle: BundleOption = NANO,
    device: DeviceOption = "cpu",
    backend: BackendOption = Backend.ONNXRUNTIME,
    engines: EnginesOption = ENGINE_FOLDER,
    settings: SetOption = None,
    force: ForceOption = False,
) -> None:
    """Render a recording of a mug that is moved and hidden, find and track it, and show how well that went."""
    from storm_edge.bop.scene import BopScene
    from storm_edge.kernels.device import require_device
    from storm_edge.objects.onboard import onboard
    from storm_edge.replay.drawing.plots import plot_run
    from storm_edge.replay.drawing.run_images import SHEET, VIDEO
    from storm_edge.replay.result_kinds import DEMO, PLOT, SCENE
    from storm_edge.replay.track_scene import TrackSceneHooks, TrackSceneOptions, track_scene
    from storm_edge.synthetic.demo import write_demo

    check_replaceable(out, DEMO, force=force)
    config = open_config(None, settings, bundle=bundle)
    require_device(device)
    networks = open_networks(bundle, backend=backend, engines=engines, device=device)
    check_and_say(config, networks, device=device)
    with tempfile.TemporaryDirectory() as temporary, progress_bars() as report:
        report("render", 0.0)
        write_demo(Path(temporary) / "scene")
        report("render", 1.0)
        scene = BopScene(Path(temporary) / "scene")
        model = next(scene.models_dir.glob("*.ply"))
        thing = onboard(model, "mm", progress=report)
        evaluations: list[PoseEvaluation] = []

        def finish(folder: Path, tracks: Sequence[Track]) -> None:
            evaluations.extend(_judge(scene, tracks, thing))
            plot_run(
                folder / PLOT,
                tracks,
                title=f"storm-edge demo: {bundle} on {device}",
                errors_m={"ADD": {j.frame_id: j.add_m for j in evaluations}}
                | {"ADD-S": {j.frame_id: j.add_s_m for j in evaluations}},
                limit_m=0.1 * thing.diameter_m,
            )
            shutil.move(scene.path, folder / SCENE)

        run = track_scene(
            scene,
            [thing],
            networks,
            out,
            TrackSceneOptions(init=Init.AUTO, device=device, config=config, kind=DEMO, force=force),
            hooks=TrackSceneHooks(progress=lambda done, total: report("track", done / total), finish=finish),
        )
    print_table(_table(run.tracks, evaluations))
    typer.echo(f"{out / SHEET}, {out / VIDEO}, {out / PLOT}, {out / SCENE}")
    typer.echo("\nthe same by hand; then with a model and a scene of your own:")
    for line in _next_commands(out, model.name):
        typer.echo(f"  {line}")


def _next_commands(out: Path, model: str) -> list[str]:
    """The three commands that do by hand what the demo did, to be typed as they are; results beside ``out``."""
    from storm_edge.replay.result_kinds import SCENE

    scene, thing, result, report = out / SCENE, out.parent / "mug", out.parent / "result", out.parent / "report"
    options = (
        ("onboard", scene / "models" / model, "--unit", "mm", "--out", thing),
        ("track", scene, "--object", thing, "--out", result),
        ("eval", "tracking", result, "--scene", scene, "--object", thing, "--out", report),
    )
    return [f"{_program()} {shlex.join(map(str, given))}" for given in options]


def _program() -> str:
    """How this program was started, so that it is found again: `.venv/bin/storm-edge`, or the bare name in a PATH."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m storm_edge"
    found = shutil.which(started.name)
    return started.name if found is not None and Path(found) == started else shlex.quote(str(started))


def _judge(scene: BopScene, tracks: Sequence[Track], thing: ObjectBundle) -> list[PoseEvaluation]:
    from storm_edge.evaluate.pose_evaluation import evaluate_scene
    from storm_edge.evaluate.predictions import Prediction

    predictions = [
        Prediction(frame_id=t.frame, object_id=t.object_id, T_cam_obj=t.T_cam_obj, score=t.confidence) for t in tracks
    ]
    return evaluate_scene(scene, predictions, [thing])


def _table(tracks: Sequence[Track], evaluations: Sequence[PoseEvaluation]) -> Table:
    """A row per state: frames, error and time."""
    from statistics import median

    from rich.table import Table

    from storm_edge.live.track_report import TrackState
    from storm_edge.percentiles import percentiles

    add_s_m = {j.frame_id: j.add_s_m for j in evaluations}
    table = Table(
        title=f"storm-edge demo: {tracks[0].object_id}, {len(tracks)} frames", title_justify="left", show_edge=False
    )
    table.add_column("state")
    for heading in ("frames", "ADD-S median", "ADD-S worst", "latency p50", "latency p99"):
        table.add_column(heading, justify="right")
    for state in TrackState:
        mine = [track for track in tracks if track.state is state]
        if not mine:
            continue
        errors_mm = [add_s_m[t.frame] * 1e3 for t in mine if t.T_cam_obj is not None and t.frame in add_s_m]
        spent = percentiles([track.total_ms for track in mine])
        table.add_row(
            state.value,
            str(len(mine)),
            f"{median(errors_mm):.1f} mm" if errors_mm else "-",
            f"{max(errors_mm):.1f} mm" if errors_mm else "-",
            f"{spent['p50']:.1f} ms",
            f"{spent['p99']:.1f} ms",
        )
    return table
