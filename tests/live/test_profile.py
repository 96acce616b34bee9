from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from storm_edge.choices import TrackerKind
from storm_edge.config.tree import leaves, plain
from storm_edge.errors import ConfigError
from storm_edge.live.config import StormConfig
from storm_edge.live.profile import check_camera, check_machine, read_profile

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "runtime").glob("*.yaml"))

GOOD: dict[str, Any] = {
    "version": 2,
    "machine": "bench",
    "device": "cpu",
    "cores": 2,
    "memory_mib": 1000,
    "bundle": "nano",
    "precision": "fp32",
    "camera": {"width_px": 640, "height_px": 480, "rate_hz": 25},
    "search": "beside",
    "config": {
        "session": {"tracker": "batched", "chunks_per_frame": 7, "register_chunk": 21, "verify_every": 4},
        "track": {"stepwise": {"ask_network": "always", "network_iterations": 3}, "batched.zero_copy": True},
    },
    "sustained_gmac_s": 3000.0,
}


def write(folder: Path, content: object) -> Path:
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def changed(at: str, value: object) -> dict[str, Any]:
    """The good profile with the entry ``a.b`` set to a value."""
    content: dict[str, Any] = yaml.safe_load(yaml.safe_dump(GOOD))
    *parents, last = at.split(".")
    part = content
    for name in parents:
        part = part.setdefault(name, {})
    part[last] = value
    return content


def test_a_profile_becomes_values_once(tmp_path: Path) -> None:
    profile = read_profile(write(tmp_path, GOOD))
    assert (profile.device, profile.bundle, profile.size_px, profile.rate_hz) == ("cpu", "nano", (480, 640), 25.0)
    assert profile.period_ms == 40.0
    assert profile.beside
    session, track = profile.config.session, profile.config.track
    assert (session.chunks_per_frame, session.register_chunk, session.verify_every) == (7, 21, 4)
    assert session.frames_per_chunk == 3
    assert (track.stepwise.ask_network, track.stepwise.network_iterations) == ("always", 3)
    assert (session.tracker, track.batched.network_iterations, track.batched.zero_copy) == (
        TrackerKind.BATCHED,
        1,
        True,
    )
    assert read_profile(write(tmp_path, changed("config.session.tracker", None))).config.session.tracker is None


def test_settings_go_before_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    settings = ["session.verify_every=5", "session.verify_every=6", "track.stepwise.ask_network=in doubt"]
    config = read_profile(path, settings).config
    assert (config.session.verify_every, config.session.register_chunk) == (6, 21)
    assert config.track.stepwise.ask_network == "in doubt"
    for settings in (["session.verify_every"], ["=5"], [""]):
        with pytest.raises(ConfigError, match=r"--set: got .*, expected KEY=VALUE"):
            read_profile(path, settings)
    with pytest.raises(ConfigError, match=r"--set: session.verify_every: got 0, expected 1 to 10000"):
        read_profile(path, ["session.verify_every=0"])


def test_every_key_of_the_tree_may_stand_in_a_profile(tmp_path: Path) -> None:
    """Its own value, as YAML writes it, is read as the same value."""
    values = {key: plain(entry.value) for key, entry in leaves(StormConfig()).items()}
    assert read_profile(write(tmp_path, GOOD | {"config": values})).config == StormConfig()


def test_the_estimate_is_that_of_the_network_sizes(tmp_path: Path) -> None:
    """Of the batched tracker: one RefineNet iteration and a fourth of TOM: 11.97 + 6.13 / 4 GMAC at 3000 a second."""
    assert read_profile(write(tmp_path, GOOD)).network_frame_ms == pytest.approx(4.50, abs=0.005)
    for content in (changed("sustained_gmac_s", None), changed("config.track.stepwise.ask_network", "never")):
        assert read_profile(write(tmp_path, content)).network_frame_ms is None


def test_further_precisions_lie_inside_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    content = changed("bundle", "full")
    assert read_profile(write(tmp_path, content)).bundle == str(tmp_path / "full")
    assert read_profile(write(tmp_path, content | {"precision": "fp16"})).bundle == str(tmp_path / "full" / "fp16")


def test_the_backend_is_named_and_its_engines_lie_beside_the_bundles(tmp_path: Path) -> None:
    profile = read_profile(write(tmp_path, GOOD))
    assert (profile.backend.value, profile.engines) == ("onnxruntime", tmp_path / ".." / "engines")
    profile = read_profile(write(tmp_path, GOOD | {"backend": "tensorrt", "engines": "built"}))
    assert (profile.backend.value, profile.engines) == ("tensorrt", tmp_path / "built")
    for path in SHIPPED:
        shipped = read_profile(path)
        assert shipped.backend.runs_engines == (shipped.device == "cuda")
        assert shipped.config.session.tracker is TrackerKind.on(shipped.device)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        ("version", 1, "got version: 1, expected version: 2; write 'version: 2'"),
        ("version", "two", "got version: 'two', expected version: 2"),
        ("memory_mb", 5, "unknown key 'memory_mb', expected a key of a profile; did you mean 'memory_mib'?"),
        ("camera.rate", 30, "unknown key 'camera.rate', expected a key of a profile; did you mean 'rate_hz'?"),
        ("lanes.locate", "beside", "unknown key 'lanes', expected a key of a profile; write it inside config"),
        ("qqq", 1, "known keys are ['backend'"),
        ("config.detect.candidtaes", 1, "unknown key 'detect.candidtaes', expected a key of the configuration;"),
        ("config.session.verify_evry", 1, "did you mean 'session.verify_every'?"),
        ("config.verify_every", 1, "did you mean 'session.verify_every'?"),
        ("config.state_machine.lost_after", 0, "state_machine.lost_after: got 0, expected 1 to 1000 [scores];"),
        ("config.state_machine.geometry.trust_above", 0.1, "state_machine.geometry: scores: got suspect_below 0.4"),
        ("precision", "fp61", "precision: 'fp61'"),
        ("device", "tpu", "device: 'tpu'"),
        ("config.session.tracker", "psychic", "session.tracker: got 'psychic', expected one of 'batched', 'step"),
        ("backend", "tensorflow", "backend: 'tensorflow'"),
        ("camera.rate_hz", 0, "camera.rate_hz: 0"),
        ("camera.rate_hz", float("nan"), "camera.rate_hz: nan"),
        ("config.session.register_chunk", 0, "session.register_chunk: got 0, expected 1 to 252 [hypotheses]"),
        ("cores", "two", "cores: 'two'"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, at: str, value: object, words: str) -> None:
    path = write(tmp_path, changed(at, value))
    with pytest.raises(ConfigError) as raised:
        read_profile(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_are_no_profiles(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    with pytest.raises(ConfigError, match="No such file"):
        read_profile(path)
    for data, words in ((b"", "the file"), (b"a: [", "YAML"), (b"\xff\xfe\x00\xd8", "no text"), (b"- 1", "the file")):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=words):
            read_profile(path)
    path.write_text(yaml.safe_dump({key: value for key, value in GOOD.items() if key != "cores"}))
    with pytest.raises(ConfigError, match="no cores"):
        read_profile(path)


def test_more_than_the_machine_has_is_refused(tmp_path: Path) -> None:
    profile = read_profile(write(tmp_path, GOOD))
    check_machine(profile, usable_cores=2, memory_mib=1000, device_memory_mib=1000)
    check_machine(profile, usable_cores=8, memory_mib=None)
    with pytest.raises(ConfigError, match="cores: got 2, expected at most the 1 usable here"):
        check_machine(profile, usable_cores=1, memory_mib=8000)
    with pytest.raises(ConfigError, match="memory_mib: got 1000, expected at most the 999"):
        check_machine(profile, usable_cores=2, memory_mib=999)
    with pytest.raises(ConfigError, match="memory_mib on the GPU: got 1000"):
        check_machine(profile, usable_cores=2, memory_mib=8000, device_memory_mib=500.0)
    check_camera(profile, (480, 640))
    with pytest.raises(ConfigError, match="got 1280x720, expected 640x480"):
        check_camera(profile, (720, 1280))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_profile_reads_and_bears_its_name(path: Path) -> None:
    profile = read_profile(path)
    assert profile.machine == path.stem
    text = path.read_text()
    assert ("Estimated" in text) == (profile.network_frame_ms is not None) == (path.stem != "cpu")
    if profile.network_frame_ms is not None:
        assert profile.network_frame_ms < profile.period_ms


def test_every_machine_of_the_plan_has_a_profile() -> None:
    assert [path.stem for path in SHIPPED] == ["agx-orin", "cpu", "orin-nano-8gb", "orin-nx-16gb"]


def table(text: str, first_heading: str) -> list[list[str]]:
    """Rows of the Markdown table whose first heading begins so."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_heading}"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_paper_budget_is_its_own_arithmetic() -> None:
    """Every number of docs/budgets.md from the ones it names, and the profiles' rates from there."""
    text = (ROOT / "docs" / "budgets.md").read_text(encoding="utf-8")
    sustained = []
    for _, multiprocessors, mhz, peak, share in table(text, "board"):
        assert float(peak) == pytest.approx(float(multiprocessors) * 1024 * float(mhz) / 1000, abs=1.0)
        assert float(share) == pytest.approx(0.4 * float(peak), abs=1.0)
        sustained.append(float(share))
    for name, rate in zip(("orin-nano-8gb", "orin-nx-16gb", "agx-orin"), sustained, strict=True):
        written = yaml.safe_load((ROOT / "runtime" / f"{name}.yaml").read_text())["sustained_gmac_s"]
        assert written == pytest.approx(rate, rel=0.002)
    for _, gmac, *times in table(text, "work"):
        assert re.fullmatch(r"[0-9.*+/ ]+", gmac)
        for time_ms, rate in zip(times, sustained, strict=True):
            assert float(time_ms) == pytest.approx(eval(gmac) / rate * 1000, rel=0.002, abs=0.051)
