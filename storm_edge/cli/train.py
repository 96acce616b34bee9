"""`storm-edge train`: one of the nano networks, on synthetic data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storm_edge.choices import Network
from storm_edge.cli.options import DeviceOption
from storm_edge.errors import BackendError, mismatch


def command(
    network: Annotated[
        Network,
        typer.Argument(
            help="refine: a rendered and an observed crop to the correction of the pose. score: which of several "
            "hypotheses is best. som: which pixels show the object (an image counts as four pairs). tom: whether two "
            "crops show the same object (a group counts as eight pairs).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log and result.", show_default=False)],
    device: DeviceOption = "cpu",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps at most.")] = 200_000,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Wall-clock bound [min], resumes included.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pairs per step and process.")] = 64,
    learning_rate: Annotated[float, typer.Option(min=1e-8, help="Peak learning rate.")] = 1e-3,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that draw pairs; 0 is exactly reproducible and slower.")
    ] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Torch threads per process on the CPU.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, pairs and augmentation.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    start_from: Annotated[
        Path | None, typer.Option(help="Checkpoint of another run to start the trunk from.")
    ] = None,
) -> None:
    """Train a nano network on synthetic data. Under torchrun every process takes its own GPU."""
    try:
        from storm_edge.train.config import TrainConfig
        from storm_edge.train.run import train
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "storm_edge":
            raise
        remedy = "pip install 'storm-edge[train]'"
        raise BackendError(mismatch("training", f"no module '{error.name}'", "the training extra", remedy)) from error
    result = train(
        TrainConfig(
            network=network,
            out=out,
            steps=steps,
            minutes=minutes,
            batch=batch,
            learning_rate=learning_rate,
            workers=workers,
            threads=threads,
            seed=seed,
            device=device,
            resume=resume,
            start_from=start_from,
        )
    )
    figures = ", ".join(f"{name} {value:.4g}" for name, value in result.held_out.items())
    typer.echo(f"{result.checkpoint}: {result.steps} steps in {result.elapsed_s / 60.0:.1f} min; held out: {figures}")
