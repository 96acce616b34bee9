from __future__ import annotations

import json
from pathlib import Path

import pytest

from storm_edge.bench import recording as bench_recording
from storm_edge.objects import onboard as onboarding
from storm_edge.synthetic import demo as demo_data
from tests.cli.conftest import Command
from tests.tiny_scene import write_tiny_scene


@pytest.fixture
def options(scene: Path, thing: Path, tmp_path: Path) -> list[object]:
    few: list[object] = ["--frames", 4, "--warm-up", 1, "--bundle", "none"]
    return ["bench", scene, "--object", thing, *few, "--out", tmp_path / "out"]


@pytest.mark.parametrize("tracker", ["batched", "stepwise"])
def test_a_run_leaves_a_record_and_a_plot(
    storm_edge: Command, options: list[object], tmp_path: Path, tracker: str
) -> None:
    ended = storm_edge(*options, "--rate", 20, "--tracker", tracker)
    assert (ended.status, ended.err) == (0, "")
    for words in ("end to end", "p99", "jitter", "4 poses came after", "frames were skipped", "host memory", "right"):
        assert words in ended.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bench.json", "bench.png", "SHA256SUMS"}
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert (record["mode"], record["rate_hz"], record["device"]["kind"]) == ("track", 20.0, "cpu")
    assert record["checked"]["right_share"] == 1.0
    assert record["tracker"]["kind"] == tracker
    assert f"tracker {tracker}" in ended.out
    (phase,) = record["phases"]
    assert phase["frame_count"] == 4
    assert len(phase["samples_ms"]["end to end"]) == 4
    assert set(phase["stages"]["track"]) >= {"p50", "p90", "p99", "max", "jitter", "first_p50", "last_p50"}
    assert {"before", "after", "over_current_events", "throttle_events"} == set(record["board"])
    assert str(tmp_path) not in json.dumps(record)


def test_json_prints_the_record_alone(storm_edge: Command, options: list[object], tmp_path: Path) -> None:
    ended = storm_edge(*options, "--json")
    assert ended.status == 0
    assert json.loads(ended.out) == json.loads((tmp_path / "out" / "bench.json").read_text())


def test_the_record_has_the_hashes_of_the_networks(
    storm_edge: Command, options: list[object], networks: Path, tmp_path: Path
) -> None:
    options[options.index("none")] = networks
    assert storm_edge(*options).status == 0
    bundle = json.loads((tmp_path / "out" / "bench.json").read_text())["bundle"]
    assert bundle["name"] == "tiny"
    assert {len(sha256) for sha256 in bundle["networks"].values()} == {64}


def test_without_a_scene_the_demo_is_rendered(
    storm_edge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = onboarding.build_viewpoints
    monkeypatch.setattr(onboarding, "build_viewpoints", lambda mesh, **_: build(mesh, subdivisions=1))
    monkeypatch.setattr(
        bench_recording, "write_demo_recording", lambda path, whole: write_tiny_scene(path, frame_count=3)
    )
    ended = storm_edge("bench", "--frames", 4, "--warm-up", 0, "--bundle", "none", "--out", tmp_path / "out")
    assert (ended.status, ended.err) == (0, "")
    assert json.loads((tmp_path / "out" / "bench.json").read_text())["recording"]["name"] == "demo"


def test_the_demo_recording_ends_before_the_mug_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from storm_edge.synthetic import scene_renderer

    counts = []
    monkeypatch.setattr(scene_renderer, "write_scene", lambda path, script: counts.append(script.frame_count))
    for whole in (False, True):
        bench_recording.write_demo_recording(tmp_path / "demo", whole=whole)
    assert counts == [demo_data.HIDDEN_FRAMES.start - 17, demo_data.FRAME_COUNT]


@pytest.mark.parametrize(
    ("more", "names"),
    [
        (["--rate", 0], "--rate: got 0"),
        (["--frames", 1], "--frames: got 1"),
        (["--device", "abacus"], "'abacus'"),
        (["--bundle", "missing"], "missing"),
        (["--mode", "recover"], "0 losses"),
    ],
)
def test_what_cannot_be_timed_is_refused_in_one_line(
    storm_edge: Command, options: list[object], tmp_path: Path, more: list[object], names: str
) -> None:
    ended = storm_edge(*options, *more)
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    assert names in ended.err
    assert not (tmp_path / "out").exists()


def test_a_scene_needs_an_object(storm_edge: Command, scene: Path, tmp_path: Path) -> None:
    ended = storm_edge("bench", scene, "--out", tmp_path / "out")
    assert ended.status == 1
    assert "--object: got nothing" in ended.err


def test_other_peoples_files_are_left_alone(storm_edge: Command, options: list[object], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "photo.png").write_bytes(b"")
    ended = storm_edge(*options)
    assert ended.status == 1
    assert "a folder with other files" in ended.err


def test_two_records_are_compared(storm_edge: Command, options: list[object], tmp_path: Path) -> None:
    assert storm_edge(*options).status == 0
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    for name, factor in (("first", 1.0), ("second", 2.0)):
        for stage in record["phases"][0]["samples_ms"]:
            record["phases"][0]["samples_ms"][stage] = [factor * (5.0 + 0.01 * i) for i in range(1000)]
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    ended = storm_edge("bench", "compare", tmp_path / "first.json", tmp_path / "second.json")
    assert (ended.status, ended.err) == (0, "")
    assert "12 slower" in ended.out
    assert "+100.0%" in ended.out
    ended = storm_edge("bench", "compare", tmp_path / "second.json", tmp_path / "first.json", "--json")
    assert {change["verdict"] for change in json.loads(ended.out)["changes"]} == {"faster"}
    record["mode"] = "locate"
    (tmp_path / "second.json").write_text(json.dumps(record))
    arguments = ["bench", "compare", tmp_path / "first.json", tmp_path / "second.json"]
    refused = storm_edge(*arguments)
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "mode track and locate" in refused.err
    forced = storm_edge(*arguments, "--force")
    assert forced.status == 0
    assert "note: the records differ: mode track and locate" in forced.err
    assert storm_edge("bench", "compare", tmp_path / "first.json", tmp_path).status == 1


def profile(folder: Path, **changes: object) -> Path:
    content = {
        "machine": "here",
        "device": "cpu",
        "cores": 1,
        "memory_mib": 16_000,  # of this process, which ran other tests before
        "bundle": "nano",
        "precision": "fp32",
        "camera": {"width_px": 96, "height_px": 72, "rate_hz": 20},
        "version": 2,
        "search": "between",
        "config": {"session": {"register_chunk": 8}},
        **changes,
    }
    path = folder / "profile.yaml"
    path.write_text(json.dumps(content))  # JSON is YAML
    return path


def test_a_profile_is_timed(storm_edge: Command, options: list[object], tmp_path: Path) -> None:
    ended = storm_edge(*options, "--profile", profile(tmp_path))
    assert (ended.status, ended.err) == (0, "")
    assert "profile here: memory budget of 16000 MiB kept" in ended.out
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert record["rate_hz"] == 20.0  # the profile's; the bundle is the option's
    assert record["bundle"]["name"] == "none"
    assert record["profile"]["machine"] == "here"
    assert record["config"] == {"session.register_chunk": 8}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"cores": 4096}, "profile here: cores: got 4096"),
        ({"memory_mib": 10**9}, "profile here: memory_mib: got 1000000000"),
        ({"camera": {"width_px": 640, "height_px": 480, "rate_hz": 20}}, "images for profile here: got 96x72"),
        ({"memory": 5}, "did you mean 'memory_mib'?"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused(
    storm_edge: Command, options: list[object], tmp_path: Path, changes: dict[str, object], names: str
) -> None:
    ended = storm_edge(*options, "--profile", profile(tmp_path, **changes))
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert names in ended.err
    assert not (tmp_path / "out").exists()


def test_a_precision_that_was_not_exported_is_no_silent_fp32(
    storm_edge: Command, options: list[object], tmp_path: Path
) -> None:
    at = options.index("--bundle")
    ended = storm_edge(*options[:at], *options[at + 2 :], "--profile", profile(tmp_path, precision="fp16"))
    assert ended.status == 1
    assert "nano/fp16" in ended.err
