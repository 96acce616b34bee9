from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command
from tests.nano_with_score import write_nano_without_score

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "runtime" / "cpu.yaml"


def test_the_tree_is_printed_with_what_a_profile_and_settings_change(storm_edge: Command) -> None:
    ended = storm_edge(
        "config", "show", "--profile", PROFILE, "--set", "session.verify_every=7", "--set", "session.tracker=none"
    )
    assert (ended.status, ended.err) == (0, "")
    starred = [line.split()[1] for line in ended.out.splitlines() if line.startswith("*")]
    assert starred == ["network_iterations", "register_chunk", "verify_every"]
    plain = storm_edge("config", "show")
    assert plain.out.splitlines()[-1] == "all values are the defaults"


def test_json_lists_every_key(storm_edge: Command) -> None:
    found = json.loads(storm_edge("config", "show", "--json", "--set", "session.verify_every=7").out)
    assert (found["session.verify_every"]["value"], found["session.verify_every"]["default"]) == (7, 3)


def test_a_profile_is_checked(storm_edge: Command, tmp_path: Path) -> None:
    ended = storm_edge("config", "check", PROFILE)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == f"{PROFILE}: right, for machine cpu"
    assert "session.register_chunk: 12 (default none)" in ended.out.splitlines()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(PROFILE.read_text().replace("register_chunk", "register_chnk"))
    refused = storm_edge("config", "check", wrong)
    assert (refused.status, refused.out) == (1, "")
    assert refused.err == (
        f"error: {wrong}: got unknown key 'session.register_chnk', expected a key of the configuration; "
        "did you mean 'session.register_chunk'?\n"
    )


def test_a_schedule_without_its_networks_is_refused(storm_edge: Command, tmp_path: Path) -> None:
    """As `run` would refuse it; a bundle that is on another machine is told and left alone."""
    text, bare = PROFILE.read_text(), write_nano_without_score(tmp_path / "bare")
    assert "bundle: nano" in text
    mine = tmp_path / "mine.yaml"
    mine.write_text(text.replace("bundle: nano", f"bundle: {bare}") + "schedule: hybrid\n")
    refused = storm_edge("config", "check", mine)
    assert (refused.status, refused.out) == (1, "")
    assert refused.err == (
        "error: schedule hybrid, changed with bundle bare: got no score_attention, score_features, expected the "
        "networks that it asks; give a bundle that has them, or --schedule geometry-first\n"
    )
    mine.write_text(text.replace("bundle: nano", "bundle: ./engines/full") + "schedule: hybrid\n")
    ended = storm_edge("config", "check", mine)
    assert ended.status == 0
    assert f"bundle {tmp_path / 'engines' / 'full'}: not on this machine" in ended.out


def test_a_wrong_setting_is_refused_in_one_line(storm_edge: Command, tmp_path: Path) -> None:
    for command in (
        ("track", tmp_path, "--object", "x", "--out", tmp_path / "out"),
        ("demo", "--out", tmp_path / "out"),
    ):
        ended = storm_edge(*command, "--set", "session.verify_every=0")
        assert (ended.status, ended.out) == (1, "")
        assert ended.err == (
            "error: --set: session.verify_every: got 0, expected 1 to 10000 [frames]; correct that value\n"
        )
    assert not (tmp_path / "out").exists()
    assert storm_edge("config", "show", "--markdown", "--json").status == 1
