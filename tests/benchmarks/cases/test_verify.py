"""What the verifier's scores are worth, where the network has no say on some poses."""

from __future__ import annotations

from benchmarks.cases.verify import summary


def row(kind: str, geometry: float, appearance: float | None) -> dict[str, object]:
    return {"kind": kind, "geometry": geometry, "appearance": appearance, "score": geometry}


def test_the_network_is_judged_by_the_poses_that_it_judged() -> None:
    """It tells both of them; geometry takes one of two turned poses for a right one."""
    rows = [row("right", 0.8, 2.0), row("right", 0.7, None), row("turned", 0.9, -1.0), row("turned", 0.1, None)]
    found = summary(rows)["turned"]
    assert found["geometry"] == 0.5
    assert found["appearance"] == 1.0
    assert (found["count"], found["judged_by_network"]) == (2, 1)


def test_a_kind_on_which_the_network_has_no_say_has_no_area() -> None:
    found = summary([row("right", 0.8, 2.0), row("hidden", 0.1, None)])["hidden"]
    assert found["appearance"] is None
    assert found["geometry"] == 1.0
