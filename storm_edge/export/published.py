"""ONNX files as somebody published them: taken as they are, and run against ONNX's reference implementation."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator

from storm_edge.errors import EngineError, mismatch
from storm_edge.export.torch_to_onnx import PARITY

_REFERENCE_NODES = 400
_REFERENCE_BYTES = 16e6


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
        EngineError: It cannot be read, has operations ONNX Runtime does not have, or computes something else than the
            reference.
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
    if not is_small(model):
        return Fp32Graph(path=target, parity=None, reference="none: too large for ONNX's reference implementation")
    return Fp32Graph(path=target, parity=_reference_difference(path, model, session), reference="onnx.reference")


def is_small(model: onnx.ModelProto) -> bool:
    """Whether ONNX's reference implementation, which is plain NumPy, answers in seconds."""
    return len(model.graph.node) <= _REFERENCE_NODES and model.ByteSize() <= _REFERENCE_BYTES


def _reference_difference(path: Path, model: onnx.ModelProto, session: ort.InferenceSession) -> float:
    rng = np.random.default_rng(0)
    feed = {
        node.name: rng.random([n if isinstance(n, int) else 2 for n in node.shape], dtype=np.float32)
        for node in session.get_inputs()
    }
    worst = 0.0
    for theirs, ours in zip(ReferenceEvaluator(model).run(None, feed), session.run(None, feed), strict=True):
        scale = max(float(np.abs(theirs).max()), 1.0)
        worst = max(worst, float(np.abs(np.asarray(ours) - theirs).max()) / scale)
    if worst > PARITY:
        expected = f"at most {PARITY:g}"
        raise EngineError(mismatch(path, f"a difference of {worst:.1e} from onnx.reference", expected, "report this"))
    return worst


def _quiet() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return options
