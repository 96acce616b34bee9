"""How many threads the libraries of this process may use, where somebody says so; without a word each decides itself.

Stands below everything that loads a library, since OpenCV and BLAS read their bounds when they are loaded.
"""

from __future__ import annotations

import os

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
_limit: int | None = None


def limit_threads(count: int) -> None:
    """Bound the threads of ONNX Runtime, OpenCV and BLAS; to be called before numpy and OpenCV are imported."""
    global _limit
    _limit = count
    os.environ.update(dict.fromkeys(_VARIABLES, str(count)))


def thread_limit() -> int | None:
    """The bound; None where there is none."""
    return _limit


def usable_threads(most: int) -> int:
    """How many threads work may have that could use ``most``: at most the bound, and the cores of this process."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(min(most, _limit or cores, cores), 1)
