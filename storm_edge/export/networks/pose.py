"""RefineNet as one graph and ScoreNet as two, of either tier. The number of pairs varies.

==========================  =================================================  =====================================
file                        takes                                              gives
==========================  =================================================  =====================================
``refine.onnx``             ``rendered``, ``observed`` (N, 6, S, S)            ``trans``, ``rot`` (N, 3)
``score_features.onnx``     ``rendered``, ``observed`` (N, 6, S, S)            ``features`` (N, C)
``score_attention.onnx``    ``features`` (N, C)                                ``score`` (N,)
==========================  =================================================  =====================================
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from storm_edge.export.torch_to_onnx import export_module
from storm_edge.networks.nano import SIZE_PX


def export_refine(net: nn.Module, folder: Path, *, size_px: int = SIZE_PX) -> dict[str, float]:
    """Write ``refine.onnx``.

    Args:
        net: Called with the two crops, returns the two vectors.
        folder: Where the file goes.
        size_px: Side of the crops [px].

    Returns:
        Largest relative difference from torch by graph, over batches of 1, 2 and 5.

    Raises:
        EngineError: ONNX Runtime computes something else.
        OutputError: The file cannot be written.
    """
    return {"refine": export_module(net, folder / "refine.onnx", inputs=_crops(size_px), outputs=["trans", "rot"])}


def export_score(
    features: nn.Module, attention: nn.Module, folder: Path, *, size_px: int = SIZE_PX
) -> dict[str, float]:
    """Write ``score_features.onnx`` and ``score_attention.onnx``.

    Args:
        features: Called with the two crops, returns per-pair features ``(N, C)``.
        attention: Called with the features of a set, returns scores ``(N,)``.
        folder: Where the files go.
        size_px: Side of the crops [px].

    Returns:
        Largest relative difference from torch of the two, by graph.

    Raises:
        EngineError: ONNX Runtime computes something else.
        OutputError: A file cannot be written.
    """
    crops = _crops(size_px)
    first = export_module(features, folder / "score_features.onnx", inputs=crops, outputs=["features"])
    with torch.no_grad():
        width = features.eval()(*[torch.zeros(2, *shape) for shape in crops.values()]).shape[1]
    second = export_module(
        attention, folder / "score_attention.onnx", inputs={"features": (int(width),)}, outputs=["score"]
    )
    return dict.fromkeys(("score_features", "score_attention"), max(first, second))


def _crops(size_px: int) -> dict[str, tuple[int, ...]]:
    return dict.fromkeys(("rendered", "observed"), (6, size_px, size_px))
