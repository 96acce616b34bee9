"""What people write in YAML: taken whole, or refused in one line that helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from storm_edge.errors import ConfigError
from storm_edge.strict_model import StrictModel
from storm_edge.yaml_file import read_yaml


class Camera(StrictModel):
    width_px: int
    rate_hz: float = Field(default=30.0, gt=0.0)


class Machine(StrictModel):
    name: str
    camera: Camera
    spare: dict[str, Camera] | None = None


GOOD = "name: bench\ncamera: {width_px: 640}\n"


def write(folder: Path, content: bytes) -> Path:
    path = folder / "machine.yaml"
    path.write_bytes(content)
    return path


def test_a_good_file_becomes_a_model_that_cannot_be_changed(tmp_path: Path) -> None:
    machine = read_yaml(write(tmp_path, GOOD.encode()), Machine, what="a machine")
    assert machine == Machine(name="bench", camera=Camera(width_px=640, rate_hz=30.0))
    with pytest.raises(ValueError, match="frozen"):
        machine.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("nmae: x\ncamera: {width_px: 640}", "unknown key 'nmae', expected a key of a machine; did you mean 'name'"),
        (
            "name: x\ncamera: {width_px: 1, rate: 3}",
            "unknown key 'camera.rate', expected a key of",
        ),
        ("name: x\ncamera: {width_px: 1}\nspare: {a: {rate: 3}}", "did you mean 'rate_hz'?"),
        (GOOD + "zebra: 1", "known keys are ['camera', 'name', 'rate_hz', 'spare', 'width_px']"),
        (
            "name: x\ncamera: {}",
            "got no camera.width_px, expected every key that has no default; add",
        ),
        ("name: x\ncamera: {width_px: wide}", "got camera.width_px: 'wide', expected"),
        ("name: x\ncamera: {width_px: 1, rate_hz: 0}", "got camera.rate_hz: 0, expected"),
        ("name: x\ncamera: {width_px: 1, rate_hz: .nan}", "got camera.rate_hz: nan, expected"),
        ("name: x\ncamera: {width_px: 1, rate_hz: .inf}", "got camera.rate_hz: inf, expected"),
        ("name: x\ncamera: [1]", "got camera: Input should be a valid dictionary"),
        ("name: x\ncamera: null", "got camera: None, expected"),
        ("", "got the file is empty, expected keys and values of a machine"),
        ("- 1", "got the file is a list, expected keys and values of a machine"),
        ("name: [", "expected YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, content: str, words: str) -> None:
    path = write(tmp_path, content.encode())
    with pytest.raises(ConfigError) as raised:
        read_yaml(path, Machine, what="a machine")
    assert str(raised.value).startswith(f"{path}: got ")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"got No such file or directory, expected a machine that can be read"):
        read_yaml(tmp_path / "none.yaml", Machine, what="a machine")
    with pytest.raises(ConfigError, match="bytes that are no text"):
        read_yaml(write(tmp_path, b"\xff\xfe\x00\xd8"), Machine, what="a machine")
