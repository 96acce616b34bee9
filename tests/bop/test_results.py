from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.results import BopEstimate, read_bop_csv, write_bop_csv
from storm_edge.errors import InputError, OutputError
from storm_edge.geometry.se3 import make_T, random_rotation

LINE = "48,1,5,0.75,1 0 0 0 0 -1 0 1 0,10 -20 800,0.25"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["scene_id,im_id,obj_id,score,R,t,time", *lines]) + "\n")
    return path


def test_a_line_of_the_challenge_is_read_in_metres(tmp_path: Path) -> None:
    [estimate] = read_bop_csv(write(tmp_path / "r.csv", LINE))
    assert (estimate.scene_id, estimate.image_id, estimate.object_id) == (48, 1, 5)
    assert (estimate.score, estimate.time_s) == (0.75, 0.25)
    expected = [[1, 0, 0, 0.01], [0, 0, -1, -0.02], [0, 1, 0, 0.8], [0, 0, 0, 1]]
    np.testing.assert_allclose(estimate.T_cam_obj, expected, atol=1e-15)


def test_what_is_written_is_read_back(tmp_path: Path, rng: np.random.Generator) -> None:
    estimates = [
        BopEstimate(
            scene_id=1,
            image_id=i,
            object_id=5,
            score=0.1 * i,
            T_cam_obj=make_T(random_rotation(rng), rng.random(3)),
        )
        for i in range(3)
    ]
    write_bop_csv(tmp_path / "r.csv", estimates)
    again = read_bop_csv(tmp_path / "r.csv")
    assert [e.image_id for e in again] == [0, 1, 2]
    for mine, theirs in zip(estimates, again, strict=True):
        np.testing.assert_allclose(theirs.T_cam_obj, mine.T_cam_obj, atol=1e-8)
        assert theirs.time_s == -1.0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3", "line 3"),
        (LINE.replace("0.75", "high"), "line 3.*high"),
        (LINE.replace("1 0 0 0 0 -1 0 1 0", "1 0 0 0 0 -1 0 1"), "line 3"),
        (LINE.replace("1 0 0 0 0 -1 0 1 0", "2 0 0 0 0 -1 0 1 0"), "line 3.*not a rotation"),
        (LINE.replace("800", "nan"), "line 3.*not a rotation"),
        (LINE.replace("1 0 0 0 0 -1 0 1 0", "1e308 0 0 0 0 -1 0 1 0"), "line 3.*not a rotation"),
        ("1," * 100_000, "line 3|field larger"),
        ("9" * 200_000, "line 3|field larger"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_bop_csv(write(tmp_path / "r.csv", LINE, line))
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="the header scene_id"):
        read_bop_csv(tmp_path / "r.csv")
    with pytest.raises(InputError, match="No such file"):
        read_bop_csv(tmp_path / "missing.csv")
    with pytest.raises(OutputError):
        write_bop_csv(tmp_path / "no folder" / "r.csv", [])
