"""Which cause of a wrong scale is named."""

from __future__ import annotations

import pytest

from storm_edge.pipeline.register.config import ScaleConfig
from storm_edge.pipeline.register.scale_cause import likely_cause, plausible_scales, unusual_scale

CONFIG = ScaleConfig()


@pytest.mark.parametrize(
    ("factor", "diameter_m", "distance_m", "words"),
    [
        (11.0, 0.015, 0.7, "multiply the model by 10 (centimetres read as millimetres)"),
        (27.0, 0.006, 0.7, "multiply the model by 25.4 (inches read as millimetres)"),
        (900.0, 0.00015, 0.7, "multiply the model by 1000 (metres read as millimetres: --unit m)"),
        (0.0011, 150.0, 0.7, "multiply the model by 0.001 (millimetres read as metres: --unit mm)"),
        (0.09, 0.15, 0.06, "multiply the depth by 10 (depth_scale in scene_camera.json)"),
        (11.0, 0.15, 7.0, "multiply the depth by 0.1 (depth_scale in scene_camera.json)"),
    ],
)
def test_what_is_implausible_by_itself_is_the_cause(
    factor: float, diameter_m: float, distance_m: float, words: str
) -> None:
    cause = likely_cause(factor, diameter_m=diameter_m, distance_m=distance_m, camera_factor=None, config=CONFIG)
    assert cause.remedy == words
    assert not cause.is_camera


def test_a_camera_of_another_resolution_is_the_cause_where_its_centre_says_so() -> None:
    for camera_factor, is_camera in ((2.0, True), (0.5, False), (None, False)):
        cause = likely_cause(1.9, diameter_m=0.15, distance_m=0.7, camera_factor=camera_factor, config=CONFIG)
        assert cause.is_camera is is_camera
        assert ("multiply K by 2" in cause.remedy) is is_camera


def test_no_cause_is_made_up() -> None:
    cause = likely_cause(5.0e4, diameter_m=0.15, distance_m=0.7, camera_factor=None, config=CONFIG)
    assert cause.remedy.startswith("check the mask")


@pytest.mark.parametrize(
    ("diameter_m", "distance_m", "words"),
    [
        (
            0.0158,
            0.7,
            "its model is 0.0158 m across, which is unusually small; its size would be usual multiplied by "
            "10 (centimetres read as millimetres) or 25.4 (inches read as millimetres)",
        ),
        (
            158.0,
            0.7,
            "unusually large; its size would be usual multiplied by 0.001 (millimetres read as metres: --unit mm)",
        ),
        (
            0.158,
            0.07,
            "the median depth of the scene is 0.07 m, nearer than depth cameras usually see; multiply depth_scale in "
            "scene_camera.json by 10",
        ),
        (
            0.158,
            7.1,
            "is 7.1 m, farther than depth cameras usually see; multiply depth_scale in scene_camera.json by 0.1",
        ),
    ],
)
def test_an_unusual_size_is_named_where_nothing_was_found(diameter_m: float, distance_m: float, words: str) -> None:
    guess = unusual_scale(diameter_m, distance_m, CONFIG)
    assert guess is not None
    assert words in guess
    assert guess.endswith(words)
    assert "\n" not in guess


def test_usual_sizes_are_not_remarked() -> None:
    assert unusual_scale(0.15, 0.8, CONFIG) is None


@pytest.mark.parametrize(
    ("diameter_m", "distance_m", "scales"),
    [(0.16, 0.8, [2.0, 0.5]), (0.4, 0.8, [0.5, 2.0, 0.1]), (0.16, 4.0, [2.0, 0.5, 10.0, 25.4])],
)
def test_scales_that_make_sense_beside_the_given_one(
    diameter_m: float, distance_m: float, scales: list[float]
) -> None:
    assert sorted(plausible_scales(diameter_m, distance_m, CONFIG)) == sorted(scales)
