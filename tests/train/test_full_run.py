"""Runs of the full trainers on small generated BOP data: they learn, resume exactly, leave official checkpoints."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed as dist

from storm_edge.bop.images import write_png
from storm_edge.choices import Network
from storm_edge.errors import CheckpointError, ConfigError, InputError, OutputError, SceneError
from storm_edge.interruption import Interruption
from storm_edge.networks.dinov2 import Dinov2Config
from storm_edge.networks.som import Som, SomConfig, load_som
from storm_edge.networks.tom import load_tom
from storm_edge.train import loop
from storm_edge.train.epoch_items import EpochItems, Item
from storm_edge.train.full_config import FullTrainConfig, full_config
from storm_edge.train.processes import Process, joined
from storm_edge.train.run import Company
from storm_edge.train.run_full import train_full, train_full_beside
from storm_edge.train.run_log import read_log
from storm_edge.train.step import Stepper
from storm_edge.training_data.prepare import PrepareOptions, prepare
from tests.training_data.tiny_dataset import SPLIT, write_tiny_dataset

SOM = SomConfig(
    encoder=Dinov2Config(width=24, heads=2, depth=1, registers=4), depth=1, heads=4, hidden=16, iou_hidden=8, views=2
)
TOM = Dinov2Config(width=16, heads=2, depth=1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    dataset = write_tiny_dataset(root / "tiny", scenes=2, frames=3, objects=2)
    prepare(PrepareOptions(dataset=dataset, split=SPLIT, models=dataset / "models"), root / "prepared")
    return root / "prepared"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pairs: of one colour, right; of two, lost."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        write_png(folder / f"{name}.png", np.full((30, 30, 3), colour, dtype=np.uint8))
    lines = [{"a": f"{a}.png", "b": "red.png", "label": int(a == "red")} for a in ("red", "blue")] * 10
    (folder / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def som_run(folder: Path, out: Path, **given: object) -> FullTrainConfig:
    own = {"data": (folder,), "random_encoder": True, "steps": 4, "batch": 2, "warmup_steps": 1, "threads": 1}
    return full_config(Network.SOM, out, **{**own, "workers": 0, "som": SOM, "learning_rate": 1e-3, **given})


def tom_run(folder: Path, out: Path, **given: object) -> FullTrainConfig:
    own = {"data": (folder,), "random_encoder": True, "steps": 4, "batch": 4, "warmup_steps": 1, "threads": 1}
    return full_config(Network.TOM, out, **{**own, "workers": 0, "tom": TOM, "learning_rate": 1e-3, **given})


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in read_log(out / "log.jsonl") if "loss" in line and "held_out" not in line]


def test_the_segmenter_learns_and_leaves_an_official_checkpoint(prepared: Path, tmp_path: Path) -> None:
    config = som_run(prepared, tmp_path / "run", steps=12, learning_rate=5e-3, log_every_s=1e-9)
    result = train_full(config)
    found = losses(tmp_path / "run")
    assert np.mean(found[-3:]) < np.mean(found[:2]) - 0.2  # of 3.3, of which 2 are left until an object is found
    assert set(result.held_out) == {"ap", "iou", "precision", "recall"}
    for name in ("checkpoint.pt", "best.pth"):
        net = load_som(tmp_path / "run" / name, SOM)
        assert {k.split(".")[0] for k in net.state_dict()} == {"query_encoder", "prompt_encoder", "hsfa", "decoder"}
    # Others begin with it, and so do upstream's trainers, which look for this key.
    assert "model_state_dict" in torch.load(result.checkpoint, weights_only=True)
    again = som_run(prepared, tmp_path / "again", steps=1, random_encoder=None, start_from=result.checkpoint)
    assert train_full(again).steps == 1


def test_the_verifier_learns_and_leaves_an_official_checkpoint(pairs: Path, tmp_path: Path) -> None:
    config = tom_run(pairs, tmp_path / "run", steps=20, learning_rate=3e-3, log_every_s=1e-9, layers=2)
    result = train_full(config)
    found = losses(tmp_path / "run")
    assert np.mean(found[-3:]) < 0.5 * np.mean(found[:2])
    assert result.held_out["accuracy"] == 1.0
    assert len(load_tom(tmp_path / "run" / "best.pth", TOM).layers) == 2
    assert len(load_tom(tmp_path / "run" / "checkpoint.pt", TOM).layers) == 2


@pytest.mark.parametrize("make", [som_run, tom_run])
def test_a_killed_run_goes_on_as_if_it_had_not_been(
    make: Callable[..., FullTrainConfig],
    prepared: Path,
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = prepared if make is som_run else pairs
    whole = train_full(make(data, tmp_path / "whole", checkpoint_every_s=1e-9))
    honest = Stepper.step

    def killed(self: Stepper, batch: dict[str, torch.Tensor], *, number: int, rate: float) -> None:
        if number == 2:
            raise KeyboardInterrupt
        honest(self, batch, number=number, rate=rate)

    monkeypatch.setattr(Stepper, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_full(make(data, tmp_path / "run", checkpoint_every_s=1e-9))
    monkeypatch.setattr(Stepper, "step", honest)
    with pytest.raises(OutputError, match="--resume"):
        train_full(make(data, tmp_path / "run"))
    result = train_full(make(data, tmp_path / "run", resume=True, random_encoder=None))
    assert result.steps == whole.steps == 4
    ours, theirs = (torch.load(r.checkpoint, weights_only=True)["model_state_dict"] for r in (result, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.gpu
@pytest.mark.parametrize("make", [som_run, tom_run])
def test_on_a_gpu(
    make: Callable[..., FullTrainConfig], prepared: Path, pairs: Path, tmp_path: Path, cuda: str
) -> None:
    config = make(prepared if make is som_run else pairs, tmp_path / "run", steps=10, device=cuda)
    result = train_full(config)
    assert (result.steps, result.skipped) == (10, 0)


def test_generated_pictures_train_the_segmenter(tmp_path: Path) -> None:
    config = som_run(tmp_path, tmp_path / "run", data=(), synthetic=True, steps=1, held_out=1, batch=1)
    pool = replace(config.generator.pool, objects=4, props=2, furniture=2, vertices=2048, faces=3000)
    pool = replace(pool, face_count=(300, 800))
    layout = replace(config.generator.layout, sizes_px=((120, 160),), object_count=(1, 2), places=2)
    result = train_full(replace(config, generator=replace(config.generator, pool=pool, layout=layout)))
    assert result.steps == 1


def test_the_segmenter_learns_with_descriptions(prepared: Path, tmp_path: Path) -> None:
    """Its checkpoint takes a context of their length, and what the description says reaches the loss."""
    contexts = prepared / "contexts.json"
    contexts.write_text(json.dumps({"obj_000003": [1.0, 0.0, 0.5], "obj_000005": [0.0, 1.0, 0.5]}))
    try:
        result = train_full(som_run(prepared, tmp_path / "run", steps=1, language=True))
    finally:
        contexts.unlink()
    net = load_som(result.checkpoint, SOM)
    assert net.config.context == 3
    moved = net.blocks[0].query_norm1.ctx_proj[0].weight.detach()  # type: ignore[index,union-attr]
    torch.manual_seed(0)
    fresh = Som(replace(SOM, context=3)).blocks[0].query_norm1.ctx_proj[0].weight.detach()  # type: ignore[index,union-attr]
    assert not torch.equal(moved, fresh)


def test_every_process_reads_its_own_share_of_every_epoch() -> None:
    def load(number: int, chance: np.random.Generator) -> Item:
        return {"number": np.array(number), "chance": np.array(chance.random())}

    shares = []
    for rank in range(2):
        with EpochItems(load, 6, Process(rank, 2, CPU), seed=1, threads=rank) as items:
            shares.append(items.sample(6))
    seen = torch.stack([share["number"] for share in shares])
    assert sorted(seen[:, :3].flatten().tolist()) == sorted(seen[:, 3:].flatten().tolist()) == list(range(6))
    assert seen[:, :3].tolist() != seen[:, 3:].tolist()
    with EpochItems(load, 6, Process(1, 2, CPU), seed=1, begin=2, threads=2) as items:  # resumed, other threads
        later = [items.sample(2), items.sample(2)]
    assert torch.cat([part["number"] for part in later]).tolist() == seen[1, 2:].tolist()
    assert torch.equal(torch.cat([part["chance"] for part in later]), shares[1]["chance"][2:])


def test_what_does_not_fit_is_one_line(prepared: Path, pairs: Path, tmp_path: Path) -> None:
    def refused(kind: type[Exception], found: str, config: Callable[[], FullTrainConfig]) -> None:
        with pytest.raises(kind, match=found) as caught:
            train_full(config())
        assert "\n" not in str(caught.value)

    run = tmp_path / "run"
    refused(ConfigError, "neither", lambda: som_run(prepared, run, data=()))
    refused(ConfigError, "0 starts", lambda: som_run(prepared, run, random_encoder=None))
    refused(ConfigError, "som or tom", lambda: full_config(Network.REFINE, run))
    refused(ConfigError, "train som", lambda: tom_run(pairs, run, synthetic=True, data=()))
    refused(ConfigError, "without a description", lambda: som_run(prepared, run, language=True))
    refused(
        CheckpointError, "no such file", lambda: som_run(prepared, run, random_encoder=None, encoder=tmp_path / "x")
    )
    refused(
        CheckpointError, "missing", lambda: tom_run(pairs, run, random_encoder=None, encoder=wrong_file(tmp_path))
    )
    refused(InputError, "no such folder", lambda: som_run(tmp_path / "none", run))
    refused(InputError, "other keys", lambda: tom_run(broken_pairs(tmp_path), run))
    (prepared / "annotations.json").rename(prepared / "kept")
    refused(InputError, "not finished", lambda: som_run(prepared, run))
    (prepared / "kept").rename(prepared / "annotations.json")
    (view,) = (prepared / "render" / "obj_000005" / "nature").glob("angle_001.png")
    view.rename(view.with_name("kept"))
    refused(SceneError, "no angle_001", lambda: som_run(prepared, run))
    view.with_name("kept").rename(view)


def wrong_file(folder: Path) -> Path:
    torch.save({"cls_token": torch.zeros(1, 1, 16)}, folder / "wrong.pth")
    return folder / "wrong.pth"


def broken_pairs(folder: Path) -> Path:
    (folder / "pairs.jsonl").write_text('{"a": 1}\n')
    return folder


REST = "import sys\nfrom tests.train import test_full_run\ntest_full_run.run_beside(*sys.argv[1:])"


def run_beside(prepared: str, pairs: str, out: str) -> None:
    """What each of two processes does: both networks, each resumed once; it says where each start ended."""
    honest = loop.Loop.until_the_end

    def until_the_end(self: loop.Loop) -> str | None:
        ended_by = honest(self)
        weights = sum(float(p.detach().double().abs().sum()) for p in self._run.objective.parameters())
        sys.stdout.write(f"{self._run.config.network.value} {self._run.step} {self._run.drawn} {weights:.9f}\n")
        return ended_by

    loop.Loop.until_the_end = until_the_end  # type: ignore[method-assign]
    with Interruption(held=True) as signals, joined("cpu") as process:
        company = Company(process=process, signals=signals)
        for make, data in ((som_run, prepared), (tom_run, pairs)):
            folder = Path(out) / make.__name__
            train_full_beside(make(Path(data), folder, steps=2), company)
            dist.barrier()  # the first process writes, and the other must not resume before
            train_full_beside(make(Path(data), folder, steps=3, resume=True, random_encoder=None), company)


@pytest.mark.slow
def test_two_processes_keep_the_same_weights_and_resume(prepared: Path, pairs: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", REST, str(prepared), str(pairs), str(tmp_path)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        ended = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], ended
    first, second = (out.splitlines() for out, _ in ended)
    assert first == second
    assert [line.split()[:3] for line in first] == [
        ["som", "2", "0"],
        ["som", "3", "4"],  # begun after the four items of its first start
        ["tom", "2", "0"],
        ["tom", "3", "8"],
    ]
