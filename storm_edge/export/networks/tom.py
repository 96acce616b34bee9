"""TOM as two graphs, and its variant without training as one. The number of crops or pairs varies.

==========================  ===============================================  =======================================
file                        takes                                            gives
==========================  ===============================================  =======================================
``tom_encode.onnx``         ``crop`` (N, 3, 224, 224)                        ``current``, ``memory`` (N, 768)
``tom_compare.onnx``        ``current``, ``memory`` (N, 768)                 ``logit`` (N,); same from ln 9 on
``similarity.onnx``         ``crop`` (N, 3, 224, 224)                        ``embedding`` (N, 384), of unit length
==========================  ===============================================  =======================================
"""

from __future__ import annotations

from pathlib import Path

from storm_edge.export.torch_to_onnx import export_module
from storm_edge.networks.dinov2 import SIZE_PX, Dinov2
from storm_edge.networks.tom import Similarity, Tom, TomCompare, TomEncode

_CROP = {"crop": (3, SIZE_PX, SIZE_PX)}


def export_tom(net: Tom, folder: Path) -> dict[str, float]:
    """Write ``tom_encode.onnx`` and ``tom_compare.onnx``.

    Args:
        net: The network, of `load_tom`.
        folder: Where the files go.

    Returns:
        Largest relative difference from torch by graph.

    Raises:
        EngineError: ONNX Runtime computes something else.
        OutputError: A file cannot be written.
    """
    width = 2 * net.backbone.config.width
    return {
        "tom_encode": export_module(
            TomEncode(net), folder / "tom_encode.onnx", inputs=dict(_CROP), outputs=["current", "memory"]
        ),
        "tom_compare": export_module(
            TomCompare(net),
            folder / "tom_compare.onnx",
            inputs={"current": (width,), "memory": (width,)},
            outputs=["logit"],
        ),
    }


def export_similarity(net: Dinov2, folder: Path) -> dict[str, float]:
    """Write ``similarity.onnx``; errors as `export_tom`.

    Args:
        net: The pretrained encoder, of `load_dinov2`.
        folder: Where the file goes.

    Returns:
        Largest relative difference from torch by graph.
    """
    path = folder / "similarity.onnx"
    return {"similarity": export_module(Similarity(net), path, inputs=dict(_CROP), outputs=["embedding"])}
