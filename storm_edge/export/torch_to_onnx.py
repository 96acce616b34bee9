"""One torch module to an ONNX file that ONNX Runtime and TensorRT load: folded, checked, and nothing but the graph.

The number of pairs is the only size that varies. Every file is run in ONNX Runtime against torch before it is kept.
"""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from storm_edge.errors import OutputError, mismatch
from storm_edge.export.parity import checked_difference
from storm_edge.networks.folding import fold_batchnorm

OPSET = 18
"""Oldest opset torch's exporter writes without converting; TensorRT 10 and ONNX Runtime 1.14 read it."""
_BATCHES = ((1,), (2,), (5,))


def export_module(
    module: nn.Module, path: Path, *, inputs: dict[str, tuple[int, ...]], outputs: list[str], fixed: bool = False
) -> float:
    """Write any module of tensors whose first size alone varies, or none, and check it.

    Args:
        module: The network.
        path: The file to write; it appears only once it has passed.
        inputs: Shapes by name, in the order of ``forward``; without the first size, unless ``fixed``.
        outputs: Names, in the order of what ``forward`` returns.
        fixed: Whether the shapes are whole and no size varies.

    Returns:
        Largest relative difference from torch; from torch in double precision where that is what tells, see `parity`.

    Raises:
        EngineError: ONNX Runtime computes something else.
        OutputError: The file cannot be written.
    """
    folded = fold_batchnorm(module)
    generator = torch.Generator().manual_seed(0)
    # Two examples that differ: with one and the same, the exporter would take the inputs for one.
    rows = () if fixed else (2,)
    example = tuple(torch.rand(*rows, *shape, generator=generator) for shape in inputs.values())
    with _quiet_exporter():
        program = torch.onnx.export(
            folded,
            example,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=None if fixed else tuple({0: torch.export.Dim("n", min=1)} for _ in inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # only None where a file name was passed
    model = _bare(program.model_proto)
    part = path.with_name(path.name + ".part")
    try:
        onnx.save(model, str(part))
        worst = _difference(module, path, part, inputs, generator, batches=((),) if fixed else _BATCHES)
        os.replace(part, path)
    except OSError as error:
        raise OutputError(mismatch(path, error, "a file that can be written", "choose another --out")) from error
    finally:
        part.unlink(missing_ok=True)
    return worst


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what torch's exporter says about itself: optional packages it misses, names it will rename."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without what the exporter notes about where it came from (stack traces hold paths of the machine)."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    bare.producer_name, bare.producer_version, bare.doc_string = "storm-edge", "", ""
    del bare.metadata_props[:]
    graph = bare.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    for value in (*graph.input, *graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if first.WhichOneof("value") != "dim_value":
            first.dim_param = "n"
    onnx.checker.check_model(bare, full_check=True)
    return bare


@torch.no_grad()
def _difference(
    module: nn.Module,
    path: Path,
    part: Path,
    inputs: dict[str, tuple[int, ...]],
    generator: torch.Generator,
    *,
    batches: Sequence[tuple[int, ...]],
) -> float:
    """Largest difference between the file ``part`` in ONNX Runtime and ``module`` in torch, see `parity`."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(part), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    module.eval()
    for rows in batches:
        arrays = {name: torch.rand(*rows, *shape, generator=generator) for name, shape in inputs.items()}
        found = session.run(None, {name: array.numpy() for name, array in arrays.items()})
        single = _answers(module, list(arrays.values()))
        exact = partial(_exact_answers, module, list(arrays.values()))
        worst = max(worst, checked_difference(path, found, single, exact, reference="torch"))
    return worst


def _answers(module: nn.Module, arrays: Sequence[Tensor]) -> list[np.ndarray[Any, Any]]:
    answers = module(*arrays)
    return [answer.numpy() for answer in ((answers,) if isinstance(answers, Tensor) else answers)]


def _exact_answers(module: nn.Module, arrays: Sequence[Tensor]) -> list[np.ndarray[Any, Any]]:
    """The same in double precision."""
    return _answers(copy.deepcopy(module).double(), [array.double() for array in arrays])
