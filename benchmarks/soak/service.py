"""`python -m benchmarks.soak.service FOLDER`: the service as `storm-edge run` makes it, with networks that can fail.

All is the service's own but the camera's pictures and, when the command ``soak`` says so, answers of networks that
are not a number.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.soak.camera import OPENER
from benchmarks.soak.stage import RATE_HZ
from storm_edge.cli.console import end_now
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.contract import Buffers, Engine, EngineOptions, EngineSpec
from storm_edge.live.sources.realsense import RealSenseOptions, RealSenseSource
from storm_edge.live.watchdog import Watchdog
from storm_edge.service import build
from storm_edge.service.profile_sections import read_service_profile


@dataclass
class Failing:
    """Whether networks answer NaN."""

    is_on: bool = False


FAILING = Failing()


@dataclass(frozen=True, kw_only=True)
class FailingBundle(NetworkBundle):
    """A bundle whose engines answer NaN while `FAILING` says so."""

    def open(self, network: str, options: EngineOptions | None = None) -> Engine:
        """As `NetworkBundle.open`."""
        return _FailingEngine(super().open(network, options))


class _FailingEngine:
    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self._buffers: Buffers = {}

    @property
    def spec(self) -> EngineSpec:
        return self._inner.spec

    def bind(self, buffers: Buffers) -> None:
        self._inner.bind(buffers)
        self._buffers = buffers

    def launch(self, count: int | None = None, stream: Any = None) -> None:
        self._inner.launch(count, stream)
        if FAILING.is_on:
            for tensor in self.spec.outputs:
                self._buffers[tensor.name].fill_(float("nan"))

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        outputs = self._inner.run(inputs)
        return {name: np.full_like(array, np.nan) for name, array in outputs.items()} if FAILING.is_on else outputs


def main(folder: Path) -> None:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    load = NetworkBundle.load
    NetworkBundle.load = lambda *names, **options: FailingBundle(**vars(load(*names, **options)))  # type: ignore
    profile = read_service_profile(folder / "profile.yaml")
    options = RealSenseOptions(file=str(folder / "camera"), size_px=profile.machine.size_px, rate_hz=RATE_HZ)
    source = RealSenseSource(options, opener=OPENER)

    def soak(arguments: Mapping[str, Any]) -> dict[str, Any]:
        FAILING.is_on = bool(arguments.get("nan", FAILING.is_on))
        gc.collect()
        blocks = sys.getallocatedblocks()
        return {"camera_process": source.process_id, "nan": FAILING.is_on, "python_blocks": blocks}

    with Watchdog(end_now, profile.machine.config.watchdog) as watchdog:
        service = build.open_service(
            profile, state_folder=folder / "state", source=source, watchdog=watchdog, on_hang=end_now
        )
        service.handle("soak", soak)
        service.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
