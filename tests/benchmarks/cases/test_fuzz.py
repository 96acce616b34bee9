"""The fuzzer: sound files are read, a case is the same again, and it finds what is to be found."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.fuzz import worker
from benchmarks.fuzz.mutations import break_file
from benchmarks.fuzz.readers import READERS, Reader, sound
from tests.result_kinds import everything


@pytest.mark.parametrize("name", sorted(READERS))
def test_sound_files_are_read_and_a_case_is_the_same_again(name: str, tmp_path: Path) -> None:
    sound(name, tmp_path / "sound" / name)
    whole = everything(tmp_path / "sound" / name)
    READERS[name].read(tmp_path / "sound" / name, np.random.default_rng(0))
    broken = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        for number in range(3):
            answer = worker.run_case(name, number, seed=5, sounds=tmp_path / "sound", place=tmp_path / place)
            assert answer.outcome in ("read", "refused", "printed"), answer.detail
        broken.append(everything(tmp_path / place / "case"))
    assert {k: v for k, v in everything(tmp_path / "sound" / name).items() if k in whole} == whole
    if name not in ("onnx", "checkpoint"):  # what they leave beside them has a time in it
        assert broken[0] == broken[1]


def test_what_must_not_be_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path) -> None:
        (folder / "a.txt").write_text("whole")

    def read(folder: Path, rng: np.random.Generator) -> None:
        raise KeyError("a bug")

    def hungry(folder: Path, rng: np.random.Generator) -> None:
        raise MemoryError

    for name, function, outcome in (("csv", read, "traceback"), ("obj", hungry, "memory")):
        monkeypatch.setitem(READERS, name, Reader(write=write, read=function))
        sound(name, tmp_path / "sound" / name)
        found = worker.run_case(name, 0, seed=0, sounds=tmp_path / "sound", place=tmp_path)
        assert found.outcome == outcome


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".ply", ".glb", ".png", ".stl", ".obj", ".bin"])
def test_any_bytes_can_be_broken(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / f"a{suffix}"
    for data in (b"", b"{}", b'{"a": [1, {"b": 2}]}', os.urandom(50)):
        for _ in range(30):
            path.write_bytes(data)
            break_file(path, rng)
