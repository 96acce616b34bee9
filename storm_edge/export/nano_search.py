"""The nano segmenter and verifier as ONNX files, added to a bundle.

=======================  ==================================================  =====================================
file                     takes                                               gives
=======================  ==================================================  =====================================
``som_reference.onnx``   ``views`` (N, 16, 8, 32, 32)                        ``keys``, ``values`` (N, blocks, L, C)
``som_query.onnx``       ``image`` (N, 8, 120, 160)                          ``half``, ``quarter``, ``eighth``
``som_head.onnx``        those, ``objects`` (N, 5, 60, 80), keys and values  ``mask`` (N, 60, 80), ``present`` (N,)
``tom_encode.onnx``      ``crop`` (N, 6, 80, 80)                             ``current``, ``memory`` (N, C)
``tom_compare.onnx``     ``current``, ``memory`` (N, C)                      ``logit`` (N,)
=======================  ==================================================  =====================================
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from storm_edge.engines.manifest import add_to_manifest
from storm_edge.errors import CheckpointError, OutputError, mismatch
from storm_edge.export.onnx import export_module
from storm_edge.kernels import segment_inputs as inputs
from storm_edge.networks.checkpoints import load_strictly, read_checkpoint
from storm_edge.networks.nano_som import TOKENS_PER_VIEW, NanoSom, NanoSomConfig
from storm_edge.networks.nano_tom import CHANNELS, SIZE_PX, NanoTom, NanoTomConfig


def export_nano_som(net: NanoSom, folder: Path, *, name: str = "nano") -> dict[str, float]:
    """Write the segmenter's three files into a bundle.

    Args:
        net: The network.
        folder: The bundle; it is made if there is none.
        name: Of a bundle that is made.

    Returns:
        Largest relative difference from torch by network.

    Raises:
        EngineError: ONNX Runtime computes something else, or the bundle's manifest does not parse.
        OutputError: A file cannot be written.
    """
    _make(folder)
    c = net.config
    height, width = inputs.MASK_PX
    maps = {
        "half": (c.half, height, width),
        "quarter": (c.quarter, height // 2, width // 2),
        "eighth": (c.eighth, height // 4, width // 4),
    }
    cache = (c.blocks, inputs.VIEW_COUNT * TOKENS_PER_VIEW, c.dim)
    views = (inputs.VIEW_COUNT, inputs.VIEW_CHANNELS, inputs.VIEW_PX, inputs.VIEW_PX)
    parity = {
        "som_reference": export_module(
            net.reference, folder / "som_reference.onnx", inputs={"views": views}, outputs=["keys", "values"]
        ),
        "som_query": export_module(
            net.query,
            folder / "som_query.onnx",
            inputs={"image": (inputs.IMAGE_CHANNELS, *inputs.SIZE_PX)},
            outputs=list(maps),
        ),
        "som_head": export_module(
            net.head,
            folder / "som_head.onnx",
            inputs={**maps, "objects": (inputs.OBJECT_CHANNELS, height, width), "keys": cache, "values": cache},
            outputs=["mask", "present"],
        ),
    }
    add_to_manifest(folder, {network: f"{network}.onnx" for network in parity}, name=name, size_px=SIZE_PX)
    return parity


def export_nano_tom(net: NanoTom, folder: Path, *, name: str = "nano") -> dict[str, float]:
    """Write the verifier's two files into a bundle; arguments and errors as `export_nano_som`."""
    _make(folder)
    width = net.config.features
    parity = {
        "tom_encode": export_module(
            net.encode,
            folder / "tom_encode.onnx",
            inputs={"crop": (CHANNELS, SIZE_PX, SIZE_PX)},
            outputs=["current", "memory"],
        ),
        "tom_compare": export_module(
            net.compare,
            folder / "tom_compare.onnx",
            inputs={"current": (width,), "memory": (width,)},
            outputs=["logit"],
        ),
    }
    add_to_manifest(folder, {network: f"{network}.onnx" for network in parity}, name=name, size_px=SIZE_PX)
    return parity


def load_nano_som(path: Path) -> NanoSom:
    """The averaged segmenter of a checkpoint of ``storm-edge train som``, in eval mode.

    Raises:
        CheckpointError: The file is no such checkpoint.
    """
    widths, weights = _content(path, "som")
    # Tuples come back from the checkpoint as lists.
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in widths.items()}
    net = NanoSom(NanoSomConfig(**settings))
    load_strictly(net, weights, path)
    return net.eval()


def load_nano_tom(path: Path) -> NanoTom:
    """The averaged verifier of a checkpoint of ``storm-edge train tom``, in eval mode.

    Raises:
        CheckpointError: The file is no such checkpoint.
    """
    widths, weights = _content(path, "tom")
    net = NanoTom(NanoTomConfig(**widths))
    load_strictly(net, weights, path)
    return net.eval()


def _content(path: Path, network: str) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """Widths and averaged weights of a training checkpoint."""
    content = read_checkpoint(path)
    if not isinstance(content, dict) or not {"network", "nano", "ema"} <= content.keys():
        raise CheckpointError(mismatch(path, "other content", "a checkpoint of storm-edge train", "check the path"))
    if content["network"] != network:
        raise CheckpointError(mismatch(path, f"network {content['network']}", network, "give the other checkpoint"))
    return content["nano"], {key.removeprefix("net."): value for key, value in content["ema"].items()}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(mismatch(folder, error, "a folder that can be made", "choose another --out")) from error
