"""Fixtures every test may use."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.staged import Staged, Uploads

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


class _SkipImports(MetaPathFinder):
    """Skips whoever imports one of some packages: a whole test module, or one test."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] in self._packages:
            pytest.skip(f"needs {name.partition('.')[0]}", allow_module_level=True)
        return None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package that is not installed on purpose: tests that import it are skipped instead of failing",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what runs in the background with Ctrl-C ignored, and processes that tests interrupt inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    without = config.getoption("--without")
    if without:
        sys.meta_path.insert(0, _SkipImports(without))


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
