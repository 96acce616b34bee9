from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storm_edge.bench.compare import Verdict, compare, resampled_percentiles
from storm_edge.bench.stored_record import BenchRecord, read_record
from storm_edge.bench.tables import comparison_table
from storm_edge.errors import InputError


def content(samples_ms: dict[str, list[float]], **more: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "mode": "track",
        "rate_hz": 30.0,
        "locate": "beside",
        "device": {"kind": "cpu", "name": "x86_64", "compute_capability": None},
        "machine": {"cpu": "one", "usable_cores": 2, "load_average": [0.0, 0.0, 0.0]},
        "bundle": {"name": "nano", "tier": "nano", "networks": {"refine": "a" * 64}},
        "object": {"id": "mug", "face_count": 12},
        "recording": {"name": "demo", "frame_count": 75, "size_px": [480, 640]},
        "board": {"after": {"power_mode": None, "clocks": None}},
        "phases": [{"name": "track", "samples_ms": samples_ms}],
        **more,
    }


def record(samples_ms: dict[str, list[float]], **more: Any) -> BenchRecord:
    return BenchRecord.model_validate(content(samples_ms, **more))


def drawn(rng: np.random.Generator, count: int, mean_ms: float = 10.0) -> list[float]:
    return list(rng.gamma(20.0, mean_ms / 20.0, size=count))


def verdicts(before: list[float], after: list[float]) -> dict[int, Verdict]:
    found = compare(record({"track": before}), record({"track": after}))
    return {change.percentile: change.verdict for change in found.changes}


def test_two_runs_of_the_same_thing_are_within_the_noise(rng: np.random.Generator) -> None:
    """Not always: 99 % intervals are wrong now and then, here in one judgement of 30."""
    found = [verdict for _ in range(10) for verdict in verdicts(drawn(rng, 1000), drawn(rng, 1000)).values()]
    assert found.count(Verdict.SAME) >= 29


def test_a_real_change_is_found_both_ways(rng: np.random.Generator) -> None:
    slow, quick = drawn(rng, 1000, 12.0), drawn(rng, 1000, 10.0)
    assert set(verdicts(quick, slow).values()) == {Verdict.SLOWER}
    assert set(verdicts(slow, quick).values()) == {Verdict.FASTER}


def test_a_tail_may_change_alone(rng: np.random.Generator) -> None:
    before = drawn(rng, 2000)
    after = drawn(rng, 2000)
    after[::50] = [40.0] * len(after[::50])
    found = verdicts(before, after)
    assert (found[50], found[99]) == (Verdict.SAME, Verdict.SLOWER)


def test_one_slow_spell_is_noise_though_frames_alone_would_say_otherwise(rng: np.random.Generator) -> None:
    """A tenth of the run, in one piece, was slow: p90 moves by half, and a bootstrap over single frames is sure."""
    before, after = drawn(rng, 1000), drawn(rng, 1000)
    after[400:510] = drawn(rng, 110, 18.0)
    singly = [
        np.percentile(rng.choice(after, 1000), 90) - np.percentile(rng.choice(before, 1000), 90) for _ in range(500)
    ]
    assert np.percentile(singly, 0.5) > 0.05 * np.percentile(before, 90)
    assert verdicts(before, after)[90] is Verdict.SAME


def test_a_change_too_small_to_matter_is_not_one(rng: np.random.Generator) -> None:
    before = [10.0 + 1e-3 * x for x in rng.standard_normal(1000)]
    assert set(verdicts(before, [x + 0.2 for x in before]).values()) == {Verdict.SAME}
    tiny = [x * 1e-3 for x in before]
    assert set(verdicts(tiny, [2.0 * x for x in tiny]).values()) == {Verdict.SAME}


@pytest.mark.parametrize(
    ("count", "judged"), [(19, []), (20, [50]), (99, [50]), (100, [50, 90]), (1000, [50, 90, 99])]
)
def test_a_percentile_needs_samples_beyond_it(rng: np.random.Generator, count: int, judged: list[int]) -> None:
    found = verdicts(drawn(rng, count), drawn(rng, 5000))
    assert [p for p, verdict in found.items() if verdict is not Verdict.TOO_FEW] == judged


def test_the_bootstrap_has_the_spread_of_the_median(rng: np.random.Generator) -> None:
    """Of independent normal samples: the median's standard error is 1.2533 sigma over the root of the count."""
    spread = resampled_percentiles(rng.standard_normal(4000), rng)[:, 0].std()
    assert spread == pytest.approx(1.2533 / np.sqrt(4000), rel=0.35)


def test_the_same_records_have_the_same_verdict(rng: np.random.Generator) -> None:
    before, after = record({"track": drawn(rng, 100)}), record({"track": drawn(rng, 100)})
    assert compare(before, after) == compare(before, after)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": "locate"}, "mode track and locate"),
        ({"rate_hz": None}, "rate_hz 30.0 and None"),
        ({"device": {"kind": "cuda", "name": "x86_64", "compute_capability": 87}}, "device kind cpu and cuda"),
        ({"machine": {"cpu": "other", "usable_cores": 2}}, "machine cpu one and other"),
        (
            {"bundle": {"name": "nano", "networks": {"refine": "b" * 64}}},
            "bundle networks refine aaaaaaaaaaaa... and bbbbbbbbbbbb...",
        ),
        ({"object": {"id": "cup", "face_count": 12}}, "object id mug and cup"),
        ({"recording": {"name": "demo", "frame_count": 75, "size_px": [720, 1280]}}, "recording size_px"),
        ({"board": {"after": {"power_mode": "15W"}}}, "board after power_mode None and 15W"),
    ],
)
def test_different_things_are_compared_by_force_only(change: dict[str, Any], words: str) -> None:
    before, after = record({"track": [1.0, 2.0]}), record({"track": [1.0, 2.0]}, **change)
    with pytest.raises(InputError, match="--force") as raised:
        compare(before, after)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    forced = compare(before, after, force=True)
    assert words in forced.differences[0]
    assert len(forced.changes) == 3


def test_a_busier_machine_is_no_other_machine() -> None:
    busy = {"cpu": "one", "usable_cores": 2, "load_average": [9.0, 9.0, 9.0]}
    assert not compare(record({"track": [1.0]}), record({"track": [1.0]}, machine=busy)).differences


def test_stages_of_one_record_alone_are_named() -> None:
    found = compare(record({"track": [1.0], "wait": [1.0]}), record({"track": [1.0], "locate": [1.0]}))
    assert found.alone == ("track: wait, only in the first record", "track: locate, only in the second record")
    assert comparison_table(found).row_count == 3


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[]", "the file"),
        (json.dumps(content({"track": [1.0]}, format=2)), "format"),
        (json.dumps(content({"track": []})), "phases.0.samples_ms.track"),
        (json.dumps(content({"track": [float("nan")]})), "phases.0.samples_ms.track.0"),
        (json.dumps(content({"track": ["quick"]})), "phases.0.samples_ms.track.0"),
        (json.dumps({key: value for key, value in content({}).items() if key != "bundle"}), "bundle"),
        (b"\xff\xfe\x00".decode("latin-1"), "no JSON"),
    ],
)
def test_a_broken_record_is_named_in_one_line(tmp_path: Path, text: str, names: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError) as raised:
        read_record(path)
    assert str(raised.value).startswith(f"{path}: got ")
    assert names in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_record_is_found_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(content({"track": [1.0]})))
    assert read_record(tmp_path) == read_record(tmp_path / "bench.json")
    with pytest.raises(InputError, match="No such file"):
        read_record(tmp_path / "missing.json")
