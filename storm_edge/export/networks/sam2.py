"""SAM2 as two graphs. All sizes are fixed: one image, one prompt.

=======================  ==================================================  ======================================
file                     takes                                               gives
=======================  ==================================================  ======================================
``sam2_encoder.onnx``    ``image`` (1, 3, 1024, 1024)                        ``image_embed`` (1, 256, 64, 64),
                                                                             ``high_res_0`` (1, 32, 256, 256),
                                                                             ``high_res_1`` (1, 64, 128, 128)
``sam2_decoder.onnx``    those three and ``prompts`` (1, 3, 2)               ``masks`` (1, 4, 256, 256),
                                                                             ``iou`` (1, 4), ``present`` (1, 1)
=======================  ==================================================  ======================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from storm_edge.export.torch_to_onnx import export_module
from storm_edge.networks.sam2 import PROMPTS, Sam2ImageEncoder, Sam2MaskDecoder


def export_sam2(net: Any, folder: Path) -> dict[str, float]:
    """Write both graphs.

    Args:
        net: The network, of `load_sam2`.
        folder: Where the files go.

    Returns:
        Largest relative difference from torch by graph.

    Raises:
        EngineError: ONNX Runtime computes something else.
        OutputError: A file cannot be written.
    """
    size = int(net.image_size)
    features = {
        "image_embed": (1, 256, size // 16, size // 16),
        "high_res_0": (1, 32, size // 4, size // 4),
        "high_res_1": (1, 64, size // 8, size // 8),
    }
    return {
        "sam2_encoder": export_module(
            Sam2ImageEncoder(net),
            folder / "sam2_encoder.onnx",
            inputs={"image": (1, 3, size, size)},
            outputs=list(features),
            fixed=True,
        ),
        "sam2_decoder": export_module(
            Sam2MaskDecoder(net),
            folder / "sam2_decoder.onnx",
            inputs={**features, "prompts": (1, PROMPTS, 2)},
            outputs=["masks", "iou", "present"],
            fixed=True,
        ),
    }
