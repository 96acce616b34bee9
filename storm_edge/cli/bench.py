"""`storm-edge bench`: how long it takes on this machine, and what two such records differ in."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from storm_edge.choices import ENGINE_FOLDER, Backend, BenchMode
from storm_edge.cli.config import open_config
from storm_edge.cli.console import Report, print_table, progress_bars, say
from storm_edge.cli.dataclass_options import takes
from storm_edge.cli.inputs import open_networks, open_object, open_profile, open_scene
from storm_edge.cli.options import (
    NANO,
    NO_NETWORKS,
    ForceOption,
    LabelsOption,
    ScheduleOption,
    SetOption,
    TrackerOption,
    UnitOption,
)
from storm_edge.cli.schedules import check_and_say
from storm_edge.errors import ConfigError, mismatch
from storm_edge.result_folder import check_replaceable

if TYPE_CHECKING:
    from storm_edge.bench.plan import BenchPlan
    from storm_edge.bench.recording import Recording
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.live.profile import MachineProfile
    from storm_edge.objects.bundle import ObjectBundle


class _RunsByDefault(TyperGroup):
    """A group whose first word may be left out: what is no subcommand goes to ``run``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "-h", "--help"):
            args = ["run", *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


app = typer.Typer(
    cls=_RunsByDefault,
    rich_markup_mode=None,
    help="Time the loop on this machine (`run`, the word may be left out), or compare two records.",
)


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Options of `storm-edge bench run`; what is None is the profile's, or depends on the mode."""

    out: Annotated[Path, typer.Option(help="Folder to write bench.json and bench.png to.", show_default=False)]
    scene: Annotated[
        Path | None, typer.Argument(help="BOP scene folder; by default the demo's scene, rendered on the spot.")
    ] = None
    thing: Annotated[
        Path | None, typer.Option("--object", help="Object bundle or model file.", show_default=False)
    ] = None
    unit: UnitOption = None
    labels: LabelsOption = None
    mode: Annotated[BenchMode, typer.Option(help="What is timed.")] = BenchMode.TRACK
    frames: Annotated[int | None, typer.Option(help="Frames that are timed; some by mode if not given.")] = None
    warm_up: Annotated[int | None, typer.Option(help="Frames before them; some by mode if not given.")] = None
    rate: Annotated[
        float | None, typer.Option(help="Play at this frame rate [Hz]; as fast as the loop can if not given.")
    ] = None
    profile: Annotated[
        Path | None,
        typer.Option(help="Machine profile whose device, bundle, rate and schedules are timed.", show_default=False),
    ] = None
    bundle: Annotated[
        str | None,
        typer.Option(
            help=f"Network bundle: a name or a folder; '{NO_NETWORKS}' runs on geometry alone. nano or the profile's."
        ),
    ] = None
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:<i>. cpu, or the profile's.", show_default=False)
    ] = None
    backend: Annotated[
        Backend | None,
        typer.Option(help="What runs the networks. onnxruntime, or the profile's.", show_default=False),
    ] = None
    engines: Annotated[
        Path | None, typer.Option(help="Folder of all built engines. engines, or the profile's.", show_default=False)
    ] = None
    tracker: TrackerOption = None
    schedule: ScheduleOption = None
    settings: SetOption = None
    as_json: Annotated[bool, typer.Option("--json", help="Print the record in place of the table.")] = False
    force: ForceOption = False

    def with_profile(self, machine: MachineProfile) -> BenchOptions:
        """With what was not given from the profile."""
        return replace(
            self,
            device=self.device or machine.device,
            bundle=self.bundle or machine.bundle,
            backend=self.backend or machine.backend,
            engines=self.engines or machine.engines,
            rate=machine.rate_hz if self.rate is None else self.rate,
        )


@app.command("run")
@takes(BenchOptions)
def run(options: BenchOptions) -> None:
    """Latency per stage and end to end, memory, and the state of the board, checked to be of right poses."""
    from storm_edge.bench.board import read_board
    from storm_edge.bench.report import BENCH, BENCHMARK, PLOT, make_record, write_bench
    from storm_edge.bench.runner import run_bench
    from storm_edge.bench.tables import bench_sentences, bench_table
    from storm_edge.live.profile import check_camera

    # All that can be refused is refused before the work begins.
    check_replaceable(
        options.out, BENCHMARK, force=options.force, inputs=[options.scene, options.thing, options.profile]
    )
    machine = None
    if options.profile is not None:
        machine = open_profile(
            options.profile, options.settings or [], schedule=options.schedule, bundle=options.bundle
        )
    options = options if machine is None else options.with_profile(machine)
    plan = _plan(options, machine)
    networks = _networks(options)
    check_and_say(plan.config, networks, device=plan.device, tracks=plan.mode.tracks)
    with progress_bars() as report:
        recording, item = _open(options, report)
        if machine is not None:
            check_camera(machine, recording.size_px)
        before = read_board()
        done = run_bench(recording, item, networks, plan, progress=lambda n, of: report("bench", n / of))
        after = read_board()
    record = make_record(done, board=(before, after), arguments=sys.argv[1:], profile=machine)
    write_bench(options.out, record, force=options.force)
    if options.as_json:
        typer.echo(json.dumps(record, indent=1))
        return
    print_table(bench_table(record))
    for line in bench_sentences(record):
        typer.echo(line)
    typer.echo(f"{options.out / BENCH}, {options.out / PLOT}")


def _networks(options: BenchOptions) -> NetworkBundle | None:
    """The network bundle, on a device that is there."""
    from storm_edge.kernels.device import require_device

    device = options.device or "cpu"
    require_device(device)
    backend, engines = options.backend or Backend.ONNXRUNTIME, options.engines or ENGINE_FOLDER
    return open_networks(options.bundle or NANO, backend=backend, engines=engines, device=device)


def _plan(options: BenchOptions, machine: MachineProfile | None) -> BenchPlan:
    """What is timed.

    Raises:
        ConfigError: Nothing can be timed that way.
    """
    from storm_edge.bench.plan import FRAME_COUNTS, WARM_UP_COUNTS, BenchPlan
    from storm_edge.replay.pacing import Pacer

    Pacer(options.rate)
    if machine is None:
        bundle = options.bundle or NANO
        config = open_config(None, options.settings, schedule=options.schedule, bundle=bundle)
    else:
        config = machine.config
    if options.tracker is not None:
        config = replace(config, session=replace(config.session, tracker=options.tracker))
    return BenchPlan(
        mode=options.mode,
        frame_count=FRAME_COUNTS[options.mode] if options.frames is None else options.frames,
        warm_up_count=WARM_UP_COUNTS[options.mode] if options.warm_up is None else options.warm_up,
        rate_hz=options.rate,
        device=options.device or "cpu",
        background_search=options.rate is not None if machine is None else machine.beside,
        config=config,
    )


def _open(options: BenchOptions, report: Report) -> tuple[Recording, ObjectBundle]:
    """The frames to play and the object in them."""
    from storm_edge.bench.recording import load_recording, write_demo_recording
    from storm_edge.bop.scene import BopScene
    from storm_edge.objects.onboard import onboard

    whole = options.mode is BenchMode.RECOVER
    scene, thing = options.scene, options.thing
    if (scene is None) != (thing is None):
        lacking = "SCENE" if scene is None else "--object"
        raise ConfigError(mismatch(lacking, "nothing", "both SCENE and --object, or neither", "give both"))
    with tempfile.TemporaryDirectory() as temporary:
        if scene is None or thing is None:
            report("render", 0.0)
            write_demo_recording(Path(temporary) / "demo", whole=whole)
            report("render", 1.0)
            recorded = BopScene(Path(temporary) / "demo")
            item = onboard(next(recorded.models_dir.glob("*.ply")), "mm", progress=report)
        else:
            recorded = open_scene(scene, options.labels)
            item = open_object(thing, options.unit, report=report)
        recording = load_recording(
            recorded,
            item,
            clear=not whole,
            masked=options.mode is BenchMode.REGISTER,
            progress=lambda n, of: report("load", n / of),
        )
    return recording, item


@app.command("compare")
def compare(
    before: Annotated[Path, typer.Argument(help="bench.json, or the folder that holds it.", show_default=False)],
    after: Annotated[Path, typer.Argument(help="The record to compare with it.", show_default=False)],
    force: Annotated[
        bool, typer.Option("--force", help="Compare records of different devices, networks or work, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Say which stages changed beyond the noise of either record, percentile by percentile.

    Judged by 99 % intervals of a block bootstrap over the stored samples, and at least 5 % and 0.05 ms.
    """
    from dataclasses import asdict

    from storm_edge.bench import compare as bench_compare
    from storm_edge.bench.stored_record import read_record
    from storm_edge.bench.tables import comparison_table

    found = bench_compare.compare(read_record(before), read_record(after), force=force)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
        return
    for difference in found.differences:
        say(f"the records differ: {difference}")
    print_table(comparison_table(found))
    for line in found.alone:
        typer.echo(line)
    judged = [change.verdict for change in found.changes]
    counts = {verdict: judged.count(verdict) for verdict in bench_compare.Verdict}
    typer.echo(", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count))
