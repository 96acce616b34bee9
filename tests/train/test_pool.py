"""The pool of pairs: exact without processes, alive with one, loud when one fails."""

from __future__ import annotations

import pytest
import torch

from storm_edge.choices import Network
from storm_edge.train.pool import PairPool, PoolConfig, SourceFactory
from tests.train.toy import BrokenSource, ToySource


def _pool(source: SourceFactory = ToySource, *, workers: int = 0, seed: int = 1, reuse: float = 2.0) -> PairPool:
    config = PoolConfig(capacity=8, chunk=4, hypotheses=1, reuse=reuse, workers=workers, seed=seed)
    return PairPool(source, Network.REFINE, config)


def test_without_processes_the_same_seed_gives_the_same_batches() -> None:
    with _pool() as a, _pool() as b, _pool(seed=2) as c:
        for pool in (a, b, c):
            pool.fill(4)
        for _ in range(3):
            x, y, z = (pool.sample(6)["trans_target"] for pool in (a, b, c))
            assert torch.equal(x, y)
            assert not torch.equal(x, z)


def test_items_are_drawn_as_fast_as_they_are_used_up_and_the_oldest_go() -> None:
    with _pool(reuse=2.0) as pool:
        pool.fill(4)
        assert (len(pool), pool.drawn) == (4, 4)
        for _ in range(4):
            pool.sample(8)  # 32 uses, each item twice: 16 more items
        assert pool.drawn == 20
        assert len(pool) == 8


def test_a_process_fills_the_pool_and_ends_with_it() -> None:
    with _pool(workers=1) as pool:
        pool.fill(8)
        batch = pool.sample(5)
        assert batch["rendered"].shape == (5, 6, 80, 80)
        assert batch["rendered"].dtype == torch.float32
        processes = list(pool._processes)
    assert not any(p.is_alive() for p in processes)
    pool.close()


def test_a_failure_in_a_process_reaches_the_run() -> None:
    with _pool(BrokenSource, workers=1) as pool, pytest.raises(RuntimeError, match="the sampler has a bug"):
        pool.fill(8)
