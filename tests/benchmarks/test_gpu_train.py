"""What a GPU machine is asked to do: steps in order, each with a limit, and a failure of one stops no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from benchmarks import gpu_train
from benchmarks.gpu_train import Step, run_step, steps_of, write_recipes
from storm_edge.export.recipe import Gates, read_recipe
from storm_edge.train.shares import Plan


def _say(name: str, code: str, limit_min: float = 1.0) -> Step:
    return Step(name=name, command=["-c", code], limit_min=limit_min)


def test_training_comes_before_export_and_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    steps = {step.name: step for step in steps_of(tmp_path, 60.0, device="cuda", dry_run=False)}
    names = list(steps)
    assert names.index("train") < names.index("export")
    assert steps["train"].limit_min > 60.0
    assert "--resume" not in steps["train"].command
    assert "--steps" not in steps["train"].command
    (tmp_path / "networks").mkdir()
    Plan(minutes=60.0).write(tmp_path / "networks")
    again = {step.name: step for step in steps_of(tmp_path, 60.0, device="cuda", dry_run=False)}
    assert "--resume" in again["train"].command


def test_the_recipes_name_the_checkpoints_of_the_run(tmp_path: Path) -> None:
    paths = write_recipes(tmp_path)
    assert len(paths) == 4
    for path in paths:
        source = yaml.safe_load(path.read_text())["source"]
        (checkpoint := Path(source["checkpoint"])).parent.mkdir(parents=True)
        checkpoint.touch()
        assert read_recipe(path).source.checkpoint == checkpoint


def test_a_dry_run_holds_networks_of_two_steps_to_no_gate(tmp_path: Path) -> None:
    """They answer at random: half of the time the same hypothesis wins in FP16, and the dry run used to end there."""
    list(steps_of(tmp_path / "real", 60.0, device="cuda", dry_run=False))
    list(steps_of(tmp_path / "dry", 60.0, device="cpu", dry_run=True))
    for network in ("refine", "score", "som", "tom"):
        real, dry = (read_recipe(tmp_path / run / "recipes" / f"nano-{network}.yaml") for run in ("real", "dry"))
        assert real.gates.keys() == dry.gates.keys()
        assert all(gate.tensors.cosine >= 0.98 for gate in real.gates.values())
        assert all(gate == Gates(tensors=gate.tensors) for gate in dry.gates.values())
        assert all(gate.tensors.cosine == -1.0 for gate in dry.gates.values())


def test_a_step_that_fails_or_hangs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_step(_say("good", "print('all is well')"), tmp_path).status == 0
    assert run_step(_say("bad", "raise SystemExit('error: no luck')"), tmp_path).status == 1
    assert run_step(_say("slow", "import time; time.sleep(60)", limit_min=0.02), tmp_path).status is None
    told = capsys.readouterr().out
    assert "all is well" in told
    assert "error: no luck" in told
    assert (tmp_path / "good.txt").read_text() == "all is well\n"


def test_what_failed_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def steps(out: Path, minutes: float, *, device: str, dry_run: bool) -> Iterator[Step]:
        yield _say("bad", "raise SystemExit(3)")
        yield _say("good", "pass")

    monkeypatch.setattr(gpu_train, "steps_of", steps)
    with pytest.raises(SystemExit) as ended:
        gpu_train.gpu_train(tmp_path / "run", dry_run=True)
    assert ended.value.code == 1
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [(step["name"], step["status"]) for step in summary["steps"]] == [("bad", 3), ("good", 0)]
    assert "FAILED" in capsys.readouterr().out
