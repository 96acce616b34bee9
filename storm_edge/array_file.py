"""Arrays of an ``.npz`` that anybody may have written or damaged, with one kind of error for all of it.

NumPy allocates what an array's header asks for before it looks whether the file has as much; here the header is held
against the file first.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_LARGEST_RATIO = 1000  # of arrays to the file that holds them: what deflate can do at most


def parse_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz``, by name.

    Raises:
        ValueError: It is none, is damaged, holds Python objects, or says that it holds more than it does.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = archive.infolist()
            if sum(file.file_size for file in files) > _LARGEST_RATIO * len(data):
                raise ValueError("it says that it holds more than it does")
            return {file.filename.removesuffix(".npy"): _array(archive.read(file)) for file in files}
    except MemoryError:
        raise
    except Exception as error:  # zipfile and what it calls raise many kinds for a file that is not theirs
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"no arrays ({reason[:120]})") from error


def _array(data: bytes) -> NDArray[Any]:
    """One ``.npy``, whose size is what its header says."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, kind = read_header(stream)
    if kind.hasobject or min(shape, default=0) < 0:
        raise ValueError("an array of Python objects, or of no shape")
    if math.prod(shape) * kind.itemsize != len(data) - stream.tell():
        raise ValueError(f"an array of shape {shape} in {len(data)} bytes")
    order: Literal["C", "F"] = "F" if is_fortran else "C"
    array: NDArray[Any] = np.ndarray(shape, kind, data, stream.tell(), order=order).copy(order)
    return array
