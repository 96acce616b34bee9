"""The pool of items: exact without processes, alive with one, loud when one fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from storm_edge.errors import MeshError
from storm_edge.generator.contract import Batch
from storm_edge.train.feeds import Feed, SourceFeed, WorkerFeed
from storm_edge.train.pool import ItemPool, PoolConfig
from storm_edge.train.ring import RingBuffer
from storm_edge.train.sources import SourceFactory
from tests.train.toy import BrokenSource, ToySource

CPU = torch.device("cpu")


def _pool(feed: Feed, *, seed: int = 1, reuse: float = 2.0) -> ItemPool:
    return ItemPool(feed, PoolConfig(capacity=8, limit_bytes=2**30, reuse=reuse, seed=seed), CPU)


def _inline(seed: int = 1, source: SourceFactory = ToySource) -> SourceFeed:
    return SourceFeed(source(seed, CPU), 4)


class NoMesh(ToySource):
    """What a source does that meets a broken mesh in its folder."""

    def batch(self, items: int) -> Batch:
        raise MeshError("pool/cup.ply: got no faces, expected a surface; remove it")


def test_without_processes_the_same_seed_gives_the_same_batches() -> None:
    with _pool(_inline(1)) as a, _pool(_inline(1)) as b, _pool(_inline(2), seed=2) as c:
        for pool in (a, b, c):
            pool.fill(4)
        for _ in range(3):
            x, y, z = (pool.sample(6)["trans_target"] for pool in (a, b, c))
            assert torch.equal(x, y)
            assert not torch.equal(x, z)


def test_items_are_drawn_as_fast_as_they_are_used_up_and_the_oldest_go() -> None:
    with _pool(_inline(), reuse=2.0) as pool:
        pool.fill(4)
        assert (len(pool), pool.drawn) == (4, 4)
        for _ in range(4):
            pool.sample(8)  # 32 uses, each item twice: 16 more items
        assert pool.drawn == 20
        assert len(pool) == 8


def test_a_pool_that_was_shrunk_fills_again_and_goes_on() -> None:
    with _pool(_inline()) as pool:
        pool.fill(8)
        pool.shrink(capacity=2, chunk=1)
        pool.fill(8)  # no more than it keeps
        assert len(pool) == 2
        assert len(pool.sample(4)["rendered"]) == 4


def test_a_process_fills_the_pool_and_ends_with_it() -> None:
    feed = WorkerFeed(ToySource, 4, workers=1, seed=1)
    with _pool(feed) as pool:
        pool.fill(8)
        batch = pool.sample(5)
        assert batch["rendered"].shape == (5, 6, 80, 80)
        assert batch["rendered"].dtype == torch.float32
        processes = list(feed._processes)
    assert not any(p.is_alive() for p in processes)
    pool.close()


def test_a_failure_in_a_process_reaches_the_run() -> None:
    feed = WorkerFeed(BrokenSource, 4, workers=1, seed=1)
    with _pool(feed) as pool, pytest.raises(RuntimeError, match="the sampler has a bug"):
        pool.fill(8)


def test_an_error_of_the_user_in_a_process_stays_one_line() -> None:
    feed = WorkerFeed(NoMesh, 4, workers=1, seed=1)
    with _pool(feed) as pool, pytest.raises(MeshError, match="got no faces"):
        pool.fill(8)


def _numbered(first: int, count: int) -> Batch:
    numbers = torch.arange(first, first + count, dtype=torch.float32)
    return {"number": numbers, "image": numbers[:, None, None, None].expand(-1, 2, 3, 3)}


@pytest.mark.parametrize("chunks", [[3, 3, 3], [5, 5, 5], [12], [1] * 9, [4, 7]])
def test_a_ring_keeps_the_newest_whatever_the_chunks(chunks: list[int]) -> None:
    ring = RingBuffer(5, limit_bytes=2**20, device=CPU)
    drawn = 0
    for count in chunks:
        ring.put(_numbered(drawn, count))
        drawn += count
        kept = ring.take(torch.arange(len(ring)))
        newest = list(range(max(drawn - 5, 0), drawn))
        assert sorted(kept["number"].tolist()) == newest
        assert torch.equal(kept["image"][:, 1, 2, 2], kept["number"])


def test_a_ring_keeps_fewer_items_where_memory_is_short(tmp_path: Path) -> None:
    item_bytes = 4 + 2 * 18  # a float32 number, and 18 pixels in float16
    ring = RingBuffer(100, limit_bytes=7 * item_bytes + 1, device=CPU)
    ring.put(_numbered(0, 3))
    assert ring.capacity == 7
