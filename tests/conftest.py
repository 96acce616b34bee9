"""Fixtures every test may use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.staged import Staged, Uploads

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261122)


@pytest.fixture(scope="session")
def cuda() -> str:
    """Name of the CUDA device that tests marked ``gpu`` use; skips where there is none."""
    from storm_edge.errors import BackendError
    from storm_edge.kernels.device import require_device

    try:
        return str(require_device("cuda").alias)
    except BackendError:
        pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real recordings (`cup`, `mustard`, `meshes`) beside the checkout; absent in a user's clone."""
    if not _SHARED_DATA.is_dir():
        pytest.skip("real recordings are not beside this checkout (../shared/data)")
    return _SHARED_DATA


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    """A mug before a wall, see `tests.staged`."""
    from tests.staged import stage_mug

    return stage_mug(tmp_path_factory.mktemp("staged"))


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> Uploads:
    """Counts the uploads of objects in a test."""
    from tests.staged import Uploads

    return Uploads(monkeypatch)
