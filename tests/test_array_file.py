"""Arrays that anybody may have written: one kind of error, and no more memory than there is in the file."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

from storm_edge.array_file import parse_arrays


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def test_arrays_come_back_as_they_were() -> None:
    given = {
        "a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.arange(6).reshape(2, 3)), "c": np.float32(2.5),
        "d": np.zeros((0, 3)), "e": np.array("mug"),
    }  # fmt: skip
    found = parse_arrays(npz(**given))
    assert found.keys() == given.keys()
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.asarray(array).dtype
        assert found[name].flags.writeable


def test_an_array_that_claims_more_than_the_file_holds_is_refused() -> None:
    data = npz(a=np.zeros(4))
    header = data.replace(b"'shape': (4,), }", b"'shape': (1<<40,)}"[:16].ljust(16))
    grown = io.BytesIO()
    with zipfile.ZipFile(grown, "w") as archive:
        text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }\n"
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + b"\0" * 32)
    for broken in (header, grown.getvalue(), data[:-30], b"", b"PK\x03\x04"):
        with pytest.raises(ValueError, match="no arrays"):
            parse_arrays(broken)


def test_objects_and_what_expands_without_end_are_refused() -> None:
    stream = io.BytesIO()
    np.savez(stream, a=np.array([{}], dtype=object))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\0" * 50_000_000)
    for broken in (stream.getvalue(), bomb.getvalue()):
        with pytest.raises(ValueError, match="no arrays"):
            parse_arrays(broken)
