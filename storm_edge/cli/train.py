"""`storm-edge train`: the nano networks, one of them or all, on synthetic data; or a full one on a user's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.choices import LengthUnit, Network
from storm_edge.cli.console import progress_bars
from storm_edge.cli.dataclass_options import takes
from storm_edge.cli.options import DeviceOption
from storm_edge.errors import BackendError, ConfigError, mismatch

if TYPE_CHECKING:
    from storm_edge.train.config import TrainConfig, TrainResult
    from storm_edge.train.full_config import FullTrainConfig

_FULL_ONLY = ("data", "held_out_data", "synthetic", "encoder", "random_encoder", "language", "layers")


class Tier(str, Enum):
    """Size of the network."""

    NANO = "nano"
    FULL = "full"


class Trained(str, Enum):
    """What is trained: a network by its name, or all."""

    REFINE = Network.REFINE.value
    SCORE = Network.SCORE.value
    SOM = Network.SOM.value
    TOM = Network.TOM.value
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of `storm-edge train`; sizes that are None are the device's own."""

    network: Annotated[
        Trained,
        typer.Argument(
            help="refine: a rendered and an observed crop to the correction of the pose. score: which of several "
            "hypotheses is best. som: which pixels show the object (an image counts as four pairs). tom: whether two "
            "crops show the same object (a group counts as eight pairs). all: the four of them, one after the other.",
            show_default=False,
        ),
    ]
    out: Annotated[
        Path, typer.Option(help="Folder for checkpoint, log, curves and result; of all, one folder for each in it.")
    ]
    device: DeviceOption = "cpu"
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps at most; 200000 where no --minutes are given.")
    ] = None
    minutes: Annotated[
        float | None,
        typer.Option(help="Wall-clock bound [min], resumes included; of all, for the four together."),
    ] = None
    models: Annotated[
        Path | None,
        typer.Option(
            help="Folder of your models: part of the training objects are drawn from it.", show_default=False
        ),
    ] = None
    unit: Annotated[LengthUnit, typer.Option(help="Unit of length of those models.")] = LengthUnit.MM
    batch: Annotated[int | None, typer.Option(help="Pairs per step and process; 64 on a CPU, 512 on CUDA.")] = None
    pool: Annotated[
        int | None,
        typer.Option(help="Pairs kept to train on; 8192 on a CPU, 65536 on CUDA if memory allows."),
    ] = None
    held_out: Annotated[
        int, typer.Option(min=1, help="Held-out pairs, or pictures of the full segmenter, that it is judged on.")
    ] = 512
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-8, help="Peak learning rate; 1e-3, of the full networks upstream's 2e-4 and 1e-4."),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that draw on a CPU while the network learns; 0, the default, draws in between, exactly "
            "reproducible. Of the full networks: threads that read ahead, the same items however many there are.",
        ),
    ] = None
    threads: Annotated[
        int | None, typer.Option(min=1, help="Torch threads per process on the CPU; all cores by default.")
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, pairs and augmentation.")] = 0
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in --out: with its checkpoint, or with what is left of all.")
    ] = False
    start_from: Annotated[
        Path | None,
        typer.Option(
            help="Where the weights start: a network bundle (nano, a folder, an ONNX file), or the checkpoint of "
            "another run, of which another network takes the trunk. Of the full networks a checkpoint, official or "
            "of a run."
        ),
    ] = None
    tier: Annotated[
        Tier, typer.Option(help="nano, or full: STORM's own som or tom, by its recipe, into its key layout.")
    ] = Tier.NANO
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="For --tier full: a folder of data prepare, or a BOP split beside render/ (som); a file or folder "
            "of data pairs (tom). May be given several times.",
            show_default=False,
        ),
    ] = None
    held_out_data: Annotated[
        list[Path] | None,
        typer.Option(help="The same to be judged by; every tenth picture or pair of --data where there is none."),
    ] = None
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="For som --tier full: generated pictures in place of --data.")
    ] = False
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="For --tier full: DINOv2 file, dinov2_vitb14_reg4_pretrain.pth (som) or dinov2_vits14_pretrain.pth "
            "(tom)."
        ),
    ] = None
    random_encoder: Annotated[
        bool, typer.Option("--random-encoder", help="For trials of --tier full: random weights in its place.")
    ] = False
    language: Annotated[
        bool, typer.Option("--language", help="For som --tier full: learn with descriptions (data describe).")
    ] = False
    layers: Annotated[
        int | None, typer.Option(min=1, help="For tom --tier full: transformer layers; 1, as the published file has.")
    ] = None


@takes(TrainOptions)
def command(options: TrainOptions) -> None:
    """Train the nano networks on synthetic data, or a full one. Under torchrun every process takes its own GPU."""
    try:
        from storm_edge.train.run import train
        from storm_edge.train.run_all import train_all
        from storm_edge.train.run_full import train_full
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "storm_edge":
            raise
        remedy = "pip install 'storm-edge[train]'"
        raise BackendError(mismatch("training", f"no module '{error.name}'", "the training extra", remedy)) from error
    full = _full_config(options) if options.tier is Tier.FULL else None
    with progress_bars() as report:
        if full is not None:
            results = [train_full(full, report=report)]
        elif options.network is Trained.ALL:
            results = list(train_all(_config(options), report=report).values())
        else:
            results = [train(_config(options), report=report)]
    if os.environ.get("RANK", "0") != "0":  # the first of several processes speaks for all
        return
    if not results:
        typer.echo(f"{options.out}: all networks are finished")
    for result in results:
        typer.echo(_line(result))


def _config(options: TrainOptions) -> TrainConfig:
    from storm_edge.generator.config import GeneratorConfig, PoolConfig
    from storm_edge.train.config import TrainConfig

    given = dict(vars(options))
    for name in _FULL_ONLY:
        if given.pop(name):
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(
                mismatch(option, "--tier nano", "--tier full", f"leave {option} out or add --tier full")
            )
    del given["tier"]
    if given["learning_rate"] is None:
        del given["learning_rate"]
    network, models, unit = (given.pop(name) for name in ("network", "models", "unit"))
    first = Network.REFINE if network is Trained.ALL else Network(network.value)
    generator = GeneratorConfig(pool=PoolConfig(folder=models, folder_unit=unit))
    return TrainConfig(network=first, generator=generator, **given)


def _full_config(options: TrainOptions) -> FullTrainConfig:
    from storm_edge.generator.config import GeneratorConfig, PoolConfig
    from storm_edge.train.full_config import full_config

    given = dict(vars(options))
    if options.network is Trained.ALL:
        raise ConfigError(mismatch("--tier full", "all", "som or tom", "train one at a time"))
    if options.pool is not None:
        raise ConfigError(mismatch("--pool", "--tier full", "--tier nano", "leave it out: nothing is pooled"))
    del given["tier"], given["pool"]
    network, models, unit, out = (given.pop(name) for name in ("network", "models", "unit", "out"))
    if models is not None and not options.synthetic:
        remedy = "add --synthetic, or leave it out"
        raise ConfigError(mismatch("--models", "--data", "--synthetic, which draws objects of them", remedy))
    for name in ("data", "held_out_data"):
        given[name] = tuple(given[name] or ())
    generator = GeneratorConfig(pool=PoolConfig(folder=models, folder_unit=unit))
    return full_config(Network(network.value), out, generator=generator, **given)


def _line(result: TrainResult) -> str:
    figures = ", ".join(f"{name} {value:.4g}" for name, value in result.held_out.items())
    return f"{result.checkpoint}: {result.steps} steps in {result.elapsed_s / 60.0:.1f} min; held out: {figures}"
