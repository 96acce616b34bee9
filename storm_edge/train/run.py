"""The training loop behind ``storm-edge train``: one process, or several under torchrun.

    storm-edge train refine --minutes 45 --out runs/refine
    torchrun --nproc-per-node 4 -m storm_edge train refine --device cuda --out runs/refine

Every process draws its own pairs and sees its own share of the batch; gradients are averaged. The first process
evaluates, logs (one JSON object per line in ``log.jsonl``) and writes ``checkpoint.pt``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn
from torch import distributed as dist

from storm_edge.choices import Network
from storm_edge.errors import BackendError, CheckpointError, ConfigError, OutputError, mismatch
from storm_edge.synthetic.splits import STREAMS_TRAIN, STREAMS_VAL
from storm_edge.train.augment import augment
from storm_edge.train.checkpoint import load_checkpoint, save_checkpoint
from storm_edge.train.config import TrainConfig, TrainResult
from storm_edge.train.ema import AveragedModel
from storm_edge.train.objective import Objective, make_objective, start_from
from storm_edge.train.pool import PairPool, SourceFactory, draw
from storm_edge.train.schedule import learning_rate, progress
from storm_edge.train.som import augment_queries
from storm_edge.train.sources import held_out_source_of, training_source_of
from storm_edge.train.tom import augment_groups

_LOG_EVERY_S = 15.0
_DRAWN_PER_RUN = 1000  # seeds that one process of one start may use


@dataclass(frozen=True)
class _Process:
    """This process among those of the run."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0


@contextmanager
def _process(device: str) -> Iterator[_Process]:
    """Join the group that torchrun set up, or be alone."""
    count, local = int(os.environ.get("WORLD_SIZE", "1")), os.environ.get("LOCAL_RANK", "0")
    kind = device.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise ConfigError(mismatch("--device", device, "cpu, cuda or cuda:i", "name one of these"))
    if kind == "cuda" and not torch.cuda.is_available():
        raise BackendError(mismatch("--device", device, "a CUDA device torch can use", "use --device cpu"))
    if count == 1:
        yield _Process(0, 1, torch.device(device))
        return
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield _Process(dist.get_rank(), count, torch.device(f"cuda:{local}" if kind == "cuda" else "cpu"))
    finally:
        dist.destroy_process_group()


def _move(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {key: value.to(device, non_blocking=True) for key, value in batch.items()}


def _augmented(batch: dict[str, Tensor], network: Network, generator: torch.Generator) -> dict[str, Tensor]:
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


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, not biases and norms."""
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


class _Run:
    """The state of one run: what a checkpoint holds, and the held-out pairs."""

    def __init__(self, config: TrainConfig, process: _Process, held_out: SourceFactory) -> None:
        self.config, self.process = config, process
        torch.manual_seed(config.seed)
        self.objective: Objective = make_objective(config)
        if config.start_from is not None and not config.resume:
            start_from(self.objective, config.start_from)
        self.objective.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.objective, config.ema_decay)
        self.optimizer = _optimizer(self.objective, config)
        self.step, self.elapsed_s, self.drawn = 0, 0.0, 0
        self.figures: dict[str, float] = {}
        self.checkpoint = config.out / "checkpoint.pt"
        if config.resume:
            self._restore()
        if process.first:
            items = max(config.held_out // config.unit, 1)
            arrays = draw(held_out(STREAMS_VAL.first), config.network, items, config.hypotheses)
            self._held_out = {key: torch.from_numpy(value).float() for key, value in arrays.items()}

    def _restore(self) -> None:
        content = load_checkpoint(self.checkpoint)
        for key, wanted in (
            ("network", self.config.network.value),
            ("nano", json.loads(json.dumps(asdict(self.config.widths)))),
        ):
            if content[key] != wanted:
                raise CheckpointError(
                    mismatch(self.checkpoint, f"{key} {content[key]}", wanted, "resume with the first options")
                )
        self.objective.load_state_dict(content["model"])
        self.average.module.load_state_dict(content["ema"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step, self.elapsed_s, self.drawn = content["step"], content["elapsed_s"], content["drawn"]

    def save(self, drawn: int) -> None:
        save_checkpoint(
            self.checkpoint,
            {
                "network": self.config.network.value,
                "nano": json.loads(json.dumps(asdict(self.config.widths))),
                "model": self.objective.state_dict(),
                "ema": self.average.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "drawn": self.drawn + drawn,
                "seed": self.config.seed,
            },
        )

    def evaluate(self) -> dict[str, float]:
        """Held-out figures of the averaged weights."""
        module = self.average.module
        assert isinstance(module, Objective)
        self.figures = module.figures(_move(self._held_out, self.process.device))
        return self.figures


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
    try:
        config.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(mismatch(config.out, error, "a folder that can be made", "choose another --out")) from error
    if (config.out / "checkpoint.pt").exists() and not config.resume:
        raise OutputError(
            mismatch(
                config.out,
                "a checkpoint of an earlier run",
                "an empty folder",
                "add --resume or choose another",
            )
        )


def train(
    config: TrainConfig, *, source: SourceFactory | None = None, held_out: SourceFactory | None = None
) -> TrainResult:
    """Train one network until ``config`` says stop.

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
    with _process(config.device) as process:
        run = _Run(config, process, held_out or held_out_source_of(config.network))
        _loop(run, source or training_source_of(config.network))
        result = TrainResult(checkpoint=run.checkpoint, steps=run.step, elapsed_s=run.elapsed_s, held_out=run.figures)
        if process.first:
            text = json.dumps({**asdict(config), **asdict(result)}, indent=2, default=str) + "\n"
            (config.out / "result.json").write_text(text, encoding="utf-8")
    return result


def _loop(run: _Run, source: SourceFactory) -> None:
    """Steps until the end of the run, with log lines, evaluations and checkpoints by the clock."""
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
    pool = PairPool(
        source,
        config.network,
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
    )
    with pool, bar:
        task = bar.add_task("drawing the first pairs", total=1.0)
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
            batch = _move(_augmented(pool.sample(items), config.network, generator), process.device)
            loss, parts = model(batch)
            run.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            run.optimizer.step()
            run.step += 1
            run.average.update(run.objective, run.step)
            run.elapsed_s = _agreed(before_s + time.monotonic() - began, process)
            for key, value in {"loss": loss.detach(), **parts}.items():
                sums[key] = sums.get(key, 0.0) + float(value)
            counted += 1
            if not process.first:
                continue
            if run.elapsed_s >= next_log:
                means = {key: value / counted for key, value in sums.items()}
                _append(
                    config.out / "log.jsonl",
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


def _report(run: _Run, drawn: int) -> None:
    """Evaluate, log and checkpoint."""
    figures = run.evaluate()
    _append(run.config.out / "log.jsonl", {"step": run.step, "elapsed_s": run.elapsed_s, "held_out": True, **figures})
    run.save(drawn)


def _agreed(elapsed_s: float, process: _Process) -> float:
    """One clock for all processes, the first one's: a run that ends by time must end everywhere at the same step."""
    if process.count == 1:
        return elapsed_s
    clock = torch.tensor([elapsed_s], device=process.device, dtype=torch.float64)
    dist.broadcast(clock, 0)
    return float(clock)
