"""Intrinsics of another resolution: remarked once, and poses must fit better to be believed."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import numpy as np
import pytest

from storm_edge.live.camera_doubt import camera_remark, doubting
from storm_edge.live.config import StateMachineConfig
from storm_edge.live.session import Session
from tests.staged import K, Staged


@pytest.mark.parametrize(("factor", "words"), [(0.5, "159.8, 119.8 px.*by 2"), (2.0, "639.0, 479.0 px.*by 0.5")])
def test_another_resolution_is_remarked_with_the_numbers(factor: float, words: str) -> None:
    remark = camera_remark(np.diag([factor, factor, 1.0]) @ K, (480, 640))
    assert remark is not None
    assert "\n" not in remark
    assert re.search(words, remark), remark


@pytest.mark.parametrize("shift", [(0.0, 0.0), (40.0, -30.0), (-60.0, 50.0)])
def test_a_camera_that_is_not_quite_centred_is_not_remarked(shift: tuple[float, float]) -> None:
    matrix = K.copy()
    matrix[:2, 2] += shift
    assert camera_remark(matrix, (480, 640)) is None


def test_a_remark_is_made_once_per_run(staged: Staged, caplog: pytest.LogCaptureFixture) -> None:
    half = np.diag([0.5, 0.5, 1.0]) @ K
    with Session() as session, caplog.at_level(logging.WARNING, "storm_edge"):
        for index, matrix in enumerate([half, K, half]):
            frame = replace(staged.frame(), K=matrix, index=index, stamp_ns=index * 33_000_000)
            session.step(frame)
        assert len(session.remarks) == 1
    assert len(caplog.records) == 1


def test_in_doubt_only_what_fits_well_is_believed() -> None:
    """Half a K made wrong things 0.52 to 0.61 on a real recording; right poses had 0.81 to 0.84."""
    rules = StateMachineConfig()
    doubt = doubting(rules)
    assert rules.geometry.suspect_below < 0.52 < 0.61 < doubt.geometry.suspect_below
    assert 0.61 < doubt.propagated_above < 0.81
    assert doubt.network == rules.network
