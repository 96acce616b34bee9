"""TensorRT where there is none."""

from __future__ import annotations

import pytest

from tests.engines.tensorrt import StandIn, install_stand_in


@pytest.fixture
def standing_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """`tensorrt` is the stand-in, and host memory the GPU's, until the test ends."""
    return install_stand_in(monkeypatch)
