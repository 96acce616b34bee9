"""TensorRT packages where they are installed, the stand-in where they are not, and networks to build."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from storm_edge.engines.backends import gpu
from storm_edge.engines.backends.gpu import GpuTarget
from storm_edge.engines.backends.tensorrt.api import TensorRt, load_tensorrt
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.cache import EngineCache, EngineStatus
from storm_edge.engines.exported_graphs import (
    ExportedGraph,
    GraphExport,
    GraphFile,
    NetworkExport,
    exported_graphs,
    write_network_export,
)
from storm_edge.engines.manifest import MANIFEST, FileConventions, file_sha256, write_manifest
from storm_edge.errors import BackendError
from tests.engines import stand_in, tiny

SM86 = GpuTarget(sm="sm86", gpu="any", system="any")


def package(flavour: str) -> TensorRt:
    """The package, or a visible skip."""
    try:
        return load_tensorrt(flavour)
    except BackendError as error:
        pytest.skip(f"{flavour} is not installed: {error}")


def missing_names(module: object, api: dict[str, tuple[str, ...]]) -> list[str]:
    """Names of ``api`` that a package lacks."""
    missing = []
    for path, names in api.items():
        owner = module
        for part in path.split("."):
            owner = getattr(owner, part, None)
        missing += [f"{path}.{name}" for name in names if not hasattr(owner, name)]
    return missing


@dataclass(frozen=True)
class StandIn:
    """The stand-in, installed."""

    api: TensorRt
    """As `load_tensorrt` gives it."""
    gpu: stand_in.HostGpu
    """Where its engines run."""

    def build(self, bundle: Path, engines: Path, precision: str = "fp32") -> list[EngineStatus]:
        """What `storm-edge build` does."""
        cache = EngineCache(engines, NetworkBundle.load(bundle).name)
        return cache.build(exported_graphs(bundle, precision), self.api, self.gpu.target)


def install_stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """`tensorrt` is the stand-in, and host memory the GPU's."""
    stand_in.reset()
    host = stand_in.HostGpu()
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in)
    monkeypatch.setattr(gpu, "open_gpu", lambda name: host)
    monkeypatch.setattr(gpu, "device_target", lambda name="cuda:0": host.target)
    return StandIn(TensorRt(flavour="tensorrt", module=stand_in), host)


def as_exported(source: Path, out: Path, profiles: dict[str, dict[str, tuple[int, int, int]]]) -> Path:
    """A bundle with the notes that `storm-edge export` leaves, and the same graphs once more as its ``fp16``.

    Args:
        source: A bundle.
        out: Folder to write.
        profiles: Of each graph; graphs without any are left out.
    """
    manifest = json.loads((source / MANIFEST).read_text())
    for folder, name in ((out, "mine"), (out / "fp16", "mine-fp16")):
        folder.mkdir(parents=True)
        for graph in profiles:
            (folder / f"{graph}.onnx").write_bytes((source / manifest["networks"][graph]["file"]).read_bytes())
        write_manifest(
            folder,
            name=name,
            size_px=manifest["size_px"],
            preset=manifest["preset"],
            networks={graph: f"{graph}.onnx" for graph in profiles},
            conventions={
                graph: FileConventions(
                    layout=manifest["networks"][graph]["layout"],
                    tensors=manifest["networks"][graph].get("tensors", {}),
                )
                for graph in profiles
            },
        )
    for graph, sizes in profiles.items():
        sha256 = file_sha256(out / f"{graph}.onnx")
        files = {
            p: GraphFile(file=str(Path(f) / f"{graph}.onnx"), sha256=sha256)
            for p, f in (("fp32", "."), ("fp16", "fp16"))
        }
        graphs = {graph: GraphExport(profiles=sizes, files=files)}  # type: ignore[arg-type]
        write_network_export(
            out, graph, NetworkExport(recipe_sha256="a" * 64, calibration_sha256=None, graphs=graphs)
        )
    return out


def doubled(path: Path, *, factor: float = 2.0) -> Path:
    """``y = factor * x`` for rows of three."""
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    return tiny.save(path, nodes, {"x": ["n", 3]}, {"y": ["n", 3]}, factor=np.array([factor], dtype=np.float32))


def mixed_types(path: Path) -> Path:
    """A division of a half by a single, as a careless converter leaves it; no strongly typed network has it."""
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=onnx.TensorProto.FLOAT16),
        helper.make_node("Div", ["h", "x"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mixed",
        [helper.make_tensor_value_info("x", 1, ["n", 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT16, ["n", 3])],
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())
    return path


def exported(path: Path, *, recipe: str = "a" * 64) -> ExportedGraph:
    """A graph as `storm-edge export` describes it."""
    return ExportedGraph(
        graph=path.stem,
        precision="fp16",
        path=path,
        sha256=file_sha256(path),
        recipe_sha256=recipe,
        calibration_sha256=None,
        profiles={"track": (1, 1, 4), "register": (1, 8, 16)},
        cosine=1.0,
    )
