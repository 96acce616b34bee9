"""The TensorRT backend on the stand-in: the networks' answers, the rules, and everything that is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import warp as wp

from storm_edge.choices import Backend
from storm_edge.engines.backend import require_backend
from storm_edge.engines.backends import gpu
from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt.engine import TensorRtEngine
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Engine, EngineSpec
from storm_edge.engines.manifest import FileConventions, write_manifest
from storm_edge.errors import BackendError, EngineError
from storm_edge.export.recipe import read_recipe
from storm_edge.pipeline.track.batched_launches import is_capturable
from tests.engines import stand_in, tiny
from tests.engines.tensorrt import StandIn, as_exported, doubled, exported

SIZE_PX = 16
PROFILES = {"track": (1, 1, 4), "register": (1, 8, 16)}
RECIPES = Path(__file__).resolve().parents[4] / "export"
NANO = {
    graph: dict(plan.profiles)
    for path in sorted(RECIPES.glob("nano-*.yaml"))
    for graph, plan in read_recipe(path).graphs.items()
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A bundle of NVIDIA's kind: tensors of other names, images channels last, scores ``(1, N)``."""
    folder = tmp_path / "source"
    folder.mkdir()
    names = ("input1", "input2", "output1", "output2")
    tiny.refine(folder / "refine.onnx", size_px=SIZE_PX, names=names, channels_last=True)
    tiny.score_joint(folder / "score.onnx", size_px=SIZE_PX)
    pair = {"rendered": "input1", "observed": "input2"}
    write_manifest(
        folder,
        name="published",
        size_px=SIZE_PX,
        preset="parity",
        networks={"refine": "refine.onnx", "score": "score.onnx"},
        conventions={
            "refine": FileConventions(layout="nhwc", tensors={**pair, "trans": "output1", "rot": "output2"}),
            "score": FileConventions(layout="nhwc", tensors={**pair, "score": "output1"}),
        },
    )
    return folder


@pytest.fixture
def bundle(source: Path, tmp_path: Path) -> Path:
    """The same as `storm-edge export` leaves it."""
    return as_exported(source, tmp_path / "mine", {"refine": PROFILES, "score": PROFILES})


@pytest.fixture
def engines(bundle: Path, standing_in: StandIn, tmp_path: Path) -> Path:
    """The engines of the bundle, built."""
    standing_in.build(bundle, tmp_path / "engines")
    return tmp_path / "engines"


def _load(bundle: Path, engines: Path) -> NetworkBundle:
    return NetworkBundle.load(bundle, backend=Backend.TENSORRT, engine_folder=engines)


def _inputs(spec: EngineSpec, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        t.name: rng.standard_normal([count if n is None else n for n in t.shape], dtype=np.float32)
        for t in spec.inputs
    }


def _buffers(engine: Engine, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    outputs = {
        t.name: np.full([count if n is None else n for n in t.shape], np.nan, dtype=np.float32)
        for t in engine.spec.outputs
    }
    return _inputs(engine.spec, count, rng) | outputs


def test_every_nano_graph_answers_as_on_onnx_runtime(
    standing_in: StandIn, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Each once per profile of its recipe, by `run` and by `bind` and `launch`."""
    shipped = NetworkBundle.load("nano")
    exported_nano = as_exported(shipped.folder, tmp_path / "nano", NANO)
    standing_in.build(exported_nano, tmp_path / "engines")
    built = _load(exported_nano, tmp_path / "engines")
    assert built.networks.keys() == shipped.networks.keys()
    for graph in built.networks:
        engine, wanted = built.open(graph), shipped.open(graph)
        assert engine.spec == wanted.spec
        for count in sorted({min(most, 3) for _, _, most in NANO[graph].values()}):
            inputs = _inputs(wanted.spec, count, rng)
            expected = wanted.run(inputs)
            for name, array in engine.run(inputs).items():
                np.testing.assert_allclose(array, expected[name], atol=1e-5, rtol=1e-5, err_msg=f"{graph}.{name}")
            buffers = inputs | {name: np.full_like(array, np.nan) for name, array in expected.items()}
            engine.bind(buffers)
            engine.launch(count)
            for name, array in expected.items():
                np.testing.assert_allclose(buffers[name], array, atol=1e-5, rtol=1e-5, err_msg=f"{graph}.{name}")
    assert stand_in.broken == []
    assert stand_in.launches


def test_published_names_and_layouts_come_out_as_ours(bundle: Path, engines: Path, rng: np.random.Generator) -> None:
    for network in ("refine", "score"):
        expected = NetworkBundle.load(bundle).open(network)
        engine = _load(bundle, engines).open(network)
        assert engine.spec == expected.spec
        inputs = _inputs(engine.spec, 5, rng)
        for name, array in engine.run(inputs).items():
            np.testing.assert_allclose(array, expected.run(inputs)[name], atol=1e-6)


def test_an_engine_may_be_captured_into_a_graph_and_a_session_may_not(bundle: Path, engines: Path) -> None:
    assert is_capturable(_load(bundle, engines).open("refine"))  # through the transposition, too
    assert not is_capturable(NetworkBundle.load(bundle).open("refine"))


def test_a_launch_goes_to_the_stream_it_is_given_and_waits_for_nothing(
    standing_in: StandIn, bundle: Path, engines: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = stand_in.HostGpu(eager=False)
    monkeypatch.setattr(gpu, "open_gpu", lambda name: slow)
    engine = _load(bundle, engines).open("refine")
    other = stand_in.HostStream(eager=False)
    buffers = _buffers(engine, 2, rng)
    engine.bind(buffers)
    engine._inner.launch(2, other)  # type: ignore[attr-defined]  # past the transposition, which is Warp's
    engine._inner.launch(1)  # type: ignore[attr-defined]
    assert stand_in.launches == [other.cuda_stream, slow.current.cuda_stream]
    assert np.isnan(buffers["trans"]).all()
    other.synchronise()
    assert not np.isnan(buffers["trans"]).any()
    expected = NetworkBundle.load(bundle).open("refine")
    inputs = _inputs(engine.spec, 3, rng)
    np.testing.assert_allclose(engine.run(inputs)["rot"], expected.run(inputs)["rot"], atol=1e-6)  # this one waits
    assert stand_in.broken == []


def test_what_a_loop_bound_stays_bound_when_a_tool_runs(
    bundle: Path, engines: Path, rng: np.random.Generator
) -> None:
    engine = _load(bundle, engines).open("score")
    buffers = _buffers(engine, 4, rng)
    engine.bind(buffers)
    engine.run(_inputs(engine.spec, 9, rng))
    engine.launch(4)
    assert not np.isnan(buffers["score"]).any()
    assert stand_in.broken == []


def test_warp_arrays_are_bound_in_place(bundle: Path, engines: Path, rng: np.random.Generator) -> None:
    engine = _load(bundle, engines).open("refine")
    buffers = _buffers(engine, 3, rng)
    arrays = {name: wp.array(array, dtype=wp.float32, device="cpu") for name, array in buffers.items()}
    engine.bind(arrays)
    engine.launch()
    expected = (
        NetworkBundle.load(bundle).open("refine").run({name: buffers[name] for name in ("rendered", "observed")})
    )
    np.testing.assert_allclose(arrays["trans"].numpy(), expected["trans"], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e, b: e.launch(), "launch of refine: got 0, expected bound buffers"),
        (lambda e, b: (e.bind(b), e.launch(5)), "launch of refine: got 5, expected 1 to 4"),
        (
            lambda e, b: e.run({n: np.zeros((17, *b[n].shape[1:]), np.float32) for n in ("rendered", "observed")}),
            "refine: batch: got 17, expected 1 to 4 or 1 to 16; use smaller chunks",
        ),
        (
            lambda e, b: e.bind({n: np.zeros((17, *a.shape[1:]), np.float32) for n, a in b.items()}),
            "refine: batch: got 17",
        ),
        (lambda e, b: e.bind({n: a for n, a in b.items() if n != "rot"}), "buffers of refine: got"),
        (lambda e, b: e.bind(b | {"rot": b["rot"][:1]}), r"buffers of refine: got first sizes \[1, 4\]"),
        (lambda e, b: e.run({"rendered": b["rendered"]}), "inputs of refine: got"),
        (
            lambda e, b: e.run({"rendered": b["rendered"], "observed": b["observed"][:1]}),
            r"inputs of refine: got first sizes \[1, 4\]",
        ),
        (
            lambda e, b: e.run({"rendered": b["rendered"], "observed": b["observed"].astype(np.float64)}),
            r"refine.observed: got float64",
        ),
    ],
)
def test_wrong_calls_are_refused_before_tensorrt_sees_them(
    call: Callable[[Engine, dict[str, np.ndarray]], object],
    message: str,
    bundle: Path,
    engines: Path,
    rng: np.random.Generator,
) -> None:
    engine = _load(bundle, engines).open("refine")
    with pytest.raises(EngineError, match=message) as caught:
        call(engine, _buffers(engine, 4, rng))
    assert "\n" not in str(caught.value)
    assert stand_in.broken == []


def test_after_a_launch_that_failed_nothing_is_launched(
    bundle: Path, engines: Path, rng: np.random.Generator
) -> None:
    engine = _load(bundle, engines).open("refine")
    engine.bind(_buffers(engine, 2, rng))
    stand_in.faults.append("CUDA error 700: an illegal memory access was encountered")
    with pytest.raises(EngineError, match="launch of refine: got CUDA error 700"):
        engine.launch()
    with pytest.raises(EngineError, match=r"got a launch after one that failed, .*open it anew"):
        engine.launch()
    assert stand_in.broken == []  # TensorRT was not asked again


def test_the_precision_is_that_of_the_folder(standing_in: StandIn, bundle: Path, engines: Path) -> None:
    with pytest.raises(EngineError, match=r"engine of refine in fp16: got none in .*expected one for sm87"):
        _load(bundle / "fp16", engines).open("refine")
    standing_in.build(bundle, engines, "fp16")
    assert _load(bundle / "fp16", engines).open("refine").spec.name == "refine"


def _only_refine(engines: Path) -> Path:
    return next((engines / "mine" / "fp32" / "sm87").glob("refine-*.engine"))


def _edit_key(engines: Path, **change: object) -> None:
    """Another key, its digest kept right: an engine that was built elsewhere and copied here."""
    from storm_edge.engines.engine_key import EngineKey

    path = _only_refine(engines)
    manifest = json.loads(path.with_suffix(".json").read_text())
    key = EngineKey(**{**manifest["key"], **change})  # type: ignore[arg-type]
    folder = path.parents[1] / key.sm
    folder.mkdir(exist_ok=True)
    (folder / f"{key.stem}.engine").write_bytes(path.read_bytes())
    (folder / f"{key.stem}.json").write_text(json.dumps(manifest | {"key": manifest["key"] | change}))
    path.unlink()
    path.with_suffix(".json").unlink()


def _edit_manifest(engines: Path) -> None:
    path = _only_refine(engines).with_suffix(".json")
    path.write_text(path.read_text().replace("STRONGLY_TYPED", "FP16"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            shutil.rmtree,
            r"engine of refine in fp32: got none in .*expected one for sm87 \(stand-in\); build it again",
        ),
        (lambda e: _only_refine(e).unlink(), "got .*No such file.*an engine with its manifest"),
        (lambda e: _only_refine(e).with_suffix(".json").unlink(), "engine of refine in fp32: got none in"),
        (lambda e: os.truncate(_only_refine(e), 99), r"\.engine: got 99 bytes"),
        (lambda e: _only_refine(e).write_bytes(b"x" + _only_refine(e).read_bytes()[1:]), r"\.engine: got sha256"),
        (lambda e: _only_refine(e).with_suffix(".json").write_text("{"), r"\.json: got .*remove it"),
        (_edit_manifest, r"a stale one \(builder flags changed from"),
        (
            lambda e: _edit_key(e, version="10.16.2"),
            r"stale one \(TensorRT version changed from 10.16.2 to 10.3.0.26\)",
        ),
        (lambda e: _edit_key(e, recipe_sha256="b" * 64), r"stale one \(recipe changed from b{12} to a{12}\)"),
        (lambda e: _edit_key(e, gpu="Orin Nano"), r"stale one \(GPU changed from Orin Nano to stand-in\)"),
        (lambda e: _edit_key(e, sm="sm89"), r"got none but for sm89, expected one for sm87 \(stand-in\)"),
        (lambda e: _edit_key(e, system="driver 0"), r"stale one \(driver or L4T changed from driver 0 to driver 1\)"),
    ],
)
def test_an_engine_that_is_not_what_was_built_is_refused_in_one_line(
    damage: Callable[[Path], object], message: str, bundle: Path, engines: Path
) -> None:
    damage(engines)
    with pytest.raises(EngineError, match=message) as caught:
        _load(bundle, engines).open("refine")
    assert "\n" not in str(caught.value)
    assert stand_in.launches == []


def test_an_older_manifest_that_is_damaged_stands_in_nobodys_way(bundle: Path, engines: Path) -> None:
    (_only_refine(engines).parent / "refine-000000000000.json").write_text("{")
    assert _load(bundle, engines).open("refine").spec.name == "refine"


def test_workspace_and_the_very_gpu_do_not_matter_to_who_runs_it(bundle: Path, engines: Path) -> None:
    _edit_key(engines, workspace_mib=64, gpu="any", system="any")
    assert _load(bundle, engines).open("refine").spec.name == "refine"


def test_a_manifest_is_bound_to_the_name_of_its_engine(standing_in: StandIn, bundle: Path, engines: Path) -> None:
    """An edited manifest cannot make an engine of one TensorRT pass for one of another."""
    path = _only_refine(engines)
    manifest = path.with_suffix(".json")
    manifest.write_text(manifest.read_text().replace("STRONGLY_TYPED", "FP16"))
    with pytest.raises(EngineError, match="got a manifest that says it is"):
        TensorRtEngine(path, api=standing_in.api, gpu=standing_in.gpu)  # type: ignore[arg-type]


def test_what_tensorrt_cannot_load_is_refused_with_its_reason(
    standing_in: StandIn, bundle: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest fits; the plan inside is of another version, as after a partial upgrade."""
    path = _only_refine(engines)
    monkeypatch.setattr(stand_in, "__version__", "10.3.0.27")
    manifest = json.loads(path.with_suffix(".json").read_text())
    _edit_key(engines, version="10.3.0.27")
    assert manifest["key"]["version"] == "10.3.0.26"
    with pytest.raises(
        EngineError, match=r"got Version tag does not match.*an engine this GPU can load; build it again"
    ):
        _load(bundle, engines).open("refine")


def test_a_path_to_an_engine_of_another_gpu_is_refused(standing_in: StandIn, bundle: Path, engines: Path) -> None:
    standing_in.gpu.target = GpuTarget(sm="sm110", gpu="Thor", system="driver 1")
    with pytest.raises(EngineError, match=r"an engine for sm87 \(stand-in\), expected one for sm110 \(Thor\)"):
        TensorRtEngine(_only_refine(engines), api=standing_in.api, gpu=standing_in.gpu)  # type: ignore[arg-type]


def test_a_network_that_changed_since_is_not_run_by_its_old_engine(
    source: Path, bundle: Path, engines: Path, tmp_path: Path
) -> None:
    tiny.refine(
        source / "refine.onnx", size_px=SIZE_PX, names=("input1", "input2", "output2", "output1"), channels_last=True
    )
    pair = {"rendered": "input1", "observed": "input2"}
    write_manifest(
        source, name="published", size_px=SIZE_PX, preset="parity", networks={"refine": "refine.onnx"},
        conventions={
            "refine": FileConventions(layout="nhwc", tensors={**pair, "trans": "output1", "rot": "output2"})
        },
    )  # fmt: skip
    shutil.rmtree(bundle)
    as_exported(source, bundle, {"refine": PROFILES})
    with pytest.raises(EngineError, match=r"a stale one \(network changed from"):
        _load(bundle, engines).open("refine")
    shutil.copy(bundle / "refine.onnx", bundle / "fp16" / "refine.onnx")
    (bundle / "recipes" / "refine.json").unlink()
    with pytest.raises(EngineError, match=r"refine.onnx: got no recipes/\*.json that names it.*storm-edge export"):
        _load(bundle, engines).open("refine")


def test_the_contract_holds_for_engines_too(standing_in: StandIn, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    tiny.score_features(folder / "refine.onnx", size_px=SIZE_PX)
    write_manifest(folder, name="odd", size_px=SIZE_PX, preset="default", networks={"refine": "refine.onnx"})
    bundle = as_exported(folder, tmp_path / "mine", {"refine": PROFILES})
    standing_in.build(bundle, tmp_path / "engines")
    with pytest.raises(EngineError, match=r"refine.onnx: outputs: got \{'features'"):
        _load(bundle, tmp_path / "engines").open("refine")


def test_the_packaged_bundle_has_to_be_exported_first(standing_in: StandIn, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="a network of an exported bundle; export it with storm-edge export"):
        _load(Path("nano"), tmp_path).open("refine")


def test_int8_for_onnx_runtime_is_no_engine(standing_in: StandIn, tmp_path: Path) -> None:
    from storm_edge.engines.cache import EngineCache

    graph = replace(exported(doubled(tmp_path / "refine.onnx")), precision="int8")
    with pytest.raises(EngineError, match="INT8 as ONNX Runtime wants it, expected int8-fp16"):
        EngineCache(tmp_path, "mine").find(graph, standing_in.api, standing_in.gpu.target)


def test_a_backend_that_is_not_here_is_refused_and_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"tensorrt: got .*expected an installed package"):
        require_backend(Backend.TENSORRT, "cuda")
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in)
    with pytest.raises(BackendError, match="TensorRT: got device cpu, expected cuda or cuda:<i>; add --device cuda"):
        require_backend(Backend.TENSORRT, "cpu")
    require_backend(Backend.ONNXRUNTIME, "cpu")
