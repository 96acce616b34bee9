"""Collecting: what reaches the engines while the pipeline runs, with where it came from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.scene import BopScene
from storm_edge.calib.capture import Recorder, RecordingBundle
from storm_edge.calib.collect import CalibrationRecording, collect
from storm_edge.calib.sets import RowSource
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import InputError
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.onboard import onboard
from tests.engines import tiny
from tests.tiny_scene import MODEL, write_tiny_scene


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> NetworkBundle:
    folder = tmp_path_factory.mktemp("networks")
    tiny.refine(folder / "refine.onnx", size_px=32)
    tiny.score_features(folder / "score_features.onnx", size_px=32)
    tiny.score_attention(folder / "score_attention.onnx")
    files = {name: f"{name}.onnx" for name in ("refine", "score_features", "score_attention")}
    write_manifest(folder, name="tiny", size_px=32, preset="default", networks=files)
    return NetworkBundle.load(folder)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_scene(tmp_path_factory.mktemp("calib") / "scene", frame_count=3)


@pytest.fixture(scope="module")
def box(scene: Path) -> ObjectBundle:
    return onboard(scene / MODEL, "mm", view_subdivisions=1)


def test_a_set_tells_of_every_row_where_it_came_from(
    networks: NetworkBundle, scene: Path, box: ObjectBundle, tmp_path: Path
) -> None:
    recording = CalibrationRecording(scene=BopScene(scene), objects=[box], name="scene")
    found = collect([recording], networks, tmp_path / "set", most=10)
    assert set(found.onnx_sha256) == {"refine", "score_features", "score_attention"}
    states = [source.state for source in found.row_sources["refine"]]
    assert set(states) == {"register", "track"}
    assert found.count("refine") <= 10
    tracked = next(source for source in found.row_sources["refine"] if source.state == "track")
    assert tracked.scene == "scene"
    assert tracked.object_id == box.object_id
    assert tracked.distance_m == pytest.approx(0.5, abs=0.1)
    rows = found.rows("refine", networks.networks["refine"].sha256, most=10)
    assert rows["rendered"].shape[1:] == (6, 32, 32)
    assert not np.array_equal(rows["rendered"], rows["observed"])


def test_a_bundle_without_scorenet_is_calibrated_without(
    networks: NetworkBundle, scene: Path, box: ObjectBundle, tmp_path: Path
) -> None:
    """As the bundle that ships: what it does not have is left out."""
    files = {name: file for name, file in networks.networks.items() if name == "refine"}
    recording = CalibrationRecording(scene=BopScene(scene), objects=[box], name="scene")
    found = collect([recording], replace(networks, networks=files), tmp_path / "set", most=10)
    assert set(found.onnx_sha256) == {"refine"}
    assert {source.state for source in found.row_sources["refine"]} == {"register", "track"}


def test_nothing_registered_is_refused(networks: NetworkBundle, box: ObjectBundle, tmp_path: Path) -> None:
    def speck(mask: np.ndarray) -> np.ndarray:
        one = np.zeros_like(mask)
        one[tuple(np.argwhere(mask)[0])] = True
        return one

    scene = write_tiny_scene(tmp_path / "scene", edit_mask=speck)
    recording = CalibrationRecording(scene=BopScene(scene), objects=[box], name="scene")
    with pytest.raises(InputError, match="1 objects, none registered"):
        collect([recording], networks, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_long_recording_does_not_drown_a_short_one(networks: NetworkBundle, rng: np.random.Generator) -> None:
    recorder = Recorder(per_stratum=3)
    engine = RecordingBundle.around(networks, recorder).open("score_attention")
    for scene, calls in (("long", 50), ("short", 2)):
        recorder.source = RowSource(scene=scene, object_id="o", state="track")
        for _ in range(calls):
            features = rng.random((4, 6), dtype=np.float32)
            assert engine.run({"features": features})["score"].shape == (4,)
    rows, sources = recorder.rows(most=5)
    assert [source.scene for source in sources["score_attention"]] == ["long", "short", "long", "short", "long"]
    assert rows["score_attention"]["features"].shape == (5, 6)
    everything = recorder.rows(most=100)[0]["score_attention"]["features"]
    assert len(np.unique(everything, axis=0)) == 6


def test_recording_leaves_what_is_bound_as_it_is(networks: NetworkBundle, rng: np.random.Generator) -> None:
    recorder = Recorder()
    engine = RecordingBundle.around(networks, recorder).open("refine")
    buffers = {k: rng.random((4, 6, 32, 32), dtype=np.float32) for k in ("rendered", "observed")}
    out = {k: np.zeros((4, 3), dtype=np.float32) for k in ("trans", "rot")}
    engine.bind({**buffers, **out})
    engine.launch(2)
    rows, _ = recorder.rows(most=10)
    np.testing.assert_array_equal(rows["refine"]["observed"], buffers["observed"][:2])
    wanted = (buffers["observed"] - buffers["rendered"]).mean((2, 3))[:2, 3:]
    np.testing.assert_allclose(out["trans"][:2], wanted, atol=1e-6)
