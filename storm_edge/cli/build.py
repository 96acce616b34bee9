"""`storm-edge build`: exported networks to TensorRT engines, through the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storm_edge.choices import ENGINE_FOLDER, Backend, Precision
from storm_edge.cli.console import progress_bars, say
from storm_edge.errors import ConfigError, mismatch


def command(
    bundle: Annotated[Path, typer.Argument(help="Bundle of storm-edge export.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of all engines.")] = ENGINE_FOLDER,
    precision: Annotated[Precision, typer.Option(help="Graphs to build: fp32, fp16 or int8-fp16.")] = Precision.FP16,
    target: Annotated[
        str | None, typer.Option(help="Compute capability (sm86, sm87, sm89); this machine's GPU by default.")
    ] = None,
    backend: Annotated[
        Backend | None,
        typer.Option(help="TensorRT package: tensorrt or tensorrt_rtx. The one that is installed by default."),
    ] = None,
    workspace_mib: Annotated[int, typer.Option(min=16, help="Scratch memory a kernel may take [MiB].")] = 1024,
    check: Annotated[bool, typer.Option("--check", help="Say what is stale and why; build nothing.")] = False,
) -> None:
    """Build what is not built yet, or not from this. With --check, exit status 1 if anything is to be built."""
    from storm_edge.engines.backends.tensorrt.api import load_installed_builder, load_tensorrt
    from storm_edge.engines.backends.tensorrt.target import resolve_target
    from storm_edge.engines.bundle import NetworkBundle
    from storm_edge.engines.cache import CacheState, EngineCache
    from storm_edge.engines.cache_report import check_engine_report, write_engine_report
    from storm_edge.engines.exported_graphs import exported_graphs

    if backend is not None and not backend.runs_engines:
        expected = "tensorrt or tensorrt_rtx"
        raise ConfigError(mismatch("--backend", backend.value, expected, "name the package that builds engines"))
    if not precision.builds_engines:
        remedy = "build int8-fp16; int8 is for ONNX Runtime on a CPU"
        raise ConfigError(mismatch("--precision", precision.value, "fp32, fp16 or int8-fp16", remedy))
    graphs = exported_graphs(bundle, precision.value)
    cache = EngineCache(out, NetworkBundle.load(bundle).name)
    api = load_installed_builder() if backend is None else load_tensorrt(backend.value)
    board = resolve_target(api, target)
    if check:
        statuses = cache.check(graphs, api, board, workspace_mib=workspace_mib)
    else:
        check_engine_report(cache.root)
        with progress_bars() as report:
            statuses = cache.build(
                graphs,
                api,
                board,
                workspace_mib=workspace_mib,
                progress=report,
                waiting=lambda: say(f"{out}: another build of this bundle is running; waiting for it"),
            )
    for status in statuses:
        reason = f": {status.reason}" if status.reason else ""
        typer.echo(f"{status.key.graph:<16} {status.state.value}{reason}")
    behind = sum(status.state is not CacheState.FRESH for status in statuses)
    if check:
        typer.echo(f"{behind} of {len(statuses)} engines to build for {board.sm}, {api.flavour} {api.version}")
        raise typer.Exit(1 if behind else 0)
    report_page = write_engine_report(cache.root)
    made = f"{behind} engines built, {len(statuses) - behind} were fresh"
    typer.echo(f"{made}: {out}, for {board.sm}, {api.flavour} {api.version}; {report_page}")
