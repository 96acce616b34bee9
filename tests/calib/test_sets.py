"""Calibration sets: bound to their bundle, whole, and made of something."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from storm_edge.calib.sets import RowSource, load_set, write_set
from storm_edge.errors import InputError
from storm_edge.files import sha256

SHA = "a" * 64


def smooth_images(rng: np.random.Generator, count: int = 4) -> np.ndarray:
    """Something with neighbours that agree, ``(count, 3, 16, 16)``."""
    noise = rng.random((count * 3, 16, 16))
    smooth = np.stack([cv2.GaussianBlur(x, (0, 0), 2.0) for x in noise])
    return smooth.reshape(count, 3, 16, 16).astype(np.float32)


def write(out: Path, array: np.ndarray, name: str = "image") -> None:
    source = RowSource(scene="s", object_id="o", state="track", distance_m=0.5)
    write_set(
        out, bundle="b", rows={"net": {name: array}}, sources={"net": [source] * len(array)}, onnx_sha256={"net": SHA}
    )


def test_rows_come_back_spread_over_the_set(tmp_path: Path, rng: np.random.Generator) -> None:
    array = smooth_images(rng, 9)
    write(tmp_path / "set", array)
    found = load_set(tmp_path / "set")
    assert found.count("net") == 9
    np.testing.assert_array_equal(found.rows("net", SHA, most=3)["image"], array[[0, 4, 8]])
    assert len(found.rows("net", SHA, most=100)["image"]) == 9
    assert found.row_sources["net"][0].distance_m == 0.5


def test_the_set_of_another_bundle_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "set", smooth_images(rng))
    found = load_set(tmp_path / "set")
    with pytest.raises(InputError, match=r"captured with net a{12} of bundle b, expected net b{12}"):
        found.rows("net", "b" * 64, most=1)
    with pytest.raises(InputError, match=r"got rows of \['net'\], expected other"):
        found.rows("other", SHA, most=1)


@pytest.mark.parametrize("name", ["image", "features"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[:0], "at least one"),
        (lambda x: x * np.nan, "not finite"),
        (lambda x: x * 0.0, "0.0 everywhere"),
    ],
)
def test_data_of_no_use_is_refused(tmp_path: Path, rng: np.random.Generator, spoil, message: str, name: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        write(tmp_path / "set", spoil(smooth_images(rng)), name)
    assert not (tmp_path / "set").exists()


def test_noise_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    """Ranges read from noise fit nothing the network will see."""
    with pytest.raises(InputError, match=r"net\.image: got noise, neighbours do not agree"):
        write(tmp_path / "set", rng.standard_normal((4, 3, 16, 16)).astype(np.float32))


def test_rows_that_are_no_arrays_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    """With a hash that fits: somebody made the file so."""
    write(tmp_path / "set", smooth_images(rng))
    manifest, rows = tmp_path / "set" / "manifest.json", tmp_path / "set" / "net.npz"
    before = sha256(rows.read_bytes())
    rows.write_bytes(rows.read_bytes()[:-40])
    manifest.write_text(manifest.read_text().replace(before, sha256(rows.read_bytes())))
    with pytest.raises(InputError, match=r"net\.npz: got no arrays"):
        load_set(tmp_path / "set").rows("net", SHA, most=1)


def test_a_set_that_was_changed_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "set", smooth_images(rng))
    path = tmp_path / "set" / "net.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="got sha256"):
        load_set(tmp_path / "set")
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        load_set(tmp_path / "set")
    with pytest.raises(InputError, match="a calibration set with manifest"):
        load_set(tmp_path / "nothing")
