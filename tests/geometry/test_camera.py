"""Intrinsics: projection, crops and the refusals."""

from __future__ import annotations

import numpy as np
import pytest

from storm_edge.errors import CameraError
from storm_edge.geometry import camera

K = np.array([[600.0, 0.0, 319.5], [0.0, 610.0, 239.5], [0.0, 0.0, 1.0]])


def test_project_by_hand() -> None:
    np.testing.assert_allclose(camera.project(K, [[0.1, -0.05, 0.5]]), [[319.5 + 120.0, 239.5 - 61.0]])


def test_back_project_undoes_project(rng: np.random.Generator) -> None:
    points = rng.uniform([-0.3, -0.3, 0.4], [0.3, 0.3, 1.5], size=(50, 3))
    np.testing.assert_allclose(camera.back_project(K, camera.project(K, points), points[:, 2]), points, atol=1e-12)


def test_crop_K_projects_into_the_crop(rng: np.random.Generator) -> None:
    points = rng.uniform([-0.3, -0.3, 0.4], [0.3, 0.3, 1.5], size=(50, 3))
    scale, offset = np.array([2.5, 1.5]), np.array([100.0, 37.25])
    in_crop = camera.project(camera.crop_K(K, scale, offset), points)
    np.testing.assert_allclose(in_crop * scale + offset, camera.project(K, points), atol=1e-9)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.eye(4), "shape"),
        (np.diag([0.0, 600.0, 1.0]), "fx=0"),
        (np.diag([600.0, -1.0, 1.0]), "fy=-1"),
        (np.full((3, 3), np.nan), "NaN"),
        (np.diag([600.0, 600.0, 2.0]), "last row"),
        (K + 30.0 * np.eye(3)[[0]].T @ np.eye(3)[[1]], r"skew K\[0,1\]=30.*initUndistortRectifyMap"),
        (K + 0.5 * np.eye(3)[[1]].T @ np.eye(3)[[0]], r"K\[1,0\]=0.5"),
    ],
)
def test_no_such_camera(matrix: np.ndarray, words: str) -> None:
    with pytest.raises(CameraError, match=words) as caught:
        camera.check_K(matrix, what="scene_camera.json cam_K of image 3")
    assert "image 3" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_skew_of_rounding_is_none() -> None:
    """Calibrations print a skew of rounding errors; no pixel moves by it."""
    matrix = K.copy()
    matrix[0, 1] = 1e-7
    np.testing.assert_array_equal(camera.check_K(matrix), matrix)
