from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from storm_edge.errors import ConfigError
from storm_edge.live.profile import read_profile
from storm_edge.service.profile_sections import RealSenseSection, check_sections, read_service_profile
from tests.live.test_profile import GOOD, SHIPPED

SERVICE: dict[str, Any] = {
    "source": {"kind": "recording", "path": "scene"},
    "objects": [{"path": "mug", "name": "cup"}, {"path": "box"}],
    "sinks": [{"kind": "json_lines", "path": "poses.jsonl", "kept": 2}, {"kind": "json_lines"}],
}


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(GOOD | content))
    return path


def test_sections_become_values_and_files_are_looked_for_from_the_profile(tmp_path: Path) -> None:
    profile = read_service_profile(write(tmp_path, SERVICE))
    assert profile.words == "source recording; objects cup, box; sinks json_lines, json_lines"
    assert profile.file(profile.objects[0].path) == tmp_path / "mug"
    assert [item.capacity for item in profile.sinks] == [64, 64]
    section = read_service_profile(write(tmp_path, {"source": {"kind": "realsense"}})).source
    assert isinstance(section, RealSenseSection)
    assert (section.serial, section.usb2) == (None, "refuse")


def test_a_profile_without_sections_is_one_for_the_benchmark(tmp_path: Path) -> None:
    path = write(tmp_path, {})
    assert read_profile(path).sections.is_empty
    assert check_sections(path) is None
    with pytest.raises(ConfigError, match=r"profile.yaml: got no source, expected where frames come from; add one"):
        read_service_profile(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"sorce": {}}, "unknown key 'sorce', expected a key of a profile; did you mean 'source'?"),
        ({"source": {}}, "got no source.kind, expected one of realsense, recording, synthetic, external"),
        ({"source": {"kind": "webcam"}}, "got source.kind: 'webcam', expected one of realsense"),
        ({"source": {"kind": ["realsense"]}}, "got source.kind: ['realsense'], expected one of"),
        (
            {"source": {"kind": "realsense", "serail": "1"}},
            "unknown key 'source.serail', expected a key of a profile;",
        ),
        ({"source": {"kind": "realsense", "serail": "1"}}, "did you mean 'serial'?"),
        ({"source": {"kind": "realsense", "serial": 12}}, "source.serial: 12"),
        ({"source": {"kind": "recording"}}, "no source.path"),
        ({"source": {"kind": "recording", "path": "x", "play": "no"}}, "source.play: 'no'"),
        ({"source": {"kind": "synthetic", "stall_s": 0}}, "source.stall_s: 0"),
        ({"source": "realsense"}, "source"),
        ({"objects": [{"path": "a"}, {"nmae": "b", "path": "b"}]}, "unknown key 'objects.1.nmae'"),
        ({"objects": [{"path": "a", "name": "a/b"}]}, "objects.0.name: 'a/b'"),
        ({"objects": ["mug"]}, "objects.0"),
        ({"sinks": [{"kind": "json_lines", "capacity": 0}]}, "sinks.0.capacity: 0"),
        ({"sinks": [{"kind": "zeromq", "encoding": "xml"}]}, "sinks.0.encoding: 'xml'"),
        ({"sinks": [{"kind": "unix_socket", "most_clients": 0}]}, "sinks.0.most_clients: 0"),
        ({"health": {"prot": 9108}}, "unknown key 'health.prot', expected a key of a profile; did you mean 'port'?"),
        ({"health": {"port": 70000}}, "health.port: 70000"),
        ({"control": {"path": ""}}, "control.path: ''"),
        ({"recording": {"colour": "png"}}, "recording.colour: 'png'"),
        ({"recording": {"before_s": -1}}, "recording.before_s: -1"),
        ({"sinks": [{"kind": "carrier pigeon"}]}, "got sinks.0.kind: 'carrier pigeon', expected one of json_lines"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, content: dict[str, Any], words: str) -> None:
    path = write(tmp_path, SERVICE | content)
    with pytest.raises(ConfigError) as raised:
        read_service_profile(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_profile_is_one_for_the_service(path: Path) -> None:
    profile = read_service_profile(path)
    assert profile.sinks
    assert ("kind realsense" in profile.words or "source realsense" in profile.words) == (path.stem != "cpu")
