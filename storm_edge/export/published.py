"""ONNX files as somebody published them: taken as they are, and run against ONNX's reference implementation."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator

from storm_edge.errors import EngineError, mismatch
from storm_edge.export.parity import checked_difference, in_double

_REFERENCE_NODES = 400
_REFERENCE_BYTES = 16e6
_TRIED = (1, 2)  # rows
_LARGEST_BATCH = 1024
_MOST_AXES = 8  # of a constant that may be a shape
_LONGEST = 160  # characters of a reason


@dataclass(frozen=True, kw_only=True)
class Fp32Graph:
    """One graph before anything is reduced."""

    path: Path
    """The file."""
    parity: float | None
    """Largest difference of ONNX Runtime from the reference, relative to the largest output; None if none was run."""
    reference: str
    """What it was compared with, or why with nothing."""


def take_published(path: Path, target: Path) -> Fp32Graph:
    """Copy a published file and check it; what it keeps in other files is taken in.

    Args:
        path: The file.
        target: Where the copy goes.

    Raises:
        EngineError: It cannot be read, has operations ONNX Runtime does not have, answers not every batch that it
            declares, or computes something else than the reference.
    """
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
        if any(
            t.data_location == onnx.TensorProto.EXTERNAL
            for t in onnx.load(str(path), load_external_data=False).graph.initializer
        ):
            onnx.save(model, str(target))
        else:
            shutil.copyfile(path, target)  # the very bytes, so that a hash of the published file still fits
        session = ort.InferenceSession(str(target), _quiet(), providers=["CPUExecutionProvider"])
    except Exception as error:  # protobuf, onnx and ONNX Runtime raise many kinds, none with a public base
        first = (str(error).splitlines() or [type(error).__name__])[0]
        expected = "an ONNX file with all its data and operations ONNX Runtime has"
        raise EngineError(
            mismatch(path, first, expected, "copy it again with its data files, or export it anew")
        ) from error
    _check_batches(path, model, session)
    if not is_small(model):
        return Fp32Graph(path=target, parity=None, reference="none: too large for ONNX's reference implementation")
    return _against_reference(path, target, model, session)


def is_small(model: onnx.ModelProto) -> bool:
    """Whether ONNX's reference implementation, which is plain NumPy, answers in seconds."""
    return len(model.graph.node) <= _REFERENCE_NODES and model.ByteSize() <= _REFERENCE_BYTES


def _check_batches(path: Path, model: onnx.ModelProto, session: ort.InferenceSession) -> None:
    """Refuse a file that declares a batch that varies and does not answer several.

    Raises:
        EngineError: It holds one batch inside, or declares other sizes that vary.
    """
    for node in session.get_inputs():
        if any(not isinstance(size, int) for size in node.shape[1:]):
            got = f"sizes {node.shape} of {node.name}"
            raise EngineError(mismatch(path, got, "sizes that are fixed but for the batch", "export it anew"))
    if all(isinstance(size, int) for node in session.get_inputs() for size in node.shape[:1]):
        return
    for count in _TRIED:
        failure = _failure(session, count)
        if failure is None:
            continue
        for held in sorted(_batches_inside(model) - set(_TRIED)):
            if _failure(session, held) is None:
                got = f"a file that answers only a batch of {held} though it declares a free one"
                remedy = "export it anew with a batch that varies, such as a Reshape to -1"
                raise EngineError(mismatch(path, got, "answers to batches of any size", remedy))
        got = f"a failure with a batch of {count} though it declares a free one ({failure})"
        raise EngineError(mismatch(path, got, "answers to batches of any size", "export it anew"))


def _failure(session: ort.InferenceSession, count: int) -> str | None:
    """Why a batch is not answered; None where it is, a row for a row."""
    feed = _feed(session, count)
    free = {node.shape[0] for node in session.get_inputs() if isinstance(node.shape[0], str)}
    try:
        answers = session.run(None, feed)
    except Exception as error:  # ONNX Runtime raises many kinds, none with a public base
        return next(iter(str(error).splitlines()), type(error).__name__)[:_LONGEST]
    for node, answer in zip(session.get_outputs(), answers, strict=True):
        wrong = [
            size for name, size in zip(node.shape, np.shape(answer), strict=False) if name in free and size != count
        ]
        if wrong:
            return f"{wrong[0]} rows of {node.name}"
    return None


def _batches_inside(model: onnx.ModelProto) -> set[int]:
    """Sizes of the first axis that constants of the graph ask for."""
    constants = [
        *model.graph.initializer,
        *(a.t for node in model.graph.node for a in node.attribute if a.HasField("t")),
    ]
    found = set()
    for tensor in constants:
        if tensor.data_type == onnx.TensorProto.INT64 and len(tensor.dims) <= 1 and sum(tensor.dims) <= _MOST_AXES:
            found |= {int(size) for size in onnx.numpy_helper.to_array(tensor).reshape(-1)[:1]}
    return {size for size in found if 0 < size <= _LARGEST_BATCH}


def _feed(session: ort.InferenceSession, count: int) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return {
        node.name: rng.random([n if isinstance(n, int) else count for n in node.shape], dtype=np.float32)
        for node in session.get_inputs()
    }


def _against_reference(path: Path, target: Path, model: onnx.ModelProto, session: ort.InferenceSession) -> Fp32Graph:
    feed = _feed(session, 2)
    try:
        wanted = ReferenceEvaluator(model).run(None, feed)
    except Exception as error:  # of operations it lacks, of many kinds
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:_LONGEST]
        return Fp32Graph(path=target, parity=None, reference=f"none: ONNX's reference does not run it ({reason})")

    def exact() -> list[np.ndarray[Any, Any]]:
        wide = {name: array.astype(np.float64) for name, array in feed.items()}
        return [np.asarray(answer) for answer in ReferenceEvaluator(in_double(model)).run(None, wide)]

    single = [np.asarray(answer) for answer in wanted]
    worst = checked_difference(path, session.run(None, feed), single, exact, reference="onnx.reference")
    return Fp32Graph(path=target, parity=worst, reference="onnx.reference")


def _quiet() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what it would print of a failure is in the error, too
    return options
