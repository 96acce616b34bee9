"""How often networks were launched: by engine, over all engines of a network, and by graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.launch_counts import engine_kind, note_launches
from storm_edge.live.engine_recovery import ReopenableNetworks
from tests.full_tier import write_full_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> NetworkBundle:
    return NetworkBundle.load(write_full_bundle(tmp_path, sam2=False))


CROP = {"crop": np.zeros((1, 3, 224, 224), dtype=np.float32)}


def test_launches_and_runs_count(bundle: NetworkBundle) -> None:
    engine = bundle.open("tom_encode")
    engine.run(CROP)
    outputs = {name: np.zeros((1, 3), dtype=np.float32) for name in ("current", "memory")}
    engine.bind({**CROP, **outputs})
    before = bundle.launch_counts.by_network()
    engine.launch(1)
    engine.launch(1)
    assert before == {"tom_encode": 1}
    assert bundle.launches_since(before)["tom_encode"] == 2
    assert bundle.launches_since({})["som_head"] == 0


def test_all_engines_of_a_network_count_together(bundle: NetworkBundle) -> None:
    """Also those that a bundle made of this one opened, and those that were opened anew."""
    bundle.open("tom_encode").run(CROP)
    reopenable = ReopenableNetworks.around(replace(bundle, name="other"))
    engine = reopenable.open("tom_encode")
    engine.run(CROP)
    reopenable.reopen()
    engine.run(CROP)
    assert bundle.launch_counts.by_network()["tom_encode"] == 3


def test_what_a_graph_launches_is_noted(bundle: NetworkBundle) -> None:
    engine = ReopenableNetworks.around(bundle).open("tom_encode")
    note_launches(engine, 5)
    note_launches(engine, -1)
    assert bundle.launch_counts.by_network() == {"tom_encode": 4}
    assert engine_kind(engine) == "OnnxRuntimeEngine"
