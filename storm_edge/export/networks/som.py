"""SOM as the three graphs it is used in. All sizes are fixed: one image, one object, sixteen views.

========================  ==========================================  ===========================================
file                      takes                                       gives
========================  ==========================================  ===========================================
``som_reference.onnx``    ``views`` (16, 3, 224, 224)                 ``k0``, ``v0``, ``k1``, ... (1, 8, 4096, 32)
``som_query.onnx``        ``image`` (1, 3, 224, 224)                  ``tokens`` (1, 256, 768)
``som_head.onnx``         ``tokens``, ``k0``, ``v0``, ... and, where  ``logits`` (1, 1, 64, 64)
                          there is one, ``context`` (1, length)
========================  ==========================================  ===========================================
"""

from __future__ import annotations

from pathlib import Path

from storm_edge.errors import ConfigError, mismatch
from storm_edge.export.torch_to_onnx import export_module
from storm_edge.networks.dinov2 import PATCHES, SIZE_PX
from storm_edge.networks.som import Som, SomConfig, SomHead, SomQuery, SomReference


def cache_shapes(config: SomConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of an object's keys and values by name, in order."""
    inner = config.encoder.width // config.cross_factor
    shape = (1, config.heads, config.views * PATCHES, inner // config.heads)
    return {f"{kind}{block}": shape for block in range(config.depth) for kind in "kv"}


def export_som(net: Som, folder: Path, *, with_context: bool = False) -> dict[str, float]:
    """Write the three graphs.

    Args:
        net: The network, of `load_som`.
        folder: Where the files go.
        with_context: Whether the head takes a language context. A network trained with one runs without as well.

    Returns:
        Largest relative difference from torch by graph, the head's on keys and values in [0, 1].

    Raises:
        ConfigError: A context is asked for and the network knows none.
        EngineError: ONNX Runtime computes something else.
        OutputError: A file cannot be written.
    """
    config = net.config
    if with_context and config.context is None:
        remedy = "export without a context, or use a checkpoint that has one"
        raise ConfigError(mismatch("language context", "a SOM trained without", "one with ctx_proj weights", remedy))
    cache = cache_shapes(config)
    head_inputs = {"tokens": (1, PATCHES, config.encoder.width), **cache}
    if with_context and config.context is not None:
        head_inputs["context"] = (1, config.context)
    return {
        "som_reference": export_module(
            SomReference(net),
            folder / "som_reference.onnx",
            inputs={"views": (config.views, 3, SIZE_PX, SIZE_PX)},
            outputs=list(cache),
            fixed=True,
        ),
        "som_query": export_module(
            SomQuery(net),
            folder / "som_query.onnx",
            inputs={"image": (1, 3, SIZE_PX, SIZE_PX)},
            outputs=["tokens"],
            fixed=True,
        ),
        "som_head": export_module(
            SomHead(net), folder / "som_head.onnx", inputs=head_inputs, outputs=["logits"], fixed=True
        ),
    }
