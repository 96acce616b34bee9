"""Which runtime opens a network. The choice is the user's and is kept: what is not here is an error.

**To add a backend**: write its engine in `engines.backends`, then name it in `choices.Backend`, in `require_backend`
(is it here?) and in `open_network` (open one). A runtime is imported inside these functions only: none is loaded that
nobody asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from storm_edge.choices import ENGINE_FOLDER, Backend
from storm_edge.engines.contract import Engine, EngineOptions

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NetworkFile:
    """One network of a bundle, its file checked."""

    path: Path
    """The ONNX file."""
    sha256: str
    """Its hash, lower-case hex."""
    channels_last: bool
    """Whether its images are ``(N, H, W, C)``."""
    names: Mapping[str, str]
    """Our name by the file's name, for tensors that are called otherwise there."""


def require_backend(backend: Backend, device: str) -> None:
    """Refuse a backend that is not here or does not run on ``device``, before the work begins.

    Raises:
        BackendError: The package is not installed, or the device is none of its.
    """
    if backend.runs_engines:
        from storm_edge.engines.backends.gpu import open_gpu
        from storm_edge.engines.backends.tensorrt.api import load_tensorrt

        load_tensorrt(backend.value)
        open_gpu(device)
    elif backend is Backend.TORCH:
        from storm_edge.engines.backends.torch import require_torch

        require_torch(device)


def open_network(
    file: NetworkFile, name: str, *, backend: Backend, options: EngineOptions, engine_folder: Path = ENGINE_FOLDER
) -> Engine:
    """Load one network, with its tensors under our names and its images channels first.

    Args:
        file: Its file.
        name: The network, for messages.
        backend: What runs it.
        options: Device and threads.
        engine_folder: Folder of all built engines, for backends that run those.

    Raises:
        EngineError: The file cannot be loaded, or no engine was built of it as it is now for the TensorRT and the
            GPU that are here.
        BackendError: The backend or the device is not available.
    """
    engine: Engine
    if backend.runs_engines:
        engine = _open_built(file, flavour=backend.value, device=options.device, engine_folder=engine_folder)
    elif backend is Backend.TORCH:
        from storm_edge.engines.backends.torch import TorchEngine

        engine = TorchEngine(file.path, name=name, device=options.device, names=file.names)
    else:
        from storm_edge.engines.backends.onnxruntime import OnnxRuntimeEngine

        engine = OnnxRuntimeEngine(file.path, name=name, options=options, names=file.names)
    _log.info("opened %s (%s) with %s on %s", name, file.sha256[:12], backend.value, options.device)
    if file.channels_last:
        from storm_edge.engines.backends.channels_last import ChannelsLastEngine

        return ChannelsLastEngine(engine)
    return engine


def _open_built(file: NetworkFile, *, flavour: str, device: str, engine_folder: Path) -> Engine:
    """The engine that was built of a network's file, for the TensorRT and the GPU that are here."""
    from storm_edge.engines.backends import gpu as cuda
    from storm_edge.engines.backends.tensorrt.api import load_tensorrt
    from storm_edge.engines.backends.tensorrt.engine import TensorRtEngine
    from storm_edge.engines.cache import EngineCache
    from storm_edge.engines.exported_graphs import find_exported_graph
    from storm_edge.engines.manifest import read_manifest

    folder, graph = find_exported_graph(file.path, file.sha256)
    cache = EngineCache(engine_folder, read_manifest(folder).name)
    api, gpu = load_tensorrt(flavour), cuda.open_gpu(device)
    return TensorRtEngine(cache.find(graph, api, gpu.target), api=api, gpu=gpu, names=file.names)
