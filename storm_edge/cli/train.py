"""`storm-edge train`: the nano networks, on synthetic pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storm_edge.errors import BackendError, mismatch

app = typer.Typer(help="Train the nano networks on synthetic data.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="Folder for checkpoint, log and result.", show_default=False)]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:<i>; torchrun gives every process its own GPU.")]
Steps = Annotated[int, typer.Option(min=1, help="Optimiser steps at most.")]
Minutes = Annotated[float | None, typer.Option(min=0.01, help="Wall-clock bound [min], resumes included.")]
Batch = Annotated[int, typer.Option(min=1, help="Pairs per step and process.")]
Rate = Annotated[float, typer.Option(min=1e-8, help="Peak learning rate.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that draw pairs; 0 is exactly reproducible and slower.")]
Threads = Annotated[int, typer.Option(min=1, help="Torch threads per process on the CPU.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of weights, pairs and augmentation.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")]
StartFrom = Annotated[Path | None, typer.Option(help="Checkpoint of another run to start the trunk from.")]


@app.command("refine")
def refine(
    out: Out,
    device: Device = "cpu",
    steps: Steps = 200_000,
    minutes: Minutes = None,
    batch: Batch = 64,
    learning_rate: Rate = 1e-3,
    workers: Workers = 1,
    threads: Threads = 1,
    seed: Seed = 0,
    resume: Resume = False,
    start_from: StartFrom = None,
) -> None:
    """Train RefineNet: from a rendered and an observed crop to the correction of the pose."""
    _train("refine", out, device, steps, minutes, batch, learning_rate, workers, threads, seed, resume, start_from)


@app.command("score")
def score(
    out: Out,
    device: Device = "cpu",
    steps: Steps = 200_000,
    minutes: Minutes = None,
    batch: Batch = 64,
    learning_rate: Rate = 1e-3,
    workers: Workers = 1,
    threads: Threads = 1,
    seed: Seed = 0,
    resume: Resume = False,
    start_from: StartFrom = None,
) -> None:
    """Train ScoreNet: which of several hypotheses is the best."""
    _train("score", out, device, steps, minutes, batch, learning_rate, workers, threads, seed, resume, start_from)


@app.command("som")
def som(
    out: Out,
    device: Device = "cpu",
    steps: Steps = 200_000,
    minutes: Minutes = None,
    batch: Batch = 64,
    learning_rate: Rate = 1e-3,
    workers: Workers = 1,
    threads: Threads = 1,
    seed: Seed = 0,
    resume: Resume = False,
    start_from: StartFrom = None,
) -> None:
    """Train the segmenter: which pixels show the object, told by views of it. A picture counts as four pairs."""
    _train("som", out, device, steps, minutes, batch, learning_rate, workers, threads, seed, resume, start_from)


@app.command("tom")
def tom(
    out: Out,
    device: Device = "cpu",
    steps: Steps = 200_000,
    minutes: Minutes = None,
    batch: Batch = 64,
    learning_rate: Rate = 1e-3,
    workers: Workers = 1,
    threads: Threads = 1,
    seed: Seed = 0,
    resume: Resume = False,
    start_from: StartFrom = None,
) -> None:
    """Train the verifier: do two crops show the same object. A group of eight crops counts as eight pairs."""
    _train("tom", out, device, steps, minutes, batch, learning_rate, workers, threads, seed, resume, start_from)


def _train(
    network: str,
    out: Path,
    device: str,
    steps: int,
    minutes: float | None,
    batch: int,
    learning_rate: float,
    workers: int,
    threads: int,
    seed: int,
    resume: bool,
    start_from: Path | None,
) -> None:
    try:
        from storm_edge.train.config import Network, TrainConfig
        from storm_edge.train.run import train
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "storm_edge":
            raise
        remedy = "pip install 'storm-edge[train]'"
        raise BackendError(mismatch("training", f"no module '{error.name}'", "the training extra", remedy)) from error
    result = train(
        TrainConfig(
            network=Network(network),
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
