"""A training run behind ``storm-edge train``: one process, or several under torchrun.

    storm-edge train refine --minutes 45 --out runs/refine
    torchrun --nproc-per-node 4 -m storm_edge train refine --device cuda --out runs/refine

Every process draws its own items and sees its own share of the batch; gradients are averaged. The first process
evaluates, logs (one JSON object per line in ``log.jsonl``, drawn in ``curves.png``) and writes ``checkpoint.pt``.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import nn

from storm_edge.errors import ConfigError, mismatch
from storm_edge.generator.config import GeneratorConfig
from storm_edge.interruption import Interruption
from storm_edge.synthetic.splits import STREAMS_TRAIN
from storm_edge.train.augment import augment
from storm_edge.train.config import TrainConfig, TrainResult
from storm_edge.train.feeds import Feed, SourceFeed, WorkerFeed
from storm_edge.train.loop import Loop, LoopParts, Report
from storm_edge.train.no_room import fill_pool, no_room
from storm_edge.train.out_folder import none_left_empty, only_run, prepare_folder, write_result
from storm_edge.train.pool import ItemPool, PoolConfig
from storm_edge.train.processes import Process, joined
from storm_edge.train.run_log import RunLog
from storm_edge.train.run_state import RunState
from storm_edge.train.sources import SourceFactory, source_of
from storm_edge.train.state import TrainState
from storm_edge.train.step import Stepper

_LOG = logging.getLogger(__name__)
_DRAWN_PER_RUN = 1000  # seeds that one process of one start may use
_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Company:
    """Who is beside a run."""

    process: Process
    """This process, among those of the run."""
    signals: Interruption
    """Ask it to end early; held."""
    report: Report = lambda what, share: None
    """Is told how far it is."""


def train(
    config: TrainConfig,
    *,
    source: SourceFactory | None = None,
    held_out: SourceFactory | None = None,
    report: Report = lambda what, share: None,
) -> TrainResult:
    """Train one network until ``config`` says stop.

    Ctrl-C and SIGTERM end it after the step that is under way: the checkpoint is written, and a result that says so.

    Args:
        config: The run.
        source: Makes the training items; the synthetic ones unless a test brings its own.
        held_out: Makes the held-out items, likewise.
        report: Is told how far it is.

    Raises:
        ConfigError: A value out of range.
        BackendError: CUDA was asked for and torch has none; or it has no memory left.
        CheckpointError: The checkpoint to resume or start from does not fit.
        EngineError: The bundle to start from is none.
        OutputError: The folder cannot be written or holds another run.
        RunFault: Many steps in a row had no finite gradient.
    """
    check(config)
    with Interruption(held=True) as signals, joined(config.device) as process:
        company = Company(process=process, signals=signals, report=report)
        return train_beside(config, company, source=source, held_out=held_out)


def train_beside(
    config: TrainConfig,
    company: Company,
    *,
    source: SourceFactory | None = None,
    held_out: SourceFactory | None = None,
) -> TrainResult:
    """`train` in processes that are joined already, while signals are held."""
    began_s = time.monotonic()
    with none_left_empty(config.out):
        prepare_folder(config.out, resume=config.resume)
        # Of the processes of one run the first alone writes.
        with only_run(config.out) if company.process.first else nullcontext():
            return _trained(config, company, began_s, source=source, held_out=held_out)


def _trained(
    config: TrainConfig,
    company: Company,
    began_s: float,
    *,
    source: SourceFactory | None,
    held_out: SourceFactory | None,
) -> TrainResult:
    process, signals = company.process, company.signals
    torch.set_num_threads(config.thread_count)
    try:
        with signals.released():  # until the first step there is nothing to keep
            run = TrainState(config, process, held_out or source_of(config.network, _held_out(config.generator)))
        seed = _seed(run)
        chance = torch.Generator(process.device).manual_seed(seed)
        pool_config = PoolConfig(
            capacity=max(config.items(config.sizes.pool), config.items(config.sizes.batch)),
            limit_bytes=config.sizes.pool_mib * _MIB,
            reuse=config.reuse,
            seed=seed,
        )
        feed = _feed(source or source_of(config.network, config.generator), config, process, seed)
        with ItemPool(feed, pool_config, process.device) as pool:
            with signals.released():
                fill_pool(pool, config, process.device)
            if run.folded:
                run.unfold(augment(pool.sample(config.items(config.sizes.batch)), config.network, chance))
            parts = LoopParts(
                items=pool,
                augment=lambda batch: augment(batch, config.network, chance),
                stepper=Stepper(parallel(run), run.objective, run.average, run.optimizer),
                signals=signals,
                log=RunLog(config.out, f"storm-edge train {config.network.value} on {process.device}"),
                report=company.report if process.first else lambda what, share: None,
            )
            loop = Loop(run, parts, began_s=began_s)
            ended_by = loop.until_the_end()
    except torch.OutOfMemoryError as error:
        raise no_room(process.device, "the network and its held-out items") from error
    return finish(run, loop, ended_by)


def check(config: TrainConfig) -> None:
    """Check what can be checked before any work.

    Raises:
        ConfigError: A value out of range.
    """
    if config.device.split(":")[0] not in ("cpu", "cuda"):
        raise ConfigError(mismatch("--device", config.device, "cpu, cuda or cuda:i", "name one of these"))
    sizes = config.sizes
    least = {
        "steps": 1 if config.steps is None else config.steps,
        "batch": sizes.batch,
        "pool": sizes.pool,
        "chunk": sizes.chunk,
        "threads": config.thread_count,
        "held_out": config.held_out,
    }
    for name, value in least.items():
        if value < 1:
            raise ConfigError(mismatch(f"--{name.replace('_', '-')}", value, "at least 1", "raise it"))
    if config.minutes is not None and not config.minutes > 0.0:
        raise ConfigError(mismatch("--minutes", f"{config.minutes:g}", "more than 0", "raise it"))


def _held_out(generator: GeneratorConfig) -> GeneratorConfig:
    """The same to judge by: no models of a user, which are trained on, and each object at one wrong pose alone.

    Several poses of few objects say less: two sets of 256 such pairs differed by half in the error that was left.
    """
    pool, refine = replace(generator.pool, folder=None), replace(generator.refine, poses=1)
    return replace(generator, pool=pool, refine=refine)


def _seed(run: TrainState) -> int:
    """Of what is drawn: a resumed run must not see the items of its first start again, so `drawn` moves it on."""
    return (run.config.seed + run.drawn + _DRAWN_PER_RUN * run.process.rank) % len(STREAMS_TRAIN.seeds)


def _feed(source: SourceFactory, config: TrainConfig, process: Process, seed: int) -> Feed:
    chunk, workers = config.items(config.sizes.chunk), config.sizes.workers
    if workers == 0:
        return SourceFeed(source(seed, process.device), chunk)
    return WorkerFeed(source, chunk, workers=workers, seed=seed)


def parallel(run: RunState) -> nn.Module:
    """The objective, averaged over the processes where there are several."""
    if run.process.count == 1:
        return run.objective
    ids = [run.process.device.index] if run.process.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(run.objective, device_ids=ids)


def finish(run: RunState, loop: Loop, ended_by: str | None) -> TrainResult:
    """Say where the run ended."""
    result = TrainResult(
        checkpoint=run.checkpoint,
        steps=run.step,
        elapsed_s=run.elapsed_s,
        held_out=run.figures,
        best=run.best,
        skipped=loop.skipped,
        speed=loop.speed,
        ended_by=ended_by,
    )
    if run.process.first:
        write_result(run.config, result)
        if ended_by is not None:
            _LOG.warning("%s after %d steps: %s; --resume goes on from there", ended_by, run.step, run.checkpoint)
    return result
