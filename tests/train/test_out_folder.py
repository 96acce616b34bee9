"""The folder of a training run: a user's files stay, and what a signal ends is kept and says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storm_edge.errors import OutputError
from storm_edge.result_sums import write_sums
from storm_edge.train.checkpoint import load_checkpoint
from storm_edge.train.out_folder import TRAIN, none_left_empty, only_run, prepare_folder
from tests.result_kinds import everything
from tests.train.toy import train_here

SCRIPT = """
import sys
import pytest
from tests.train.toy import train_here
sys.exit(train_here(pytest.MonkeyPatch(), *sys.argv[1:]))
"""


def train(out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, "--out", str(out), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def until_first_log(process: subprocess.Popen[str], out: Path) -> None:
    while not (out / "log.jsonl").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "ended_by", "workers"), [(signal.SIGINT, "interrupted", "1"), (signal.SIGTERM, "terminated", "0")]
)
def test_a_signal_keeps_the_checkpoint_and_a_result_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, ended_by: str, workers: str
) -> None:
    out = tmp_path / "run"
    process = train(out, "--workers", workers)
    until_first_log(process, out)
    # To the whole group, as a terminal and a service manager do: the processes that draw pairs get it as well.
    subprocess.run(["kill", f"-{number}", "--", f"-{process.pid}"], check=True)
    said, told = process.communicate(timeout=300)
    assert (process.returncode, said) == (128 + number, "")
    assert f"{ended_by} after" in told
    assert "--resume goes on from there" in told
    assert "Traceback" not in told
    result = json.loads((out / "result.json").read_text())
    assert result["ended_by"] == ended_by
    assert load_checkpoint(out / "checkpoint.pt")["step"] == result["steps"] > 0
    assert sorted(everything(out)) == ["SHA256SUMS", "checkpoint.pt", "log.jsonl", "result.json"]
    options = ["--workers", "0", "--resume", "--steps", str(result["steps"] + 1)]
    assert train_here(monkeypatch, "--out", str(out), *options) == 0
    assert json.loads((out / "result.json").read_text())["ended_by"] is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("SHA256SUMS", "mine"),
        ("result.json", "{}"),
        ("result.json", "mine"),
        ("log.jsonl", "mine\n"),
        ("log.jsonl", '{"a": 1}\n'),
    ],
)
@pytest.mark.parametrize("resume", [False, True])
def test_a_users_file_of_our_name_is_refused(tmp_path: Path, name: str, content: str, resume: bool) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(OutputError, match=f"{name}: got a file that "):
        prepare_folder(tmp_path, resume=resume)
    assert everything(tmp_path) == {name: content}


def test_what_earlier_releases_left_is_known(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(dict.fromkeys(TRAIN.keys)))
    (tmp_path / "log.jsonl").write_text('{"step": 1, "elapsed_s": 0.1}\n')
    prepare_folder(tmp_path, resume=True)


def test_a_result_that_was_edited_is_refused(tmp_path: Path) -> None:
    content = {"made_by": "storm-edge train 0", "steps": 5}
    (tmp_path / "result.json").write_text(json.dumps(content))
    write_sums(tmp_path, ["result.json"])
    prepare_folder(tmp_path, resume=True)
    (tmp_path / "result.json").write_text(json.dumps({**content, "note": "mine"}))
    with pytest.raises(OutputError, match=r"result\.json: got a file that was changed since"):
        prepare_folder(tmp_path, resume=True)


def test_a_second_run_is_kept_out(tmp_path: Path) -> None:
    part = tmp_path / ".checkpoint.pt.part-1"
    part.write_text("killed as it wrote")
    with only_run(tmp_path):
        assert not part.exists()
        part.write_text("being written")
        with pytest.raises(OutputError, match="got a folder that a training run is writing"), only_run(tmp_path):
            pass
        assert part.exists()
    with only_run(tmp_path):
        pass


def test_a_run_that_fails_at_once_leaves_no_empty_folder(tmp_path: Path) -> None:
    def fail(out: Path) -> None:
        with none_left_empty(out):
            prepare_folder(out, resume=False)
            raise OutputError("no pairs")

    for out in (tmp_path / "new", tmp_path):
        was_there = out.exists()
        with pytest.raises(OutputError, match="no pairs"):
            fail(out)
        assert out.exists() is was_there
