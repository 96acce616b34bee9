"""The processes of a training run: one alone, or the group that torchrun set up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

# DistributedDataParallel imports it, and its functions keep the group of that moment as a default. The threads of
# that group outlived `destroy_process_group`, and crashed the process at its end now and then. Imported here it keeps
# none.
import torch.distributed.nn
from torch import distributed as dist

from storm_edge.errors import BackendError, ConfigError, mismatch


@dataclass(frozen=True)
class Process:
    """This process among those of the run."""

    rank: int
    """Number of this process, from 0."""
    count: int
    """Processes of the run."""
    device: torch.device
    """Device of this process."""

    @property
    def first(self) -> bool:
        """Whether this process evaluates, logs and writes."""
        return self.rank == 0


@contextmanager
def joined(device: str) -> Iterator[Process]:
    """Join the group that torchrun set up, or be alone."""
    count, local = int(os.environ.get("WORLD_SIZE", "1")), os.environ.get("LOCAL_RANK", "0")
    kind = device.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise ConfigError(mismatch("--device", device, "cpu, cuda or cuda:i", "name one of these"))
    if kind == "cuda" and not torch.cuda.is_available():
        raise BackendError(mismatch("--device", device, "a CUDA device torch can use", "use --device cpu"))
    if count == 1:
        yield Process(0, 1, _current(device))
        return
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Process(dist.get_rank(), count, _current(f"cuda:{local}" if kind == "cuda" else "cpu"))
    finally:
        dist.destroy_process_group()


def _current(name: str) -> torch.device:
    """The device of that name, which torch and NCCL take for this process's own from now on.

    Raises:
        BackendError: There is no such GPU.
    """
    kind, _, index = name.partition(":")
    if kind != "cuda":
        return torch.device(kind)
    count = torch.cuda.device_count()
    if index and not (index.isdecimal() and int(index) < count):
        raise BackendError(mismatch("--device", name, f"cuda:0 to cuda:{count - 1}", "name one of these"))
    if index:
        torch.cuda.set_device(int(index))
    return torch.device("cuda", torch.cuda.current_device())


def agreed_time_s(elapsed_s: float, process: Process) -> float:
    """One clock for all processes, the first one's: a run that ends by time must end everywhere at the same step."""
    if process.count == 1:
        return elapsed_s
    clock = torch.tensor([elapsed_s], device=process.device, dtype=torch.float64)
    dist.broadcast(clock, 0)
    return float(clock)


def agreed_stop(asked: bool, process: Process) -> bool:
    """Whether any of the processes was asked to stop: all end at the same step, so that none waits for another."""
    if process.count == 1:
        return asked
    flag = torch.tensor([int(asked)], device=process.device)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)
