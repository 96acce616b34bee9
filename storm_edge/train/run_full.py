"""A training run of a full network behind ``storm-edge train som --tier full`` and ``train tom --tier full``.

    storm-edge train som --tier full --data prepared --encoder dinov2_vitb14_reg4_pretrain.pth --out runs/som
    torchrun --nproc-per-node 8 -m storm_edge train tom --tier full --data pairs --device cuda ...

The loop, its clock, log and checkpoints are those of the nano networks (`run`). Every process reads its own share of
the samples; gradients are averaged.
"""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch

from storm_edge.choices import Network
from storm_edge.errors import ConfigError, mismatch
from storm_edge.interruption import Interruption
from storm_edge.train.config import TrainResult
from storm_edge.train.epoch_items import EpochItems, Loader
from storm_edge.train.full_config import EPOCHS, FullTrainConfig
from storm_edge.train.full_items import (
    KeptViewTokens,
    ObjectNumbers,
    PairLoader,
    SomLoader,
    context_length,
    som_samples,
    tom_pairs,
)
from storm_edge.train.full_state import FullTrainState, held_out_batch
from storm_edge.train.full_synthetic import SyntheticItems
from storm_edge.train.loop import Loop, LoopParts, Report
from storm_edge.train.no_room import no_room
from storm_edge.train.out_folder import none_left_empty, only_run, prepare_folder
from storm_edge.train.processes import Process, joined
from storm_edge.train.run import Company, finish, parallel
from storm_edge.train.run_log import RunLog
from storm_edge.train.run_state import Items
from storm_edge.train.step import Stepper

_THREADS = 8  # that read ahead on a machine with as many cores, as upstream has


def train_full(config: FullTrainConfig, *, report: Report = lambda what, share: None) -> TrainResult:
    """Train a full network until ``config`` says stop.

    Ctrl-C and SIGTERM end it after the step that is under way: the checkpoint is written, and a result that says so.

    Args:
        config: The run.
        report: Is told how far it is.

    Raises:
        ConfigError: Options that do not fit the data.
        InputError: Data that is none; see `training_data`.
        BackendError: CUDA was asked for and torch has none; or it has no memory left.
        CheckpointError: A file of weights or the checkpoint to resume is missing or does not fit.
        OutputError: The folder cannot be written or holds another run.
        RunFault: Many steps in a row had no finite gradient.
    """
    _check(config)
    with Interruption(held=True) as signals, joined(config.device) as process:
        return train_full_beside(config, Company(process=process, signals=signals, report=report))


def train_full_beside(config: FullTrainConfig, company: Company) -> TrainResult:
    """`train_full` in processes that are joined already, while signals are held."""
    began_s = time.monotonic()
    process = company.process
    with none_left_empty(config.out):
        prepare_folder(config.out, resume=config.resume)
        with only_run(config.out) if process.first else nullcontext():
            torch.set_num_threads(config.thread_count)
            try:
                return _trained(config, company, began_s)
            except torch.OutOfMemoryError as error:
                raise no_room(process.device, "the network and its held-out items") from error


def _check(config: FullTrainConfig) -> None:
    """Refuse what nobody can do.

    Raises:
        ConfigError: A value out of range.
    """
    if config.steps is not None and config.steps < 1:
        raise ConfigError(mismatch("--steps", config.steps, "at least 1", "raise it"))
    if config.minutes is not None and not config.minutes > 0.0:
        raise ConfigError(mismatch("--minutes", f"{config.minutes:g}", "more than 0", "raise it"))


def _trained(config: FullTrainConfig, company: Company, began_s: float) -> TrainResult:
    process, signals = company.process, company.signals
    with signals.released():  # until the first step there is nothing to keep
        run, items = _synthetic(config, process) if config.synthetic else _from_disk(config, process)
    with items as drawn:
        parts = LoopParts(
            items=drawn,
            augment=lambda batch: batch,  # each item was changed as it was read
            stepper=Stepper(
                parallel(run), run.objective, run.average, run.optimizer, longest=config.longest_gradient
            ),
            signals=signals,
            log=RunLog(config.out, f"storm-edge train {config.network.value} --tier full on {process.device}"),
            report=company.report if process.first else lambda what, share: None,
        )
        loop = Loop(run, parts, began_s=began_s)
        return finish(run, loop, loop.until_the_end())


def _from_disk(config: FullTrainConfig, process: Process) -> tuple[FullTrainState, AbstractContextManager[Items]]:
    """A run on samples or pairs."""
    load: Loader
    judge: Loader
    if config.network is Network.SOM:
        samples, held_out = som_samples(config)
        objects = ObjectNumbers([*samples, *held_out])
        tokens = KeptViewTokens(objects, process.device, limit_mib=config.view_cache_mib)
        run = FullTrainState(config, process, context=context_length(config, samples), view_tokens=tokens)
        load, judge = SomLoader(samples, objects, config.augment), SomLoader(held_out, objects, None)
        count, judged = len(samples), len(held_out)
    else:
        pairs, apart = tom_pairs(config)
        load, judge, count, judged = PairLoader(pairs), PairLoader(apart), len(pairs), len(apart)
        if config.last_step is not None and config.steps is None:
            steps = max(EPOCHS * count // (config.items_per_step * process.count), 1)
            config = replace(config, steps=steps)
        run = FullTrainState(config, process)
    if process.first:
        run.judge_by(held_out_batch(judge, judged, config.held_out, process.device))
    threads = min(_THREADS, os.cpu_count() or 1) if config.workers is None else config.workers
    items = EpochItems(load, count, process, seed=config.seed, begin=run.drawn, threads=threads)
    return run, items


def _synthetic(config: FullTrainConfig, process: Process) -> tuple[FullTrainState, AbstractContextManager[Items]]:
    """A run on generated pictures; those that it is judged by are of objects that are never trained on."""
    run = FullTrainState(config, process)
    items = SyntheticItems(config, process, begin=run.drawn)
    if process.first:
        run.judge_by(SyntheticItems(config, process, held_out=True).sample(config.held_out))
    return run, items
