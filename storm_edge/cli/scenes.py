"""How the commands open a recording with its labels, and the networks."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storm_edge.cli.console import say
from storm_edge.engines.backend import ENGINES, Backend

if TYPE_CHECKING:
    from storm_edge.bop.scene import BopScene
    from storm_edge.engines.bundle import NetworkBundle

LABELS = "scene_gt.json"
NO_NETWORKS = "none"
PSEUDO_LABELS = "scene_gt_pseudo.json"
BackendOption = Annotated[
    Backend,
    typer.Option(help="What runs the networks; the tensorrt ones run what storm-edge build made of a bundle."),
]

EnginesOption = Annotated[Path, typer.Option("--engines", help="Folder of all built engines.")]


class Tracker(str, Enum):
    """How objects are followed."""

    BATCHED = "batched"
    STEPWISE = "stepwise"


TrackerOption = Annotated[
    Tracker | None,
    typer.Option(
        help="How objects are followed: all in one step without the host in between (a CUDA graph if that can be), "
        "or each by itself with as much work as it asks for. By default resident on CUDA, stepwise on a CPU.",
        show_default=False,
    ),
]


def open_scene(path: Path, labels: str | None) -> BopScene:
    """A BOP scene with the named label file, or `scene_gt.json`; where only pseudo labels are there, those, and it
    says so.
    """
    from storm_edge.bop.scene import BopScene

    if labels is None and not (path / LABELS).is_file() and (path / PSEUDO_LABELS).is_file():
        say(f"{path}: no {LABELS}, so the labels of {PSEUDO_LABELS} are used; they are estimates, not measurements")
        labels = PSEUDO_LABELS
    return BopScene(path, labels=labels or LABELS)


def open_networks(
    name: str, *, backend: Backend = Backend.ONNXRUNTIME, engines: Path = ENGINES, device: str = "cpu"
) -> NetworkBundle | None:
    """The network bundle of that name or folder; None for ``none``, which runs on geometry alone.

    Raises:
        BackendError: What is to run it is not here, or does not run on ``device``.
    """
    from storm_edge.engines.backend import require_backend
    from storm_edge.engines.bundle import NetworkBundle

    if name == NO_NETWORKS:
        return None
    require_backend(backend, device)
    return NetworkBundle.load(name, backend=backend, engine_folder=engines)
