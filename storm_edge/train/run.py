"""The training loop behind ``storm-edge train``: one process, or several under torchrun.

    storm-edge train refine --minutes 45 --out runs/refine
    torchrun --nproc-per-node 4 -m storm_edge train refine --device cuda --out runs/refine

Every process draws its own pairs and sees its own share of the batch; gradients are averaged. The first process
evaluates, logs (one JSON object per line in ``log.jsonl``) and writes ``checkpoint.pt``.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from storm_edge.choices import Network
from storm_edge.errors import ConfigError, mismatch
from storm_edge.interruption import Interruption
from storm_edge.synthetic.splits import STREAMS_TRAIN
from storm_edge.train.augment import augment
from storm_edge.train.config import TrainConfig, TrainResult
from storm_edge.train.out_folder import LOG, prepare_folder, write_result
from storm_edge.train.pool import PairPool, PoolConfig, SourceFactory
from storm_edge.train.processes import agreed_stop, agreed_time_s, joined
from storm_edge.train.schedule import learning_rate, progress
from storm_edge.train.som import augment_queries
from storm_edge.train.sources import held_out_source_of, training_source_of
from storm_edge.train.state import TrainState, move
from storm_edge.train.tom import augment_groups

_LOG = logging.getLogger(__name__)
_LOG_EVERY_S = 15.0
_DRAWN_PER_RUN = 1000  # seeds that one process of one start may use


def _augment_items(batch: dict[str, Tensor], network: Network, generator: torch.Generator) -> dict[str, Tensor]:
    """`augment` on pairs or, for ScoreNet, on every pair of every set; the others have their own variety."""
    if network is Network.REFINE:
        return augment(batch, generator)
    if network is Network.SOM:
        return augment_queries(batch, generator)
    if network is Network.TOM:
        return augment_groups(batch, generator)
    sets, hypotheses = batch["rendered"].shape[:2]
    flat = {key: batch[key].flatten(0, 1) for key in ("rendered", "observed")}
    changed = augment(flat, generator)
    return {**batch, **{key: value.reshape(sets, hypotheses, *value.shape[1:]) for key, value in changed.items()}}


def _append(path: Path, record: dict[str, Any]) -> None:
    """Add one line to the log; numbers keep four digits."""
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in record.items()}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(rounded) + "\n")


def _prepare(config: TrainConfig) -> None:
    """Check what can be checked before any work, and make the output folder."""
    for name in ("steps", "batch", "hypotheses", "pool", "threads", "held_out"):
        if getattr(config, name) < 1:
            raise ConfigError(
                mismatch(f"--{name.replace('_', '-')}", getattr(config, name), "at least 1", "raise it")
            )
    prepare_folder(config.out, resume=config.resume)


def train(
    config: TrainConfig, *, source: SourceFactory | None = None, held_out: SourceFactory | None = None
) -> TrainResult:
    """Train one network until ``config`` says stop.

    Ctrl-C and SIGTERM end it after the step that is under way: the checkpoint is written, and a result that says so.

    Args:
        config: The run.
        source: Makes the training items; the synthetic ones unless a test brings its own.
        held_out: Makes the held-out items, likewise.

    Raises:
        ConfigError: A value out of range.
        BackendError: CUDA was asked for and torch has none.
        CheckpointError: The checkpoint to resume or start from does not fit.
        OutputError: The folder cannot be written or holds another run.
    """
    _prepare(config)
    torch.set_num_threads(config.threads)
    with Interruption(held=True) as signals, joined(config.device) as process:
        with signals.released():  # until the first step there is nothing to keep
            run = TrainState(config, process, held_out or held_out_source_of(config.network))
        ended_by = _loop(run, source or training_source_of(config.network), signals)
        result = TrainResult(
            checkpoint=run.checkpoint,
            steps=run.step,
            elapsed_s=run.elapsed_s,
            held_out=run.figures,
            ended_by=ended_by,
        )
        if process.first:
            write_result(config, result)
            if ended_by is not None:
                _LOG.warning("%s after %d steps: %s; --resume goes on from there", ended_by, run.step, run.checkpoint)
    return result


def _loop(run: TrainState, source: SourceFactory, signals: Interruption) -> str | None:
    """Steps until the end of the run, with log lines, evaluations and checkpoints by the clock.

    Returns:
        What ended it early: ``interrupted`` or ``terminated``; None where nothing did.

    Raises:
        Stopped: A signal came before the first step.
    """
    config, process = run.config, run.process
    unit = config.unit
    items = max(config.batch // unit, 1)
    # A resumed run must not see the pairs of its first start again: `drawn` moves the seeds on.
    seed = (config.seed + run.drawn + _DRAWN_PER_RUN * process.rank) % len(STREAMS_TRAIN.seeds)
    generator = torch.Generator().manual_seed(seed)
    model: nn.Module = run.objective
    if process.count > 1:
        ids = [process.device.index] if process.device.type == "cuda" else None
        model = nn.parallel.DistributedDataParallel(model, device_ids=ids)
    pool_config = PoolConfig(
        capacity=max(config.pool // unit, items),
        chunk=items,
        hypotheses=config.hypotheses,
        reuse=config.reuse,
        workers=config.workers,
        seed=seed,
    )
    bar = Progress(
        TextColumn(f"train {config.network.value}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.description}"),
        TimeElapsedColumn(),
        disable=not process.first,
        console=Console(stderr=True),
    )
    with PairPool(source, config.network, pool_config) as pool, bar:
        task = bar.add_task("drawing the first pairs", total=1.0)
        with signals.released():
            pool.fill(config.fill // unit)
        began, before_s = time.monotonic(), run.elapsed_s
        next_log, next_evaluation = run.elapsed_s, run.elapsed_s + config.evaluate_every_s
        sums: dict[str, float] = {}
        counted = 0
        model.train()
        while (share := progress(run.step, config.steps, run.elapsed_s, config.minutes)) < 1.0:
            rate = learning_rate(config.learning_rate, run.step, config.warmup_steps, share)
            for group in run.optimizer.param_groups:
                group["lr"] = rate
            batch = move(_augment_items(pool.sample(items), config.network, generator), process.device)
            loss, parts = model(batch)
            run.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            run.optimizer.step()
            run.step += 1
            run.average.update(run.objective, run.step)
            run.elapsed_s = agreed_time_s(before_s + time.monotonic() - began, process)
            for key, value in {"loss": loss.detach(), **parts}.items():
                sums[key] = sums.get(key, 0.0) + float(value)
            counted += 1
            if agreed_stop(signals.is_asked, process):
                if process.first:
                    run.save(pool.drawn)
                return signals.ended_by or "interrupted"  # by the signal of another process
            if not process.first:
                continue
            if run.elapsed_s >= next_log:
                means = {key: value / counted for key, value in sums.items()}
                _append(
                    config.out / LOG,
                    {"step": run.step, "elapsed_s": run.elapsed_s, "rate": rate, "drawn": pool.drawn * unit, **means},
                )
                bar.update(task, completed=share, description=f"step {run.step}  loss {means['loss']:.4f}")
                sums, counted, next_log = {}, 0, run.elapsed_s + _LOG_EVERY_S
            if run.elapsed_s >= next_evaluation:
                _report(run, pool.drawn)
                next_evaluation = run.elapsed_s + config.evaluate_every_s
        bar.update(task, completed=1.0, description=f"step {run.step}")
        if process.first:
            _report(run, pool.drawn)
    return None


def _report(run: TrainState, drawn: int) -> None:
    """Evaluate, log and checkpoint."""
    figures = run.evaluate()
    _append(run.config.out / LOG, {"step": run.step, "elapsed_s": run.elapsed_s, "held_out": True, **figures})
    run.save(drawn)
