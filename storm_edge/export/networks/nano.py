"""The nano segmenter as three graphs, the nano verifier as two. The first size of every tensor varies.

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

from pathlib import Path

from storm_edge.export.torch_to_onnx import export_module
from storm_edge.kernels.segment_inputs import contract
from storm_edge.networks.nano_som import TOKENS_PER_VIEW, NanoSom
from storm_edge.networks.nano_tom import CHANNELS, SIZE_PX, NanoTom


def export_nano_som(net: NanoSom, folder: Path) -> dict[str, float]:
    """Write the segmenter's three files.

    Args:
        net: The network.
        folder: Where the files go.

    Returns:
        Largest relative difference from torch by graph.

    Raises:
        EngineError: ONNX Runtime computes something else.
        OutputError: A file cannot be written.
    """
    c = net.config
    height, width = contract.MASK_PX
    maps = {
        "half": (c.half, height, width),
        "quarter": (c.quarter, height // 2, width // 2),
        "eighth": (c.eighth, height // 4, width // 4),
    }
    cache = (c.blocks, contract.VIEW_COUNT * TOKENS_PER_VIEW, c.dim)
    views = (contract.VIEW_COUNT, contract.VIEW_CHANNELS, contract.VIEW_PX, contract.VIEW_PX)
    return {
        "som_reference": export_module(
            net.reference, folder / "som_reference.onnx", inputs={"views": views}, outputs=["keys", "values"]
        ),
        "som_query": export_module(
            net.query,
            folder / "som_query.onnx",
            inputs={"image": (contract.IMAGE_CHANNELS, *contract.SIZE_PX)},
            outputs=list(maps),
        ),
        "som_head": export_module(
            net.head,
            folder / "som_head.onnx",
            inputs={**maps, "objects": (contract.OBJECT_CHANNELS, height, width), "keys": cache, "values": cache},
            outputs=["mask", "present"],
        ),
    }


def export_nano_tom(net: NanoTom, folder: Path) -> dict[str, float]:
    """Write the verifier's two files; arguments and errors as `export_nano_som`."""
    width = net.config.features
    return {
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
