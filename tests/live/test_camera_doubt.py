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


def moved(x: float, y: float) -> np.ndarray:
    """K with another principal point."""
    return np.asarray(K + [[0.0, 0.0, x], [0.0, 0.0, y], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.diag([0.002, 0.002, 1.0]) @ K, "field of view of 180 x 179 degrees.*in pixels"),  # of normalised images
        (np.diag([15.0, 15.0, 1.0]) @ K, "field of view of 4 x 3 degrees"),
        (
            K + [[0.0, 0.0, 0.0], [0.0, 0.0, 400.0], [0.0, 0.0, 0.0]],
            "319.5, 639.5 px, outside of the image.*subtract",
        ),
        (moved(-330.0, 0.0), "-10.5, 239.5 px, outside of the image"),
        (moved(150.0, 0.0), "469.5, 239.5 px, far from the middle.*cut out"),
    ],
)
def test_intrinsics_of_another_unit_or_crop_are_remarked(matrix: np.ndarray, words: str) -> None:
    remark = camera_remark(matrix, (480, 640))
    assert remark is not None
    assert "\n" not in remark
    assert re.search(words, remark), remark


@pytest.mark.parametrize(("fx", "fy"), [(252.0, 252.0), (319.6, 417.1), (2000.0, 2000.0)])
def test_wide_narrow_and_oblong_pixels_are_usual(fx: float, fy: float) -> None:
    """Depth cameras have 120 degrees at most, a telephoto lens 18; one public recording has pixels of 3 by 4."""
    assert camera_remark(np.array([[fx, 0.0, 319.5], [0.0, fy, 239.5], [0.0, 0.0, 1.0]]), (480, 640)) is None


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
