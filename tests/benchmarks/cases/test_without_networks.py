"""What is left out is what the bundle has, and a copy without it is a bundle."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cases.without_networks import held_of, lacking
from storm_edge.engines.bundle import NetworkBundle
from tests.nano_with_score import write_nano_without_score


def test_networks_that_a_bundle_lacks_are_not_left_out_of_it(tmp_path: Path) -> None:
    bare = NetworkBundle.load(write_nano_without_score(tmp_path / "bare"))
    assert held_of(bare.networks) == ["som", "tom"]
    shipped = NetworkBundle.load("nano")
    assert held_of(shipped.networks) == ["som", "score", "tom"]
    without = NetworkBundle.load(lacking(shipped.folder, ["score"], tmp_path / "without"))
    assert without.networks.keys() == bare.networks.keys()
