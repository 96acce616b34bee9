"""Training that starts from a bundle: the torch network equals its ONNX files, also when BatchNorms are set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from storm_edge.choices import Network
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import CheckpointError, EngineError
from storm_edge.networks.nano import NanoConfig
from storm_edge.train.config import TrainConfig
from storm_edge.train.objective import Objective, RefineObjective, ScoreObjective, make_objective
from storm_edge.train.run import train
from storm_edge.train.start import is_bundle, start_from
from tests.engines import tiny
from tests.nano_with_score import random_scorenet, write_nano_with_score, write_nano_without_score
from tests.train.toy import SETS_OF_FOUR, ToySets, ToySource, toy_source_of

CPU = torch.device("cpu")
BUNDLE = Path("nano")


@pytest.fixture(scope="module")
def with_score(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped networks and a ScoreNet."""
    return write_nano_with_score(tmp_path_factory.mktemp("networks") / "mine", random_scorenet)


def started(network: Network, place: Path = BUNDLE) -> Objective:
    objective = make_objective(TrainConfig(network=network, out=Path()))
    assert start_from(objective, network, place) is None
    return objective.eval()


def by_onnx(network: Network, place: Path) -> dict[str, np.ndarray]:
    """What the files of a bundle say of the toy items, by name."""
    bundle, batch = NetworkBundle.load(place), toy_source_of(network)(3, CPU).batch(2)
    arrays = {key: value.numpy() for key, value in batch.items()}
    if network is Network.REFINE:
        return bundle.open("refine").run({key: arrays[key] for key in ("rendered", "observed")})
    if network is Network.SCORE:
        pairs = {key: arrays[key].reshape(-1, 6, 80, 80) for key in ("rendered", "observed")}
        features = bundle.open("score_features").run(pairs)["features"].reshape(2, 4, -1)
        scores = [bundle.open("score_attention").run({"features": row})["score"] for row in features]
        return {"score": np.stack(scores)}
    if network is Network.SOM:
        views = arrays["views"].reshape(-1, *arrays["views"].shape[2:])
        maps = bundle.open("som_query").run({"image": arrays["image"]})
        inputs = {name: np.repeat(array, 2, axis=0) for name, array in maps.items()}
        inputs |= {"objects": arrays["objects"].reshape(-1, 5, 60, 80)}
        return bundle.open("som_head").run({**inputs, **bundle.open("som_reference").run({"views": views})})
    crops = arrays["crops"][0]
    described = bundle.open("tom_encode").run({"crop": crops})
    memory = np.repeat(described["memory"][:1], len(crops), axis=0)
    return bundle.open("tom_compare").run({"current": described["current"], "memory": memory})


def by_torch(network: Network, net: nn.Module) -> dict[str, np.ndarray]:
    batch = toy_source_of(network)(3, CPU).batch(2)
    with torch.no_grad():
        if network in (Network.REFINE, Network.SCORE):
            out = net(batch["rendered"], batch["observed"])
            names = ("trans", "rot") if network is Network.REFINE else ("score",)
            return {n: t.numpy() for n, t in zip(names, out if isinstance(out, tuple) else (out,), strict=True)}
        if network is Network.SOM:
            mask, present = net(batch["image"], batch["objects"], batch["views"])
            return {"mask": mask.flatten(0, 1).numpy(), "present": present.flatten().numpy()}
        return {"logit": net(batch["crops"])[0, :, 0].numpy()}


@pytest.mark.parametrize("network", list(Network))
def test_the_torch_network_equals_the_onnx_of_a_bundle(network: Network, with_score: Path) -> None:
    """Largest difference seen: 5e-7 of the largest value."""
    objective, wanted = started(network, with_score), by_onnx(network, with_score)
    batch = toy_source_of(network)(3, CPU).batch(2)
    for found in (by_torch(network, objective.net), _after_setting(objective, network, batch)):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            scale = max(float(np.abs(value).max()), 1.0)
            np.testing.assert_allclose(found[name], value, atol=5e-6 * scale, rtol=0.0, err_msg=name)


def _after_setting(objective: Objective, network: Network, batch: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    from storm_edge.networks.nano_onnx import set_batchnorms

    set_batchnorms(objective, lambda: objective(batch))
    return by_torch(network, objective.net)


def test_score_starts_with_the_trunk_of_a_bundle_that_has_none(tmp_path: Path) -> None:
    """The trunk says of the cells what RefineNet's says in the bundle; the rest is as drawn."""
    objective = make_objective(TrainConfig(network=Network.SCORE, out=Path()))
    assert isinstance(objective, ScoreObjective)
    drawn = {name: value.clone() for name, value in objective.state_dict().items() if "trunk." not in name}
    told = start_from(objective, Network.SCORE, write_nano_without_score(tmp_path / "bare"))
    assert told == "bundle bare has no ScoreNet: it starts with the trunk of RefineNet"
    refine = started(Network.REFINE)
    assert isinstance(refine, RefineObjective)
    pairs = ToySource(3, CPU).batch(2)
    cells = [
        trunk.eval()(pairs["rendered"], pairs["observed"])
        for trunk in (objective.net.features.trunk, refine.net.trunk)
    ]
    assert torch.equal(*cells)
    assert all(torch.equal(value, objective.state_dict()[name]) for name, value in drawn.items())
    tiny.refine(tmp_path / "net.onnx", size_px=80)
    write_manifest(tmp_path, name="odd", size_px=80, preset="default", networks={"tom_compare": "net.onnx"})
    with pytest.raises(EngineError, match=r"bundle odd: got no ScoreNet and no RefineNet, .*leave --start-from out"):
        start_from(objective, Network.SCORE, tmp_path)
    with pytest.raises(EngineError, match=r"bundle odd: got no som, .*leave --start-from out"):
        start_from(make_objective(TrainConfig(network=Network.SOM, out=Path())), Network.SOM, tmp_path)


def test_a_run_says_that_score_starts_with_a_trunk_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = TrainConfig(
        network=Network.SCORE, out=tmp_path / "a", steps=1, batch=8, threads=1, workers=0, chunk=8, pool=8, fill=8,
        held_out=8, generator=SETS_OF_FOUR, start_from=write_nano_without_score(tmp_path / "bare"),
    )  # fmt: skip
    train(config, source=ToySets, held_out=ToySets)
    assert [record.getMessage() for record in caplog.records] == [
        "bundle bare has no ScoreNet: it starts with the trunk of RefineNet"
    ]


def test_set_batchnorms_compute_in_training_what_they_do_in_evaluation() -> None:
    """Without that the first step would normalise what was folded, and forget what the weights know."""
    objective, batch = started(Network.REFINE), ToySource(3, CPU).batch(16)
    wanted = objective(batch)[0].item()
    spoilt = started(Network.REFINE).train()(batch)[0].item()
    _after_setting(objective, Network.REFINE, batch)
    assert objective.train()(batch)[0].item() == pytest.approx(wanted, rel=1e-3)
    assert abs(spoilt - wanted) > 0.01 * wanted


def test_a_run_starts_from_the_bundle_and_from_a_file_of_it(tmp_path: Path) -> None:
    config = TrainConfig(
        network=Network.REFINE, out=tmp_path / "a", steps=1, learning_rate=1e-8, batch=8, threads=1, workers=0,
        chunk=32, pool=32, fill=32, held_out=32, start_from=BUNDLE,
    )  # fmt: skip
    wanted = started(Network.REFINE).figures(ToySource(1_000_000, CPU).batch(32))
    from_bundle = train(config, source=ToySource, held_out=ToySource)
    # The one step moves the statistics of the normalisations a little.
    assert from_bundle.held_out == pytest.approx(wanted, rel=0.05)
    file = NetworkBundle.load("nano").networks["refine"].path
    named = train(replace(config, out=tmp_path / "b", start_from=file), source=ToySource, held_out=ToySource)
    assert named.held_out == pytest.approx(from_bundle.held_out)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    narrow = make_objective(TrainConfig(network=Network.REFINE, out=Path(), nano=NanoConfig(stem=8)))
    with pytest.raises(CheckpointError, match=r"misshapen \(trunk.encoder.0.0.weight"):
        start_from(narrow, Network.REFINE, BUNDLE)
    refine = NetworkBundle.load("nano").networks["refine"].path
    som = make_objective(TrainConfig(network=Network.SOM, out=Path()))
    with pytest.raises(EngineError, match="nowhere"):
        start_from(som, Network.SOM, tmp_path / "nowhere")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match=r"broken.onnx: got other content, expected an ONNX file"):
        start_from(narrow, Network.REFINE, tmp_path / "broken.onnx")
    (tmp_path / "som.onnx").write_bytes(refine.read_bytes())
    with pytest.raises(CheckpointError, match="som_reference"):
        start_from(som, Network.SOM, tmp_path / "som.onnx")
    assert not is_bundle(tmp_path / "checkpoint.pt")
