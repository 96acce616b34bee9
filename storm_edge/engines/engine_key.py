"""Everything a built engine depends on, its hash, and what differs between two of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt.api import TensorRt
from storm_edge.engines.exported_graphs import ExportedGraph
from storm_edge.files import sha256

_KEY_WORDS = {
    "onnx_sha256": "network",
    "recipe_sha256": "recipe",
    "calibration_sha256": "calibration set",
    "profiles": "profiles",
    "flavour": "TensorRT package",
    "version": "TensorRT version",
    "sm": "compute capability",
    "gpu": "GPU",
    "system": "driver or L4T",
    "workspace_mib": "workspace",
    "flags": "builder flags",
}


@dataclass(frozen=True, kw_only=True)
class EngineKey:
    """Everything an engine depends on."""

    graph: str
    """The graph."""
    precision: str
    """What it computes in."""
    onnx_sha256: str
    """Of the ONNX file."""
    recipe_sha256: str
    """Of the recipe."""
    calibration_sha256: str | None
    """Of the calibration set, for INT8."""
    profiles: dict[str, tuple[int, int, int]]
    """Batch sizes by use."""
    flavour: str
    """TensorRT package."""
    version: str
    """Its full version."""
    sm: str
    """Compute capability."""
    gpu: str
    """Name of the GPU, or ``any``."""
    system: str
    """Driver and L4T, or ``any``."""
    workspace_mib: int
    """Scratch memory a kernel may take [MiB]."""
    flags: tuple[str, ...] = ("STRONGLY_TYPED", "max_aux_streams=0")
    """How it is built."""

    @property
    def digest(self) -> str:
        """Hash of all of it."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode())

    @property
    def stem(self) -> str:
        """Name of its files."""
        return f"{self.graph}-{self.digest[:12]}"


def key_of(graph: ExportedGraph, api: TensorRt, target: GpuTarget, *, workspace_mib: int) -> EngineKey:
    """The key of the engine that a graph becomes."""
    return EngineKey(
        graph=graph.graph,
        precision=graph.precision,
        onnx_sha256=graph.sha256,
        recipe_sha256=graph.recipe_sha256,
        calibration_sha256=graph.calibration_sha256,
        profiles=dict(graph.profiles),
        flavour=api.flavour,
        version=api.version,
        sm=target.sm,
        gpu=target.gpu,
        system=target.system,
        workspace_mib=workspace_mib,
    )


def as_json(key: dict[str, Any]) -> dict[str, Any]:
    """A key as JSON gives it back: lists for tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(key))
    return plain


def changes(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What differs between the key an engine has and the one it needs."""
    old, new = as_json(old), as_json(new)
    lines = []
    for field, word in _KEY_WORDS.items():
        if old.get(field) != new[field]:
            short = field.endswith("sha256")
            was, now = (str(key.get(field))[:12] if short else str(key.get(field)) for key in (old, new))
            lines.append(f"{word} changed from {was} to {now}")
    return "; ".join(lines) or "built by an older version of this program"
