"""Manifests are read as they were written; wrong ones, and networks that break the contract, are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import EngineSpec, TensorSpec
from storm_edge.engines.manifest import (
    CONTRACT,
    MANIFEST,
    OPTIONAL,
    FileConventions,
    Sizes,
    Tier,
    check_contract,
    file_sha256,
    read_manifest,
    write_manifest,
)
from storm_edge.errors import EngineError

SIZE_PX = 32
EVERY = [(tier, network) for tier, networks in CONTRACT.items() for network in networks]


def spec_of(tier: Tier, network: str) -> EngineSpec:
    """A network that keeps the contract; where the size is its own choice it is 7."""

    def tensor(name: str, sizes: Sizes) -> TensorSpec:
        shape = tuple({"size": SIZE_PX, "any": 7}.get(n, 0) if isinstance(n, str) else n for n in sizes)
        return TensorSpec(name=name, dtype=np.dtype(np.float32), shape=shape)

    inputs, outputs = CONTRACT[tier][network]
    return EngineSpec(
        name=network,
        inputs=tuple(tensor(name, sizes) for name, sizes in inputs.items()),
        outputs=tuple(tensor(name, sizes) for name, sizes in outputs.items()),
        sha256="0" * 64,
    )


def check(spec: EngineSpec, tier: Tier) -> None:
    check_contract(spec, file="net.onnx", size_px=SIZE_PX, tier=tier)


@pytest.mark.parametrize(("tier", "network"), EVERY)
def test_what_keeps_the_contract_passes_and_what_lacks_a_tensor_does_not(tier: Tier, network: str) -> None:
    spec = spec_of(tier, network)
    check(spec, tier)
    with pytest.raises(EngineError, match=r"net\.onnx: inputs: got"):
        check(replace(spec, inputs=spec.inputs[1:]), tier)
    with pytest.raises(EngineError, match=r"net\.onnx: outputs: got"):
        check(replace(spec, outputs=spec.outputs[1:]), tier)


def test_an_optional_input_may_be_there_and_another_may_not() -> None:
    spec = spec_of("full", "som_head")
    ((name, sizes),) = OPTIONAL["full", "som_head"].items()
    context = TensorSpec(name=name, dtype=np.dtype(np.float32), shape=(sizes[0], 5))  # type: ignore[arg-type]
    check(replace(spec, inputs=(*spec.inputs, context)), "full")
    with pytest.raises(EngineError, match="inputs: got"):
        check(replace(spec, inputs=(*spec.inputs, replace(context, name="other"))), "full")


def test_crops_are_of_the_bundles_size() -> None:
    with pytest.raises(EngineError, match=r"expected .*\(None, 6, 64, 64\)"):
        check_contract(spec_of("nano", "refine"), file="net.onnx", size_px=64, tier="nano")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(name.encode())
    published = FileConventions(layout="nhwc", tensors={"rendered": "input1"})
    write_manifest(
        tmp_path, name="mine", size_px=SIZE_PX, preset="parity", networks={"refine": "a.onnx", "score": "b.onnx"},
        conventions={"refine": published},
    )  # fmt: skip
    manifest = read_manifest(tmp_path)
    assert (manifest.name, manifest.size_px, manifest.preset, manifest.tier) == ("mine", SIZE_PX, "parity", "nano")
    refine, score = manifest.networks["refine"], manifest.networks["score"]
    assert (refine.file, refine.layout, refine.tensors) == ("a.onnx", "nhwc", {"rendered": "input1"})
    assert (score.file, score.layout, score.tensors) == ("b.onnx", "nchw", {})
    assert score.sha256 == file_sha256(tmp_path / "b.onnx")


def test_a_file_that_is_not_there_is_not_written_down(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"absent\.onnx: got No such file"):
        write_manifest(tmp_path, name="x", size_px=80, preset="default", networks={"refine": "absent.onnx"})
    assert not (tmp_path / MANIFEST).exists()


def test_a_network_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "any.onnx").write_bytes(b"")
    write_manifest(tmp_path, name="x", size_px=80, preset="default", networks={"refine": "any.onnx"})
    content = json.loads((tmp_path / MANIFEST).read_text())
    content["networks"]["refiner"] = content["networks"].pop("refine")
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(EngineError, match=r"tier nano: got refiner, expected of \['refine'.*correct the name or the"):
        read_manifest(tmp_path)


def test_the_tier_says_whose_networks_they_are(tmp_path: Path) -> None:
    (tmp_path / "any.onnx").write_bytes(b"")
    options = {"name": "mine", "size_px": 80, "preset": "default"}
    write_manifest(tmp_path, networks={"sam2_encoder": "any.onnx"}, **options)  # type: ignore[arg-type]
    assert NetworkBundle.load(tmp_path).tier == "nano"
    write_manifest(tmp_path, networks={"similarity": "any.onnx"}, tier="full", **options)  # type: ignore[arg-type]
    assert NetworkBundle.load(tmp_path).tier == "full"
    content = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(content | {"tier": "nano"}))
    with pytest.raises(EngineError, match="tier nano: got similarity"):
        NetworkBundle.load(tmp_path)
