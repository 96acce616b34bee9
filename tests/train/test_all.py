"""All networks in a given time: shared by a plan, killed at any moment and resumed on the same schedule."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from storm_edge.choices import Network
from storm_edge.errors import CheckpointError, ConfigError, OutputError
from storm_edge.networks.nano import NanoConfig
from storm_edge.train.config import TrainConfig
from storm_edge.train.run_all import train_all
from storm_edge.train.run_log import read_log
from storm_edge.train.shares import PLAN, Plan, TimeShares, open_plan
from tests.nano_with_score import write_nano_without_score
from tests.train.toy import SETS_OF_FOUR, TINY, toy_source_of

MOST_TO_SCORE = TimeShares(refine=0.1, score=0.7, som=0.1, tom=0.1)
KILLED = "import sys\nfrom tests.train import test_all\ntest_all.run_all(*sys.argv[1:])"


def template(out: Path, minutes: float | None) -> TrainConfig:
    """Small networks that log every step or two and write a checkpoint every half second."""
    return TrainConfig(
        network=Network.REFINE, out=out, minutes=minutes, batch=8, warmup_steps=2, ema_decay=0.5, threads=1,
        generator=SETS_OF_FOUR, workers=0, chunk=16, pool=32, fill=16, held_out=16, nano=TINY, learning_rate=3e-3,
        log_every_s=0.05, checkpoint_every_s=0.5, evaluate_every_s=60.0,
    )  # fmt: skip


def run_all(out: str, minutes: str, *options: str) -> None:
    """What the process does that is killed, and what goes on."""
    train_all(
        replace(template(Path(out), float(minutes)), resume="resume" in options),
        shares=MOST_TO_SCORE,
        source_of=toy_source_of,
    )


@contextmanager
def started(out: Path, minutes: float) -> Iterator[subprocess.Popen[str]]:
    """A process that trains, and is killed at the end of the block if it is still there."""
    command = [sys.executable, "-c", KILLED, str(out), str(minutes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[str], path: Path) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def rate_at(elapsed_s: float, minutes: float) -> float:
    """The learning rate of `template` after so much of a slice: a cosine from 3e-3 to a hundredth of it."""
    share = min(elapsed_s / (60.0 * minutes), 1.0)
    return 3e-3 * (0.01 + 0.495 * (1.0 + math.cos(math.pi * share)))


def plan_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / PLAN).read_text())["slices"])


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_with_the_same_schedule(tmp_path: Path) -> None:
    out, minutes = tmp_path / "run", 0.25
    with started(out, minutes) as process:
        until(process, out / "score" / "checkpoint.pt")
        process.send_signal(signal.SIGKILL)
    before = plan_of(out)
    killed = read_log(out / "score" / "log.jsonl")
    refined = (out / "refine" / "checkpoint.pt").read_bytes()
    assert before["refine"]["is_finished"]
    assert not before["score"]["is_finished"]

    torch.optim.AdamW([torch.zeros(1)])  # imports for seconds at the first one: not in a slice of seconds
    run_all(str(out), str(minutes), "resume")
    after = plan_of(out)
    assert all(part["is_finished"] for part in after.values())
    assert after["score"]["minutes"] == before["score"]["minutes"]
    assert (out / "refine" / "checkpoint.pt").read_bytes() == refined  # finished networks are skipped
    log = [line for line in read_log(out / "score" / "log.jsonl") if "loss" in line]
    assert len(log) > len([line for line in killed if "rate" in line])
    for previous, line in itertools.pairwise(log):  # one cosine over the whole slice, whichever start wrote the line
        if line["step"] > 2:  # of a step that began after the line before, however slow the machine
            now, before_s = (rate_at(at["elapsed_s"], after["score"]["minutes"]) for at in (line, previous))
            assert now - 1e-5 <= line["rate"] <= before_s + 1e-5
    losses = [line["loss"] for line in log]
    third = len(losses) // 3  # single steps say little: their sets differ
    assert sum(losses[-third:]) < sum(losses[:third])


def test_a_kill_before_the_first_checkpoint_or_after_the_last_loses_no_slice(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    shares = TimeShares()
    plan = Plan(minutes=20.0).begin(Network.REFINE, shares)
    plan.write(out)
    (out / "refine").mkdir()
    (out / "refine" / "log.jsonl").write_text('{"step": 1, "elapsed_s": 0.5, "rate": 0.1}\n')
    config = replace(template(out, 20.0), steps=2, resume=True)
    first = train_all(config, source_of=toy_source_of)[Network.REFINE]
    assert first.steps == 2
    assert open_plan(out, None, resume=True).slices[Network.REFINE].minutes == pytest.approx(6.0)
    # All networks have their last checkpoint, and the plan was not told of the last two.
    before = open_plan(out, None, resume=True)
    late = {n: replace(part, is_finished=n in (Network.REFINE, Network.SCORE)) for n, part in before.slices.items()}
    replace(before, slices=late).write(out)
    again = train_all(config, source_of=toy_source_of)
    assert {network: result.steps for network, result in again.items()} == {Network.SOM: 2, Network.TOM: 2}
    assert train_all(config, source_of=toy_source_of) == {}


def test_a_plan_shares_what_is_left(tmp_path: Path) -> None:
    shares = TimeShares(refine=1.0, score=1.0, som=1.0, tom=1.0)
    plan = Plan(minutes=40.0).begin(Network.REFINE, shares)
    assert plan.slices[Network.REFINE].minutes == pytest.approx(10.0)
    plan = plan.finish(Network.REFINE, 16.0 * 60.0).begin(Network.SCORE, shares)
    assert plan.slices[Network.SCORE].minutes == pytest.approx(8.0)
    assert plan.begin(Network.SCORE, TimeShares()) == plan  # a slice stays what it was
    late = plan.finish(Network.SCORE, 30.0 * 60.0).begin(Network.SOM, shares)
    assert late.slices[Network.SOM].minutes == pytest.approx(5.0)  # nobody is left without any
    plan.write(tmp_path)
    assert open_plan(tmp_path, None, resume=True) == plan
    assert open_plan(tmp_path, 40.0, resume=True) == plan


def test_the_usual_shares_are_all_of_the_time() -> None:
    assert sum(TimeShares().of(network) for network in Network) == pytest.approx(1.0)


def test_a_plan_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--minutes: got nothing"):
        open_plan(tmp_path, None, resume=False)
    with pytest.raises(ConfigError, match="--minutes: got 0, expected more than 0"):
        open_plan(tmp_path, 0.0, resume=False)
    with pytest.raises(CheckpointError, match=r"no all\.json"):
        open_plan(tmp_path, 5.0, resume=True)
    Plan(minutes=5.0).write(tmp_path)
    with pytest.raises(OutputError, match="add --resume"):
        open_plan(tmp_path, 5.0, resume=False)
    with pytest.raises(ConfigError, match="--minutes: got 6, expected 5, as begun"):
        open_plan(tmp_path, 6.0, resume=True)
    (tmp_path / PLAN).write_text('{"minutes": 5, "slices": {}}')
    with pytest.raises(CheckpointError, match="a run of all networks to go on with"):
        open_plan(tmp_path, None, resume=True)


def test_each_network_has_its_folder_and_score_starts_from_the_trunk_of_refine(tmp_path: Path) -> None:
    told: list[str] = []
    config = replace(template(tmp_path / "run", 1.0), steps=2)
    results = train_all(config, source_of=toy_source_of, report=lambda what, share: told.append(what))
    assert list(results) == list(Network)
    assert all((tmp_path / "run" / network.value / "result.json").exists() for network in Network)
    score = json.loads((tmp_path / "run" / "score" / "result.json").read_text())
    assert score["start_from"] == str(tmp_path / "run" / "refine" / "checkpoint.pt")
    assert list(dict.fromkeys(told)) == [network.value for network in Network]


def test_score_starts_from_this_runs_refine_where_the_bundle_has_no_scorenet(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That RefineNet began with the bundle's, and has learnt since."""
    bare = write_nano_without_score(tmp_path / "bare")
    config = replace(template(tmp_path / "run", 1.0), steps=1, nano=NanoConfig(), start_from=bare)
    train_all(config, source_of=toy_source_of)
    starts = {
        network: json.loads((tmp_path / "run" / network.value / "result.json").read_text())["start_from"]
        for network in Network
    }
    assert starts.pop(Network.SCORE) == str(tmp_path / "run" / "refine" / "checkpoint.pt")
    assert set(starts.values()) == {str(bare)}
    assert caplog.records == []
