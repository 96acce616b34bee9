"""Nano networks from the ONNX files of a bundle, to be trained further: what an export threw away is put back.

An export folds every BatchNorm into the convolution before it. Here the convolution keeps the folded weights and its
BatchNorm becomes the identity but for the bias: the same function. In training such a BatchNorm would normalise by
the batch what is no longer to be normalised; `set_batchnorms` gives it the statistics of real items, and weights that
undo them, which leaves the function as it is and makes it one that training can start from.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from storm_edge.errors import CheckpointError, mismatch
from storm_edge.networks.checkpoints import load_strictly

GRAPHS: dict[str, dict[str, str]] = {
    "refine": {"refine": ""},
    "score": {"score_features": "features.", "score_attention": "attention."},
    "som": {"som_reference": "reference.", "som_query": "query.", "som_head": "head."},
    "tom": {"tom_encode": "encode.", "tom_compare": "compare."},
}
"""The graphs of each network, and where in the torch network the weights of each are."""


def load_folded(net: nn.Module, network: str, place: Path) -> None:
    """Copy the weights of ONNX files into ``net``; in eval mode it then computes what they do.

    Args:
        net: A `NanoRefineNet`, `NanoScoreNet`, `NanoSom` or `NanoTom` of the widths of the files.
        network: Which one: ``refine``, ``score``, ``som`` or ``tom``.
        place: The folder of a bundle, or one of the network's ONNX files in it.

    Raises:
        CheckpointError: A file is missing or no ONNX, or holds another network or one of other widths.
    """
    graphs = GRAPHS[network]
    folder = place if place.is_dir() else place.parent
    given = {graph: folder / f"{graph}.onnx" for graph in graphs}
    if len(given) == 1 and not place.is_dir():
        given = dict.fromkeys(given, place)  # whatever its name is
    wanted = net.state_dict()
    weights: dict[str, Tensor] = {}
    for graph, path in given.items():
        found = {graphs[graph] + name: value for name, value in _initializers(path).items()}
        weights |= {name: value for name, value in found.items() if name in wanted or _is_folded_bias(name, wanted)}
    for convolution, norm, module in _folded_pairs(net):
        bias = weights.pop(f"{convolution}.bias", None)
        if bias is None:
            raise CheckpointError(mismatch(place, f"no bias of {convolution}", f"the graphs of {network}", _USE))
        weights |= {f"{norm}.{name}": value for name, value in _identity(module, bias).items()}
    load_strictly(net, weights, place)


def set_batchnorms(net: nn.Module, forward: Callable[[], object]) -> None:
    """Give every BatchNorm the statistics of what it reads, and the weights that undo them.

    Args:
        net: The network; in eval mode it computes the same before and after, to rounding.
        forward: Runs it on some items.
    """
    seen: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def watch(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        seen[module] = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)

    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(watch) for norm in norms]
    training = net.training
    with torch.no_grad():
        net.eval()
        forward()
        net.train(training)
        for norm, (mean, variance) in seen.items():
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            shift = norm.bias - norm.running_mean * scale
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_(scale * (variance + norm.eps).sqrt())
            norm.bias.copy_(shift + mean * scale)
    for hook in hooks:
        hook.remove()


_USE = "give the bundle of this network"


def _initializers(path: Path) -> dict[str, Tensor]:
    """The constants of an ONNX file, by name."""
    import onnx
    from onnx import numpy_helper

    try:
        model = onnx.load(path)
    except OSError as error:
        raise CheckpointError(mismatch(path, error.strerror or error, "an ONNX file", _USE)) from error
    except Exception as error:  # protobuf raises its own kinds, which differ between releases
        raise CheckpointError(mismatch(path, "other content", "an ONNX file", _USE)) from error
    found = {entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in model.graph.initializer}
    # A linear layer of more than two dimensions is written as a product with the transposed weight, without its
    # name, and a sum with the bias, which has kept it.
    factors = {node.output[0]: node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    for node in model.graph.node:
        if node.op_type == "Add":
            for product, bias in (node.input, reversed(node.input)):
                if bias.endswith(".bias") and factors.get(product) in found:
                    found[f"{bias.removesuffix('.bias')}.weight"] = found[factors[product]].T.contiguous()
    return found


def _folded_pairs(net: nn.Module) -> Iterator[tuple[str, str, nn.BatchNorm2d]]:
    """Names of the convolutions and their BatchNorms as `folding.fold_batchnorm` finds them, and the latter."""
    for prefix, parent in net.named_modules():
        for (name, first), (next_name, second) in itertools.pairwise(parent.named_children()):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                dot = f"{prefix}." if prefix else ""
                yield dot + name, dot + next_name, second


def _is_folded_bias(name: str, wanted: Mapping[str, Tensor]) -> bool:
    return name.endswith(".bias") and f"{name.removesuffix('.bias')}.weight" in wanted


def _identity(norm: nn.BatchNorm2d, bias: Tensor) -> dict[str, Tensor]:
    """Entries of a BatchNorm that only adds ``bias``."""
    ones, zeros = torch.ones_like(bias), torch.zeros_like(bias)
    return {
        "weight": ones,
        "bias": bias,
        "running_mean": zeros,
        "running_var": ones - norm.eps,
        "num_batches_tracked": torch.zeros((), dtype=torch.long),
    }
